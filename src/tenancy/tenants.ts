import { type Database, isUniqueViolation } from "../db/index.ts";
import { AppError, type Clock, isAppError } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { isTenantId } from "../protocol/index.ts";
import { type Actor, PLATFORM_CHAIN } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { auditChange } from "./audit-details.ts";
import {
  checkSettings,
  checkTogether,
  effectiveSettings,
  type TenantSettings,
} from "./settings.ts";
import { assertMovable, room, type StorageClass, type Tenant, tenantOf } from "./tenant.ts";
import * as store from "./tenants-store.ts";

export interface NewTenant {
  id: string;
  name: string;
  settings?: Partial<TenantSettings>;
  storageClass?: StorageClass;
}

export interface Tenants {
  /** Ids are never used twice: telemetry and audit of a deleted tenant keep its id. */
  create(tenant: NewTenant, actor: Actor): Promise<Tenant>;
  get(id: string): Promise<Tenant>;
  list(): Promise<Tenant[]>;
  /** Tells the listeners of `onTenantsKeptApart` how it is: some tenants may be gone. */
  tellKeptApart(): Promise<void>;
  /** `precondition` throws when the tenant, locked until the update is done, is not as it should be. */
  updateSettings(
    id: string,
    patch: Partial<TenantSettings>,
    actor: Actor,
    precondition?: (tenant: Tenant) => void,
  ): Promise<Tenant>;
  /** A suspended tenant's devices are refused; its people can still look. */
  setStatus(id: string, status: Tenant["status"], actor: Actor): Promise<Tenant>;
  delete(id: string, actor: Actor): Promise<void>;
  /** Its rows are to lie elsewhere: until they do, the tenant is suspended. */
  beginMove(id: string, to: StorageClass, actor: Actor): Promise<Tenant>;
  moving(): Promise<Tenant[]>;
  /**
   * Says that the move goes on, and how far it is: for two minutes nothing of the tenant is deleted.
   * False where it must not go on, since the tenant's end is near.
   */
  progressMove(id: string, progress?: { done: number; of: number }): Promise<boolean>;
  /** All of it is where it belongs, too: readers look there from now on, within five seconds. */
  endCopy(id: string): Promise<void>;
  /** Nobody copies at the moment. */
  restMove(id: string): Promise<void>;
  /** The tenant is as it was before, and its rows are where they belong. */
  endMove(id: string, actor: Actor): Promise<void>;
}

/** Runs after the tenant exists (or is gone); what fails here fails the request, and is retried by
 * whoever starts the platform next, so listeners are idempotent. */
export type TenantListener = (tenantId: string) => Promise<void>;

const MAX_TENANTS = 10_000;
const KNOWN_FOR_MS = 5_000;
/** Before its end nothing of a tenant is moved any more: what is copied while it is removed would be left. */
const NEAR_END_MS = 3_600_000;
const MOVE_BUSY_MS = 120_000;

/** What is asked for often. */
interface KnownTenant {
  settings: TenantSettings;
  storageClass: StorageClass;
  readPlace: StorageClass | null;
}

interface TenantDeps {
  db: Database;
  clock: Clock;
  audit: Audit;
  /** Forgets who may do what, for a tenant is gone. */
  forget: () => void;
}

export class TenantDirectory implements Tenants {
  readonly #deps: TenantDeps;
  readonly #known: TtlCache<KnownTenant>;
  readonly #created: TenantListener[] = [];
  readonly #keptApart: ((tenantIds: readonly string[]) => Promise<void>)[] = [];
  readonly #statusChanged: TenantListener[] = [];
  readonly #deleted: TenantListener[] = [];

  constructor(deps: TenantDeps) {
    this.#deps = deps;
    const { clock } = deps;
    this.#known = new TtlCache({ clock, ttlMs: KNOWN_FOR_MS, maxEntries: MAX_TENANTS });
  }

  onCreated(listener: TenantListener): void {
    this.#created.push(listener);
  }

  onKeptApart(listener: (tenantIds: readonly string[]) => Promise<void>): void {
    this.#keptApart.push(listener);
  }

  async tellKeptApart(): Promise<void> {
    await this.#deps.db.platform(async (tx) => {
      await store.lockSeparate(tx);
      await this.#tellKeptApart(await store.listSeparate(tx));
    });
  }

  async #tellKeptApart(tenantIds: readonly string[]): Promise<void> {
    for (const listener of this.#keptApart) await listener(tenantIds);
  }

  onStatusChanged(listener: TenantListener): void {
    this.#statusChanged.push(listener);
  }

  onDeleted(listener: TenantListener): void {
    this.#deleted.push(listener);
  }

  async create(tenant: NewTenant, actor: Actor): Promise<Tenant> {
    const { db, clock, audit } = this.#deps;
    if (!isTenantId(tenant.id)) {
      throw new AppError("invalid-content", "a tenant id is lower-case letters, digits, hyphens", {
        errors: [{ field: "id", message: "needs [a-z0-9][a-z0-9-]{0,62}" }],
      });
    }
    const settings = checkSettings(tenant.settings ?? {});
    checkTogether(effectiveSettings(settings));
    const storageClass = tenant.storageClass ?? "shared";
    const row: store.TenantRow = {
      id: tenant.id,
      storage_class: storageClass,
      storage_move: null,
      name: checkName(tenant.name),
      status: "active",
      settings,
      created_at: new Date(clock.now()),
      deletes_at: null,
    };
    try {
      await db.platform(async (tx) => {
        if (await store.wasUsed(tx, row.id)) throw alreadyExists(row.id);
        // Before the tenant is there: no row of it is ever among those of others.
        if (storageClass === "separate") await this.#tellKeptApart([...(await room(tx)), row.id]);
        await store.insertTenant(tx, row);
        const record = {
          ...change(actor, "tenant.create", row.id),
          details: { name: row.name, storageClass },
        };
        await audit.record(tx, PLATFORM_CHAIN, record);
        await audit.record(tx, row.id, record);
      });
    } catch (error) {
      throw isUniqueViolation(error) ? alreadyExists(row.id) : error;
    }
    for (const listener of this.#created) await listener(row.id);
    return tenantOf(row);
  }

  async get(id: string): Promise<Tenant> {
    const row = await this.#deps.db.platform((tx) => store.findTenant(tx, id));
    return tenantOf(row ?? notFound(id));
  }

  async list(): Promise<Tenant[]> {
    const rows = await this.#deps.db.platform((tx) => store.listTenants(tx, MAX_TENANTS));
    return rows.map(tenantOf);
  }

  /** Cached for up to five seconds. */
  async settings(id: string): Promise<TenantSettings> {
    return (await this.#knownOf(id)).settings;
  }

  /** Cached for up to five seconds. */
  async storageClass(id: string): Promise<StorageClass> {
    return (await this.#knownOf(id)).storageClass;
  }

  /** While its rows lie in two places, the class of the one that is whole. Cached likewise. */
  async readPlace(id: string): Promise<StorageClass | null> {
    try {
      return (await this.#knownOf(id)).readPlace;
    } catch (error) {
      if (isAppError(error, "not-found")) return null; // Of one that is gone there is nothing to move.
      throw error;
    }
  }

  #knownOf(id: string): Promise<KnownTenant> {
    return this.#known.load(id, async () => {
      const row = await this.#deps.db.tenant(id, (tx) => store.findTenant(tx, id));
      const { settings, storage_class: storageClass, storage_move: move } = row ?? notFound(id);
      const before = storageClass === "separate" ? "shared" : "separate";
      const readPlace = move && (move.copiedAt ? storageClass : before);
      return { settings: effectiveSettings(settings), storageClass, readPlace };
    });
  }

  async updateSettings(
    id: string,
    patch: Partial<TenantSettings>,
    actor: Actor,
    precondition?: (tenant: Tenant) => void,
  ): Promise<Tenant> {
    const checked = checkSettings(patch);
    const tenant = await this.#change(id, actor, "tenant.update-settings", (row) => {
      const before = tenantOf(row);
      precondition?.(before);
      checkTogether(effectiveSettings({ ...row.settings, ...checked }));
      const details = auditChange({ ...before.settings }, checked);
      return { changed: { settings: { ...row.settings, ...checked } }, details };
    });
    this.#known.delete(id);
    return tenant;
  }

  async setStatus(id: string, status: Tenant["status"], actor: Actor): Promise<Tenant> {
    const action = status === "suspended" ? "tenant.suspend" : "tenant.resume";
    const tenant = await this.#change(id, actor, action, ({ storage_move: move }) => {
      if (move === null) return { changed: { status } };
      // Until its rows are where they belong it stays suspended, whatever it is to be afterwards.
      return { changed: { storage_move: { ...move, resumes: status === "active" } } };
    });
    for (const listener of this.#statusChanged) await listener(id);
    return tenant;
  }

  async delete(id: string, actor: Actor): Promise<void> {
    const { db, audit } = this.#deps;
    // First it is suspended, so that its devices are dropped while it is known which they are.
    await this.setStatus(id, "suspended", actor);
    await db.platform(async (tx) => {
      if (!(await store.lockTenant(tx, id))) notFound(id);
      await store.deleteTenant(tx, id);
      await audit.record(tx, PLATFORM_CHAIN, change(actor, "tenant.delete", id));
      await audit.record(tx, id, change(actor, "tenant.delete", id));
    });
    this.#known.delete(id);
    this.#deps.forget();
    for (const listener of this.#deleted) await listener(id);
  }

  async beginMove(id: string, to: StorageClass, actor: Actor): Promise<Tenant> {
    const { db, clock, audit } = this.#deps;
    const tenant = await db.platform(async (tx) => {
      // As where one is created: first who is kept apart, then the tenant.
      await store.lockSeparate(tx);
      const row = (await store.lockTenant(tx, id)) ?? notFound(id);
      assertMovable(row, to);
      const others = (await store.listSeparate(tx)).filter((other) => other !== id);
      // Before anything is moved: what comes from now on lies where it belongs.
      await this.#tellKeptApart(to === "separate" ? [...(await room(tx)), id] : others);
      const since = new Date(clock.now()).toISOString();
      const changed = {
        storage_class: to,
        storage_move: { since, done: 0, of: 0, resumes: row.status === "active" },
        status: "suspended" as const,
      };
      await store.updateTenant(tx, id, changed);
      const record = {
        ...change(actor, "tenant.move-storage", id),
        details: auditChange({ storageClass: row.storage_class }, { storageClass: to }),
      };
      await audit.record(tx, PLATFORM_CHAIN, record);
      await audit.record(tx, id, record);
      return tenantOf({ ...row, ...changed });
    });
    this.#known.delete(id);
    for (const listener of this.#statusChanged) await listener(id);
    return tenant;
  }

  async moving(): Promise<Tenant[]> {
    return (await this.#deps.db.platform(store.listMoving)).map(tenantOf);
  }

  async progressMove(id: string, progress: { done?: number; of?: number } = {}): Promise<boolean> {
    const now = this.#deps.clock.now();
    return this.#changeMove(id, (move, row) => {
      const isNearEnd = row.deletes_at !== null && row.deletes_at.getTime() - now < NEAR_END_MS;
      if (isNearEnd) return null;
      return { ...move, ...progress, busyUntil: new Date(now + MOVE_BUSY_MS).toISOString() };
    });
  }

  async endCopy(id: string): Promise<void> {
    const copiedAt = new Date(this.#deps.clock.now()).toISOString();
    await this.#changeMove(id, (move) => ({ ...move, copiedAt }));
    this.#known.delete(id);
  }

  async restMove(id: string): Promise<void> {
    await this.#changeMove(id, (move) => ({ ...move, busyUntil: null }));
  }

  /** False where there is no move, or `decide` refuses. */
  #changeMove(
    id: string,
    decide: (move: store.StorageMoveRow, row: store.TenantRow) => store.StorageMoveRow | null,
  ): Promise<boolean> {
    return this.#deps.db.platform(async (tx) => {
      const row = await store.lockTenant(tx, id);
      const changed = row?.storage_move ? decide(row.storage_move, row) : null;
      if (changed) await store.updateTenant(tx, id, { storage_move: changed });
      return changed !== null;
    });
  }

  async endMove(id: string, actor: Actor): Promise<void> {
    await this.#change(id, actor, "tenant.storage-moved", (row) => {
      // Of one that was suspended for another reason, or is about to be deleted, the devices stay refused.
      const resumes = row.storage_move?.resumes === true && row.deletes_at === null;
      return {
        changed: { storage_move: null, ...(resumes ? { status: "active" as const } : {}) },
        details: { storageClass: row.storage_class },
      };
    });
    this.#known.delete(id);
    for (const listener of this.#statusChanged) await listener(id);
  }

  async #change(
    id: string,
    actor: Actor,
    action: string,
    decide: (row: store.TenantRow) => {
      changed: Parameters<typeof store.updateTenant>[2];
      details?: Record<string, unknown>;
    },
  ): Promise<Tenant> {
    const { db, audit } = this.#deps;
    return db.platform(async (tx) => {
      const row = (await store.lockTenant(tx, id)) ?? notFound(id);
      const { changed, details = {} } = decide(row);
      await store.updateTenant(tx, id, changed);
      await audit.record(tx, id, { ...change(actor, action, id), details });
      return tenantOf({ ...row, ...changed });
    });
  }
}

function change(actor: Actor, action: string, id: string) {
  return { actor, action, targetKind: "tenant", targetId: id, outcome: "done" as const };
}

export function checkName(name: string): string {
  const trimmed = name.trim();
  if (trimmed.length < 1 || trimmed.length > 100) {
    throw new AppError("invalid-content", "a name has 1 to 100 characters", {
      errors: [{ field: "name", message: "needs 1 to 100 characters" }],
    });
  }
  return trimmed;
}

function alreadyExists(id: string): AppError {
  return new AppError("already-exists", "this tenant id is taken, or was once", { tenant: id });
}

function notFound(id: string): never {
  throw new AppError("not-found", "there is no such tenant", { tenant: id });
}
