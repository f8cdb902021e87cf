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

export type PlatformRole = "platform-administrator";

/** Someone who has proved who they are, with what they may do. */
export interface Principal {
  actor: Actor;
  platformRole: PlatformRole | null;
  /** No prototype: a tenant id can never name an inherited member. */
  rolesByTenant: Readonly<Record<string, TenantRole>>;
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

/**
 * Passes or throws: `not-found` to those who are no members, so that nobody learns which tenants
 * exist; `forbidden` to members whose role lacks the permission.
 */
export function authorize(principal: Principal, tenantId: string, permission: Permission): void {
  const role = roleIn(principal, tenantId);
  if (!role) throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
  const permitted: readonly TenantRole[] = PERMISSIONS[permission];
  if (!permitted.includes(role)) {
    throw new AppError("forbidden", `the role ${role} does not include ${permission}`, {
      role,
      permission,
    });
  }
}

/** Passes for administrators of the installation: those who create tenants and users. */
export function authorizePlatform(principal: Principal): void {
  if (principal.platformRole !== "platform-administrator") {
    throw new AppError("forbidden", "only administrators of the platform may do this");
  }
}
