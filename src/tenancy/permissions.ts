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
  "webhooks.manage": ADMINISTERING,
  "tenancy.read": OVERSEEING,
  "tenancy.manage": ADMINISTERING,
  "audit.read": OVERSEEING,
} as const satisfies Record<string, readonly TenantRole[]>;

export type Permission = keyof typeof PERMISSIONS;

/** In people's words: docs/security/permissions.md is made from both tables. */
export const PERMISSION_MEANINGS: Readonly<Record<Permission, string>> = {
  "tenant.read": "see the tenant and its settings",
  "devices.read": "see devices, groups, certificates, the radar, campaigns and claims",
  "devices.write": "change tags and groups",
  "devices.enroll": "bring devices in: enrol, make claims, accept, register authorities, rotate",
  "devices.revoke": "revoke, hold and remove devices and certificates",
  "telemetry.read": "query measurements",
  "logs.read": "search log lines and traces",
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
  "alerts.acknowledge": "acknowledge alerts",
  "webhooks.manage": "make and delete webhooks",
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

/** Someone who has proved who they are, with what they may do. */
export interface Principal {
  actor: Actor;
  platformRole: PlatformRole | null;
  /** No prototype: a tenant id can never name an inherited member. */
  rolesByTenant: Readonly<Record<string, TenantRole>>;
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

/** The role a principal acts with in a tenant; a platform administrator acts as administrator. */
export function roleIn(principal: Principal, tenantId: string): TenantRole | undefined {
  if (principal.platformRole === "platform-administrator") return "administrator";
  return Object.hasOwn(principal.rolesByTenant, tenantId)
    ? principal.rolesByTenant[tenantId]
    : undefined;
}

/** Whether somebody may do this in a tenant: the one question that everything else asks. */
export function holds(principal: Principal, tenantId: string, permission: Permission): boolean {
  const role = roleIn(principal, tenantId);
  return role !== undefined && permits(role, permission, principal.scopes);
}

function permits(
  role: TenantRole,
  permission: Permission,
  scopes: readonly Permission[] | undefined,
): boolean {
  const permitted: readonly TenantRole[] = PERMISSIONS[permission];
  return permitted.includes(role) && (scopes === undefined || scopes.includes(permission));
}

/**
 * Passes where a role, with scopes or without, gives nothing that the giver lacks; `forbidden`
 * otherwise: a key that may make keys must not make itself a greater one.
 */
export function assertMayGrant(
  giver: Principal,
  tenantId: string,
  role: TenantRole,
  scopes?: readonly Permission[],
): void {
  const all = Object.keys(PERMISSIONS) as Permission[];
  const lacking = all.find(
    (permission) => permits(role, permission, scopes) && !holds(giver, tenantId, permission),
  );
  if (lacking === undefined) return;
  throw new AppError("forbidden", `you cannot give ${lacking}, which you do not have`, {
    permission: lacking,
  });
}

/**
 * Passes or throws: `not-found` to those who are no members, so that nobody learns which tenants
 * exist; `forbidden` to members whose role lacks the permission.
 */
export function authorize(principal: Principal, tenantId: string, permission: Permission): void {
  const role = roleIn(principal, tenantId);
  if (!role) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
  if (holds(principal, tenantId, permission)) return;
  const isScoped = permits(role, permission, undefined);
  const message = isScoped
    ? `the key's scopes do not include ${permission}`
    : `the role ${role} does not include ${permission}`;
  throw new AppError("forbidden", message, { role, permission });
}

/** Passes for administrators of the installation: those who create tenants and users. */
export function authorizePlatform(principal: Principal): void {
  if (principal.platformRole !== "platform-administrator") {
    throw new AppError("forbidden", "only administrators of the platform may do this");
  }
}
