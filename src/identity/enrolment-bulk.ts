import type { Database } from "../db/index.ts";
import { AppError, isAppError } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { Enrolment } from "./enrolment.ts";
import type { EnrolmentRequest } from "./enrolment-rights.ts";
import type { DeviceAttributes } from "./enrolment-store.ts";

/** One device of many that an operator enrols. */
export interface BulkRow extends DeviceAttributes {
  id: string;
  csr: string;
}

export interface BulkResult {
  id: string;
  enrolment: Enrolment | null;
  error: { code: string; message: string; reason: string | null; step: string | null } | null;
}

export const MAX_BULK_ROWS = 200;
/** Rows at once: as many as keep one connection pool busy and leave others room. */
const CONCURRENCY = 4;
const MAX_RECORDED = 20;

interface Deps {
  db: Database;
  tenancy: Pick<Tenancy, "audit">;
  enroll(request: EnrolmentRequest): Promise<Enrolment>;
}

/** Enrols each row by itself: one that is refused leaves the others as they are. */
export async function enrollMany(
  { db, tenancy, enroll }: Deps,
  tenantId: string,
  rows: readonly BulkRow[],
  actor: Actor,
): Promise<BulkResult[]> {
  if (rows.length === 0 || rows.length > MAX_BULK_ROWS) {
    throw new AppError("invalid-content", `1 to ${MAX_BULK_ROWS} devices at a time`);
  }
  const results = new Map<number, BulkResult>();
  const seen = new Set<string>();
  const queue = rows.map((row, index) => ({ row, index, isRepeated: isSeen(seen, row.id) }));
  const work = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const { row, index, isRepeated } = next;
      results.set(index, isRepeated ? repeated(row.id) : await enrollRow(row));
    }
  };

  async function enrollRow({ id, csr, ...device }: BulkRow): Promise<BulkResult> {
    const authority = { kind: "operator" as const, actor, deviceId: id };
    try {
      const request = { tenantId, csr, via: "operator-bulk", authority, device };
      return { id, enrolment: await enroll(request), error: null };
    } catch (error) {
      if (!isAppError(error) || error.status >= 500) throw error;
      const { reason, step } = error.details;
      return {
        id,
        enrolment: null,
        error: {
          code: error.code,
          message: error.message,
          reason: typeof reason === "string" ? reason : null,
          step: typeof step === "string" ? step : null,
        },
      };
    }
  }

  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  const ordered = rows.map((_, index) => results.get(index) as BulkResult);
  const refused = ordered.filter((one) => one.error !== null);
  if (refused.length > 0) {
    await db.tenant(tenantId, (tx) =>
      tenancy.audit.record(tx, tenantId, {
        actor,
        action: "device.enroll",
        targetKind: "fleet",
        targetId: `${refused.length} devices`,
        outcome: "refused",
        details: {
          via: "operator-bulk",
          rows: refused
            .slice(0, MAX_RECORDED)
            .map(({ id, error }) => ({ id, reason: error?.reason ?? error?.code })),
        },
      }),
    );
  }
  return ordered;
}

function isSeen(seen: Set<string>, id: string): boolean {
  if (seen.has(id)) return true;
  seen.add(id);
  return false;
}

function repeated(id: string): BulkResult {
  const message = "the same device stands twice in one request";
  const error = { code: "invalid-content", message, reason: "repeated", step: null };
  return { id, enrolment: null, error };
}
