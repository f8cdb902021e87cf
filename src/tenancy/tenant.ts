import type { Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { effectiveSettings, type TenantSettings } from "./settings.ts";
import * as store from "./tenants-store.ts";

export interface Tenant {
  id: string;
  name: string;
  status: "active" | "suspended";
  settings: TenantSettings;
  storageClass: StorageClass;
  /** While its rows are on their way to where that class has them: of how many tables so many are done. */
  storageMove: StorageMove | null;
  createdAt: Date;
  /** When it is going to be deleted, where that is planned. */
  deletesAt: Date | null;
}

export interface StorageMove {
  since: Date;
  done: number;
  of: number;
  /** Since when all of it is there; what is left is to remove it where it was. */
  copiedAt: Date | null;
}

/** `separate`: rows in partitions of its own. */
export type StorageClass = "shared" | "separate";

/** Each has parts of its own in every month of every table: the engine bears some of that. */
export const MAX_SEPARATE_TENANTS = 100;

/** The tenants that have such parts, where one more can. */
export async function room(tx: Tx): Promise<string[]> {
  await store.lockSeparate(tx);
  const taken = await store.listSeparate(tx);
  if (taken.length < MAX_SEPARATE_TENANTS) return taken;
  throw new AppError(
    "quota-exceeded",
    `${taken.length} tenants have partitions of their own, and no more can have them`,
    { quota: "separateTenants", limit: MAX_SEPARATE_TENANTS, used: taken.length },
  );
}

function moveOf(move: store.TenantRow["storage_move"]): StorageMove | null {
  if (!move) return null;
  const { since, done, of, copiedAt } = move;
  return { since: new Date(since), done, of, copiedAt: copiedAt ? new Date(copiedAt) : null };
}

export function assertMovable(row: store.TenantRow, to: StorageClass): void {
  const refuse = (why: string) =>
    new AppError("conflict", why, { storageClass: row.storage_class });
  if (row.storage_move) throw refuse("its rows are being moved already: wait until they are there");
  if (row.deletes_at) throw refuse("the tenant is being deleted: restore it first");
  if (row.storage_class === to) throw refuse(`the storage of the tenant is ${to} already`);
}

export function tenantOf(row: store.TenantRow): Tenant {
  return {
    id: row.id,
    name: row.name,
    status: row.status,
    settings: effectiveSettings(row.settings),
    storageClass: row.storage_class,
    storageMove: moveOf(row.storage_move),
    createdAt: row.created_at,
    deletesAt: row.deletes_at,
  };
}
