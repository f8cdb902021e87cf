export { type Actor, PLATFORM_CHAIN, SYSTEM_ACTOR } from "./actor.ts";
export type { Audit, AuditEntry, AuditRecord, AuditVerification } from "./audit.ts";
export {
  type AuditCheckpoints,
  createAuditCheckpoints,
  type SignedAuditVerification,
} from "./audit-checkpoints.ts";
export { auditChange, auditText } from "./audit-details.ts";
export type { AuditFilters } from "./audit-store.ts";
export { type AuditStreams, createAuditStreams } from "./audit-streams.ts";
export { SESSION_ROTATION_MS } from "./authentication.ts";
export {
  BREAK_GLASS,
  type BreakGlass,
  type BreakGlassRequest,
  type BreakGlassView,
} from "./break-glass.ts";
export type { KeyOwner, Keys, KeyView, NewKey } from "./keys.ts";
export { PASSWORD_LENGTH, type Passwords } from "./passwords.ts";
export {
  assertMayGrant,
  authorize,
  authorizePlatform,
  BREAK_GLASS_ROLES,
  type BreakGlassRole,
  CONFINABLE,
  type Grant,
  grantIn,
  groupsOf,
  holds,
  isPermission,
  isTenantRole,
  PERMISSION_MEANINGS,
  PERMISSIONS,
  type Permission,
  PLATFORM_ROLES,
  type PlatformRole,
  type Principal,
  roleIn,
  TENANT_ROLES,
  type TenantRole,
  tenantsOf,
} from "./permissions.ts";
export { QUOTAS, type QuotaName, quotaAlert, WARN_AT } from "./quotas.ts";
export type { Retention } from "./retention.ts";
export { type GivenRole, MAX_ROLE_GROUPS, type Roles, type RoleView } from "./roles.ts";
export {
  effectiveSettings,
  TENANT_QUOTAS,
  TENANT_SETTINGS,
  type TenantSettings,
} from "./settings.ts";
export { createTenancy, type Tenancy } from "./tenancy.ts";
export { MAX_SEPARATE_TENANTS, type StorageClass, type Tenant } from "./tenant.ts";
export type { NewTenant, TenantListener, Tenants } from "./tenants.ts";
export type { QuotaNews, QuotaUse, Usage } from "./usage.ts";
export {
  type MembershipView,
  type NewUser,
  normalisedEmail,
  type Users,
  type UserView,
} from "./users.ts";
