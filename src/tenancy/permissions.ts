import { AppError } from "../kernel/index.ts";
import type { Actor } from "./actor.ts";

export const TENANT_ROLES = [
  "viewer",
  "operator",
  "fleet-engineer",
  "administrator",
  "auditor",
] as const;
export type TenantRole = (typeof TENANT_ROLES)[number];

const EVERYONE = TENANT_ROLES;
const OPERATING: readonly TenantRole[] = ["operator", "fleet-engineer", "administrator"];
const ENGINEERING: readonly TenantRole[] = ["fleet-engineer", "administrator"];
const ADMINISTERING: readonly TenantRole[] = ["administrator"];
const OVERSEEING: readonly TenantRole[] = ["administrator", "auditor"];

/** The one table of who may do what within a tenant. */
export const PERMISSIONS = {
  "tenant.read": EVERYONE,
  "devices.read": EVERYONE,
  "devices.write": OPERATING,
  "devices.enroll": ENGINEERING,
  "devices.revoke": ENGINEERING,
  "telemetry.read": EVERYONE,
  "logs.read": EVERYONE,
  "observations.write": OPERATING,
  "commands.read": EVERYONE,
  "commands.send": OPERATING,
  // What the tenant's applications tell one another.
  "exchange.read": EVERYONE,
  "exchange.publish": OPERATING,
  "firmware.read": EVERYONE,
  "firmware.publish": ENGINEERING,
  "trust.manage": ADMINISTERING,
  "authorities.manage": ADMINISTERING,
  "rollouts.read": EVERYONE,
  // Pausing is safe, so more people may do it than may start or widen.
  "rollouts.pause": OPERATING,
  "rollouts.control": ENGINEERING,
  "alerts.read": EVERYONE,
  "alerts.acknowledge": OPERATING,
  "alerts.manage": ENGINEERING,
  "webhooks.manage": ADMINISTERING,
  "tenancy.read": OVERSEEING,
  "tenancy.manage": ADMINISTERING,
  "audit.read": OVERSEEING,
} as const satisfies Record<string, readonly TenantRole[]>;

export type Permission = keyof typeof PERMISSIONS;

/**
 * What can be done to some devices and not to others. Whoever is confined to groups may have these
 * alone; the others concern the tenant as a whole.
 */
export const CONFINABLE: readonly Permission[] = [
  "tenant.read",
  "devices.read",
  "devices.write",
  "devices.revoke",
  "telemetry.read",
  "logs.read",
  "commands.read",
  "commands.send",
  "firmware.read",
  "rollouts.read",
  "rollouts.pause",
  "rollouts.control",
  "alerts.read",
  "alerts.acknowledge",
];

/** In people's words: docs/security/permissions.md is made from both tables. */
export const PERMISSION_MEANINGS: Readonly<Record<Permission, string>> = {
  "tenant.read": "see the tenant and its settings",
  "devices.read": "see devices, groups, certificates, the radar, campaigns and claims",
  "devices.write": "change tags, groups and saved searches",
  "devices.enroll": "bring devices in: enrol, make claims, accept, register authorities, rotate",
  "devices.revoke": "revoke, hold and remove devices and certificates",
  "telemetry.read": "query measurements",
  "logs.read": "search log lines and traces",
  "observations.write": "send log lines and spans by OTLP",
  "commands.read": "see commands and their results",
  "commands.send": "send and cancel commands",
  "exchange.read": "read what the tenant's applications tell one another",
  "exchange.publish": "publish there",
  "firmware.read": "see releases, deltas and the trust root",
  "firmware.publish": "upload, publish, promote and yank releases",
  "trust.manage": "replace the trust root and delegations",
  "authorities.manage": "rotate and end the tenant's authority",
  "rollouts.read": "see and plan rollouts",
  "rollouts.pause": "pause a rollout",
  "rollouts.control": "create, resume, widen, roll back and cancel rollouts",
  "alerts.read": "see alerts",
  "alerts.acknowledge": "acknowledge, resolve and silence alerts",
  "alerts.manage": "make alert rules, and say who is told of what",
  "webhooks.manage": "make and delete webhooks and alert channels",
  "tenancy.read": "see members, keys and applications",
  "tenancy.manage": "change settings, members, keys and applications",
  "audit.read": "read and verify the audit log",
};

/** An operator runs the platform and sees its figures; into a tenant only by breaking the glass. */
export const PLATFORM_ROLES = ["platform-administrator", "platform-operator"] as const;
export type PlatformRole = (typeof PLATFORM_ROLES)[number];

/** What an operator of the platform may be in a tenant for a while: all but its administrator. */
export const BREAK_GLASS_ROLES = ["viewer", "operator", "fleet-engineer", "auditor"] as const;
export type BreakGlassRole = (typeof BREAK_GLASS_ROLES)[number];

/** What somebody may do in one tenant. */
export interface Grant {
  /** Name of a built-in role or of one of the tenant's own. */
  role: string;
  permissions: readonly Permission[];
  /** Names of the groups whose devices are meant; null for all devices of the tenant. */
  groups: readonly string[] | null;
}

/** Someone who has proved who they are, with what they may do. */
export interface Principal {
  actor: Actor;
  platformRole: PlatformRole | null;
  /**
   * Built-in roles, over all devices. No prototype: a tenant id can never name an inherited member.
   */
  rolesByTenant: Readonly<Record<string, TenantRole>>;
  /** Where the role is one of the tenant's own, or confined to groups. No prototype either. */
  grantsByTenant?: Readonly<Record<string, Grant>>;
  /** What a key is confined to, of what its role may; everything where absent. */
  scopes?: readonly Permission[];
  /** Where a person is signed in, rather than a key used. */
  session?: {
    id: string;
    authenticatedAt: Date;
    rotateAfter: Date;
    expiresAt: Date;
    /** It may set up a second factor and nothing else. */
    mustEnrol: boolean;
  };
}

export function isPermission(value: unknown): value is Permission {
  return typeof value === "string" && Object.hasOwn(PERMISSIONS, value);
}

export function isTenantRole(value: unknown): value is TenantRole {
  return TENANT_ROLES.includes(value as TenantRole);
}

/** What a principal may do in a tenant; a platform administrator acts as administrator. */
export function grantIn(principal: Principal, tenantId: string): Grant | undefined {
  if (principal.platformRole === "platform-administrator") return builtIn("administrator");
  const { grantsByTenant, rolesByTenant } = principal;
  if (grantsByTenant && Object.hasOwn(grantsByTenant, tenantId)) return grantsByTenant[tenantId];
  const role = Object.hasOwn(rolesByTenant, tenantId) ? rolesByTenant[tenantId] : undefined;
  return role && builtIn(role);
}

/** The name of the role that a principal acts with in a tenant. */
export function roleIn(principal: Principal, tenantId: string): string | undefined {
  return grantIn(principal, tenantId)?.role;
}

/** The tenants that a principal is a member of, by whatever kind of role. */
export function tenantsOf({ rolesByTenant, grantsByTenant = {} }: Principal): string[] {
  return [...new Set([...Object.keys(rolesByTenant), ...Object.keys(grantsByTenant)])];
}

/** The groups that a principal is confined to in a tenant; null for none. */
export function groupsOf(principal: Principal, tenantId: string): readonly string[] | null {
  return grantIn(principal, tenantId)?.groups ?? null;
}

/** What a built-in role may. */
export function permissionsOf(role: TenantRole): Permission[] {
  const all = Object.keys(PERMISSIONS) as Permission[];
  return all.filter((name) => (PERMISSIONS[name] as readonly TenantRole[]).includes(role));
}

const builtIns = new Map<TenantRole, Grant>(
  TENANT_ROLES.map((role) => [role, { role, permissions: permissionsOf(role), groups: null }]),
);

function builtIn(role: TenantRole): Grant | undefined {
  return builtIns.get(role);
}

/**
 * Whether somebody may do this in the whole tenant. Who is confined to groups holds nothing by this
 * question: it is for those who do not confine what follows.
 */
export function holds(principal: Principal, tenantId: string, permission: Permission): boolean {
  const grant = grantIn(principal, tenantId);
  return grant?.groups === null && permits(grant, permission, principal.scopes);
}

function permits(
  grant: Pick<Grant, "permissions" | "groups">,
  permission: Permission,
  scopes: readonly Permission[] | undefined,
): boolean {
  if (grant.groups !== null && !CONFINABLE.includes(permission)) return false;
  const isInScope = scopes === undefined || scopes.includes(permission);
  return grant.permissions.includes(permission) && isInScope;
}

/**
 * Passes where a role, with scopes or without, gives nothing that the giver lacks; `forbidden`
 * otherwise: a key that may make keys must not make itself a greater one.
 */
export function assertMayGrant(
  giver: Principal,
  tenantId: string,
  role: TenantRole | readonly Permission[],
  scopes?: readonly Permission[],
): void {
  const given = typeof role === "string" ? permissionsOf(role) : role;
  const lacking = given.find(
    (permission) =>
      (scopes === undefined || scopes.includes(permission)) && !holds(giver, tenantId, permission),
  );
  if (lacking === undefined) return;
  throw new AppError("forbidden", `you cannot give ${lacking}, which you do not have`, {
    permission: lacking,
  });
}

/**
 * Passes or throws: `not-found` to those who are no members, so that nobody learns which tenants
 * exist; `forbidden` to members whose role lacks the permission. Whoever is let in may be confined
 * to groups: the caller has what follows run within {@link groupsOf}.
 */
export function authorize(principal: Principal, tenantId: string, permission: Permission): void {
  const grant = grantIn(principal, tenantId);
  if (!grant) {
    const message =
      principal.platformRole === "platform-operator"
        ? "operators of the platform see nothing of a tenant before they have broken the glass"
        : "there is no such tenant";
    throw new AppError("not-found", message, { tenant: tenantId });
  }
  if (permits(grant, permission, principal.scopes)) return;
  const { role, groups } = grant;
  const reason = permits(grant, permission, undefined)
    ? `the key's scopes do not include ${permission}`
    : groups !== null && grant.permissions.includes(permission)
      ? `${permission} concerns the whole tenant, and you are confined to ${groups.join(", ")}`
      : `the role ${role} does not include ${permission}`;
  throw new AppError("forbidden", reason, { role, permission });
}

/** Passes for administrators of the installation: those who create tenants and users. */
export function authorizePlatform(principal: Principal): void {
  if (principal.platformRole !== "platform-administrator") {
    throw new AppError("forbidden", "only administrators of the platform may do this");
  }
}
