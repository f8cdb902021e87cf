import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { Peers } from "./peers.ts";
import {
  HOLD,
  REVOCATION_CODES,
  type RevocationReason,
  type RevocationReasonName,
} from "./revocation-reasons.ts";
import type { RevocationSelection } from "./revocation-store.ts";
import * as store from "./revocation-store.ts";

/** Serials, or devices, that one call may name. */
export const MAX_SELECTED = 10_000;
const MAX_LISTED = 100;
const COMMENT_LENGTH = 256;

/** What a revocation, or the end of a hold, came to. */
export interface RevocationOutcome {
  /** Certificates whose standing changed. */
  certificates: number;
  /** Devices that they belong to, or that were revoked. */
  devices: number;
  /** Serials or devices that the tenant does not have: the first hundred, and how many. */
  unknown: string[];
  unknownCount: number;
}

export interface Revocations {
  /**
   * Revokes certificates, or devices with all their certificates, in one transaction; live
   * connections end within five seconds everywhere. A hold can be lifted, and leaves the devices
   * themselves as they are. What the tenant does not have is named in the outcome.
   */
  revoke(
    tenantId: string,
    selection: RevocationSelection,
    reason: RevocationReason,
    actor: Actor,
  ): Promise<RevocationOutcome>;
  /** Lifts holds: what is revoked for another reason stays revoked. */
  restore(
    tenantId: string,
    selection: RevocationSelection,
    comment: string,
    actor: Actor,
  ): Promise<RevocationOutcome>;
}

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  peers: Peers;
}

const revoked = counter("vautn_certificates_revoked_total", "Certificates revoked", ["reason"]);

export function createRevocations({ db, clock, tenancy, peers }: Deps): Revocations {
  return {
    async revoke(tenantId, selection, { reason, comment = "" }, actor) {
      checkSelection(selection);
      const code = REVOCATION_CODES[reason];
      const hold = code === HOLD;
      const { outcome, changed } = await db.tenant(tenantId, async (tx) => {
        const unknown = await unknownOf(tx, tenantId, selection);
        const now = new Date(clock.now());
        const isDevices = "deviceIds" in selection && !hold;
        if (isDevices) await store.setDevicesRevoked(tx, tenantId, selection.deviceIds);
        const change = { code, hold, comment: comment.slice(0, COMMENT_LENGTH), now };
        const certificates = await store.revokeSelected(tx, tenantId, selection, change);
        const devices = isDevices
          ? selection.deviceIds.filter((id) => !unknown.includes(id))
          : [...new Set(certificates.map((one) => one.deviceId))];
        const result = outcomeOf(certificates, devices, unknown);
        if (certificates.length > 0 || devices.length > 0) {
          const action = isDevices ? "device.revoke" : hold ? "certificate.hold" : REVOKE;
          const details = { reason, comment, ...recorded(selection, result) };
          await record(tx, tenantId, { actor, action, devices, details });
        }
        return { outcome: result, changed: { certificates, devices: isDevices ? devices : [] } };
      });
      revoked.inc({ reason }, outcome.certificates);
      peers.publish(tenantId, [
        ...changed.certificates.map((one) => ({ kind: "revoked" as const, ...one })),
        ...changed.devices.map((deviceId) => ({ kind: "revoked" as const, deviceId })),
      ]);
      return outcome;
    },

    async restore(tenantId, selection, comment, actor) {
      checkSelection(selection);
      const { outcome, changed } = await db.tenant(tenantId, async (tx) => {
        const unknown = await unknownOf(tx, tenantId, selection);
        const now = new Date(clock.now());
        const certificates = await store.restoreSelected(tx, tenantId, selection, now);
        const devices = [...new Set(certificates.map((one) => one.deviceId))];
        const result = outcomeOf(certificates, devices, unknown);
        if (certificates.length > 0) {
          const details = { comment, ...recorded(selection, result) };
          await record(tx, tenantId, { actor, action: "certificate.unhold", devices, details });
        }
        return { outcome: result, changed: certificates };
      });
      peers.publish(
        tenantId,
        changed.map((one) => ({ kind: "restored" as const, ...one })),
      );
      return outcome;
    },
  };

  async function record(
    tx: Tx,
    tenantId: string,
    entry: {
      actor: Actor;
      action: string;
      devices: readonly string[];
      details: Record<string, unknown>;
    },
  ): Promise<void> {
    const { actor, action, devices, details } = entry;
    const [only, second] = devices;
    await tenancy.audit.record(tx, tenantId, {
      actor,
      action,
      targetKind: second === undefined ? "device" : "fleet",
      targetId: second === undefined ? (only ?? "") : `${devices.length} devices`,
      outcome: "done",
      details: second === undefined ? details : { ...details, ids: devices.slice(0, MAX_LISTED) },
    });
  }
}

const REVOKE = "certificate.revoke";

/** One thing, of which it is an error that it is not there: `not-found`. */
export async function revokeOne(
  revocations: Revocations,
  tenantId: string,
  what: { deviceId: string } | { serial: string },
  reason: string | RevocationReason,
  actor: Actor,
): Promise<void> {
  const given: RevocationReason =
    typeof reason === "string"
      ? { reason: "unspecified" satisfies RevocationReasonName, comment: reason }
      : reason;
  const selection =
    "deviceId" in what ? { deviceIds: [what.deviceId] } : { serials: [what.serial] };
  const outcome = await revocations.revoke(tenantId, selection, given, actor);
  if ("deviceId" in what && outcome.unknownCount > 0) {
    throw new AppError("not-found", "there is no such device", { device: what.deviceId });
  }
  if ("serial" in what && outcome.certificates === 0) {
    throw new AppError("not-found", "there is no such certificate in use", what);
  }
}

function checkSelection(selection: RevocationSelection): void {
  const [field, ids] =
    "serials" in selection ? ["serials", selection.serials] : ["devices", selection.deviceIds];
  if (ids.length < 1 || ids.length > MAX_SELECTED) {
    throw new AppError("invalid-request", `${field} holds 1 to ${MAX_SELECTED} entries`, { field });
  }
}

async function unknownOf(
  tx: Tx,
  tenantId: string,
  selection: RevocationSelection,
): Promise<string[]> {
  const asked = "serials" in selection ? selection.serials : selection.deviceIds;
  const known = new Set(await store.knownOf(tx, tenantId, selection));
  return [...new Set(asked)].filter((id) => !known.has(id));
}

function outcomeOf(
  certificates: readonly store.ChangedCertificate[],
  devices: readonly string[],
  unknown: readonly string[],
): RevocationOutcome {
  return {
    certificates: certificates.length,
    devices: devices.length,
    unknown: unknown.slice(0, MAX_LISTED),
    unknownCount: unknown.length,
  };
}

function recorded(selection: RevocationSelection, outcome: RevocationOutcome) {
  const serial = "serials" in selection && selection.serials.length === 1;
  return {
    certificates: outcome.certificates,
    ...(serial ? { serial: selection.serials[0] } : {}),
    ...(outcome.unknownCount > 0 ? { unknown: outcome.unknownCount } : {}),
  };
}
