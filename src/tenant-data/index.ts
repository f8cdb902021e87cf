import { type SigningKey, signingKeyId } from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import {
  type DeletionDeps,
  type DeletionReceipt,
  deleteDue,
  receiptOf,
  restore,
  scheduleDeletion,
  sweepGone,
} from "./deletion.ts";
import { type ExportDeps, exportTenant } from "./export.ts";

/** All that a tenant owns, in every store: taken out, and taken away. */
export interface TenantData {
  /** A POSIX archive, made while it is read. */
  export(tenantId: string): AsyncGenerator<Buffer>;
  schedule(
    tenantId: string,
    request: { confirm: string; graceHours: number },
    actor: Actor,
  ): Promise<{ deletesAt: Date }>;
  /** Undoes it, while the grace lasts. */
  restore(tenantId: string, actor: Actor): Promise<void>;
  deleteDue(): Promise<number>;
  /** Removes what came in late of tenants that are gone; of how many there was something. */
  sweepGone(): Promise<number>;
  /** Throws `not-found`. */
  receipt(tenantId: string): Promise<{ receipt: unknown; key: SigningKey }>;
}

export function createTenantData(
  deps: DeletionDeps &
    ExportDeps & {
      auditCheckpoints: { key: SigningKey; replacedKeys: readonly SigningKey[] };
    },
): TenantData {
  return {
    export: (tenantId) => exportTenant(deps, tenantId),
    schedule: (tenantId, request, actor) => scheduleDeletion(deps, tenantId, request, actor),
    restore: (tenantId, actor) => restore(deps, tenantId, actor),
    deleteDue: () => deleteDue(deps),
    sweepGone: () => sweepGone(deps),
    async receipt(tenantId) {
      const receipt = await receiptOf(deps, tenantId);
      const { key, replacedKeys } = deps.auditCheckpoints;
      const by = receipt.signatures[0]?.keyid;
      // What was signed before the master key was replaced is of that time's key.
      return { receipt, key: replacedKeys.find((one) => signingKeyId(one) === by) ?? key };
    },
  };
}

export type { DeletionReceipt };
