import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import { type Audit, createAudit } from "./audit.ts";
import { createAuthentication } from "./authentication.ts";
import { type BreakGlass, createBreakGlass } from "./break-glass.ts";
import { createKeys, type Keys } from "./keys.ts";
import { createPasswords, type Passwords } from "./passwords.ts";
import { authorize, type Permission, type Principal } from "./permissions.ts";
import { createRetention, type Retention } from "./retention.ts";
import { createRoles, type Roles } from "./roles.ts";
import type { TenantSettings } from "./settings.ts";
import type { StorageClass } from "./tenant.ts";
import { TenantDirectory, type TenantListener, type Tenants } from "./tenants.ts";
import { Usage } from "./usage.ts";
import { createUsers, ensureAdministrator, type Users } from "./users.ts";

/** Tenants, the people and keys that act in them, what they may do, and the record of what they did. */
export interface Tenancy {
  tenants: Tenants;
  users: Users;
  keys: Keys;
  roles: Roles;
  audit: Audit;
  breakGlass: BreakGlass;
  /** Cached for up to five seconds; `not-found` for a tenant that does not exist. */
  settings(tenantId: string): Promise<TenantSettings>;
  /** Where its rows and blobs lie. Cached for up to five seconds; `not-found` as above. */
  storageClass(tenantId: string): Promise<StorageClass>;
  /** While its rows lie in two places, the class of the one that is whole; else null. Cached likewise. */
  readPlace(tenantId: string): Promise<StorageClass | null>;
  /** How long a tenant keeps its telemetry, by metric. */
  retention: Retention;
  /** What tenants use of their quotas. */
  usage: Usage;
  passwords: Passwords;
  authenticate(token: string): Promise<Principal>;
  /** For answers that last: a session goes on while its token is replaced. */
  reauthenticate(principal: Principal, token: string): Promise<Principal>;
  /** Forgets what is cached of credentials, after a revocation in this process. */
  forget(): void;
  authorize(principal: Principal, tenantId: string, permission: Permission): void;
  /** Called after a tenant was created, one listener after the other. */
  onTenantCreated(listener: TenantListener): void;
  /**
   * Called with the ids of all tenants that have partitions of their own before one more of them
   * exists; where it fails, that one is not created.
   */
  onTenantsKeptApart(listener: (tenantIds: readonly string[]) => Promise<void>): void;
  /** Called after a tenant was suspended or resumed. */
  onTenantStatusChanged(listener: TenantListener): void;
  /** Called after a tenant, which was suspended first, is gone. */
  onTenantDeleted(listener: TenantListener): void;
  /** The first administrator's password, told once, or null where there is an administrator. */
  ensureAdministrator(): Promise<{ email: string; password: string } | null>;
}

export function createTenancy(deps: { db: Database; clock: Clock }): Tenancy {
  const audit = createAudit(deps);
  const { authenticate, reauthenticate, forget } = createAuthentication({ ...deps, audit });
  const passwords = createPasswords();
  const roles = createRoles({ ...deps, audit, forget });
  const inner = { ...deps, audit, passwords, roles, forget };
  const directory = new TenantDirectory(inner);
  const settings = (tenantId: string) => directory.settings(tenantId);
  return {
    tenants: directory,
    users: createUsers(inner),
    keys: createKeys(inner),
    roles,
    audit,
    breakGlass: createBreakGlass(inner),
    settings,
    storageClass: (tenantId) => directory.storageClass(tenantId),
    readPlace: (tenantId) => directory.readPlace(tenantId),
    retention: createRetention({ ...inner, settings }),
    usage: new Usage({ ...deps, audit, settings }),
    passwords,
    authenticate,
    reauthenticate,
    forget,
    authorize,
    onTenantCreated: (listener) => directory.onCreated(listener),
    onTenantsKeptApart: (listener) => directory.onKeptApart(listener),
    onTenantStatusChanged: (listener) => directory.onStatusChanged(listener),
    onTenantDeleted: (listener) => directory.onDeleted(listener),
    ensureAdministrator: () => ensureAdministrator(inner),
  };
}
