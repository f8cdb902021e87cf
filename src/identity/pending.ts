import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { DeviceAttributes } from "./enrolment-store.ts";
import * as store from "./pending-store.ts";

/** An enrolment that a person has to accept, as people see it. */
export interface PendingEnrolment {
  id: string;
  deviceId: string;
  /** To be compared with what the device shows. */
  publicKeySha256: string;
  status: store.PendingStatus;
  authority: string;
  authorityName: string;
  via: string;
  address: string | null;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  /** Why a person is asked: `policy`, `webhook` or `webhook-failed`. */
  cause: string;
  requestedAt: Date;
  lastAskedAt: Date;
  expiresAt: Date;
  decidedAt: Date | null;
  decidedBy: string | null;
  decisionReason: string | null;
}

export interface PendingEnrolments {
  /** Newest first. */
  list(tenantId: string, status: store.PendingStatus): Promise<PendingEnrolment[]>;
  /** The device gets its certificate when it asks again; other keys for it are rejected. */
  accept(tenantId: string, id: string, actor: Actor): Promise<PendingEnrolment>;
  reject(tenantId: string, id: string, reason: string, actor: Actor): Promise<PendingEnrolment>;
}

const MAX_PENDING = 10_000;
const MAX_KEYS_PER_DEVICE = 5;
const KEEP_MS = 30 * 86_400_000;
/** When a device should ask again: a person is not faster. */
export const ASK_AGAIN_SECONDS = 60;

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
}

export function createPendingEnrolments({ db, clock, tenancy }: Deps): PendingEnrolments {
  async function decide(
    tenantId: string,
    id: string,
    actor: Actor,
    decision: { status: "accepted" | "rejected"; reason: string | null },
  ): Promise<PendingEnrolment> {
    return db.tenant(tenantId, async (tx) => {
      const at = new Date(clock.now());
      const decided = { ...decision, by: actor.name, at };
      const deviceId = isUuid(id)
        ? await store.decidePending(tx, tenantId, id, decided)
        : undefined;
      const row = deviceId === undefined ? undefined : await store.pendingById(tx, tenantId, id);
      if (deviceId === undefined || !row) {
        throw new AppError("not-found", "no such enrolment waits", { id });
      }
      const accepted = decision.status === "accepted";
      if (accepted) await store.rejectRivals(tx, tenantId, { id, deviceId }, actor.name, at);
      await tenancy.audit.record(tx, tenantId, {
        actor,
        action: accepted ? "enrolment.accept" : "enrolment.reject",
        targetKind: "device",
        targetId: deviceId,
        outcome: "done",
        details: { publicKeySha256: row.public_key_sha256, reason: decision.reason },
      });
      return viewOf(row);
    });
  }

  return {
    async list(tenantId, status) {
      const rows = await db.tenant(tenantId, (tx) =>
        store.listPending(tx, tenantId, status, LIMITS.pageSize),
      );
      return rows.map(viewOf);
    },
    accept: (tenantId, id, actor) =>
      decide(tenantId, id, actor, { status: "accepted", reason: null }),
    reject: (tenantId, id, reason, actor) =>
      decide(tenantId, id, actor, { status: "rejected", reason }),
  };
}

export interface PendingRequest extends DeviceAttributes {
  deviceId: string;
  publicKeySha256: string;
  authority: string;
  authorityName: string;
  via: string;
  address?: string | undefined;
  cause: string;
}

/** Writes down that a person has to accept this request. Throws where too many wait. */
export async function askPerson(
  tx: Tx,
  { clock, tenancy }: Pick<Deps, "clock" | "tenancy">,
  tenantId: string,
  request: PendingRequest,
  actor: Actor,
): Promise<void> {
  const now = new Date(clock.now());
  const { deviceId, publicKeySha256, cause, via } = request;
  const known = await store.findPending(tx, tenantId, deviceId, publicKeySha256, now);
  if (known) return store.touchPending(tx, tenantId, known.id, now);
  await store.removeExpired(tx, tenantId, now);
  const waiting = await store.countPending(tx, tenantId, deviceId, MAX_PENDING);
  if (waiting.all >= MAX_PENDING || waiting.device >= MAX_KEYS_PER_DEVICE) {
    throw new AppError("quota-exceeded", "too many enrolments wait for a person", { deviceId });
  }
  await store.insertPending(tx, tenantId, {
    id: timeOrderedId(now.getTime()),
    device_id: deviceId,
    public_key_sha256: publicKeySha256,
    status: "pending",
    authority: request.authority,
    authority_name: request.authorityName,
    via,
    address: request.address ?? null,
    product: request.product,
    hardware_revision: request.hardwareRevision,
    region: request.region ?? "",
    tags: request.tags ?? {},
    cause,
    requested_at: now,
    last_asked_at: now,
    expires_at: new Date(now.getTime() + KEEP_MS),
    decided_at: null,
    decided_by: null,
    decision_reason: null,
  });
  await tenancy.audit.record(tx, tenantId, {
    actor,
    action: "enrolment.request",
    targetKind: "device",
    targetId: deviceId,
    outcome: "done",
    details: { publicKeySha256, via, cause },
  });
}

/** The answer to a device that has to wait. */
export function pendingRefusal(deviceId: string, retryAfterSeconds: number): AppError {
  return new AppError("enrolment-pending", "a person has to accept this enrolment: ask again", {
    deviceId,
    reason: "pending",
    retryAfterSeconds,
  });
}

function viewOf(row: store.PendingRow): PendingEnrolment {
  return {
    id: row.id,
    deviceId: row.device_id,
    publicKeySha256: row.public_key_sha256,
    status: row.status,
    authority: row.authority,
    authorityName: row.authority_name,
    via: row.via,
    address: row.address,
    product: row.product,
    hardwareRevision: row.hardware_revision,
    region: row.region,
    tags: row.tags,
    cause: row.cause,
    requestedAt: row.requested_at,
    lastAskedAt: row.last_asked_at,
    expiresAt: row.expires_at,
    decidedAt: row.decided_at,
    decidedBy: row.decided_by,
    decisionReason: row.decision_reason,
  };
}
