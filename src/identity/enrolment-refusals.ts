import type { Database } from "../db/index.ts";
import { type AppError, type Clock, isAppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { isTenantId } from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import { findClaim } from "./claim-store.ts";
import { proofOf } from "./enrolment-claims.ts";
import { actorOf, type EnrolmentRequest } from "./enrolment-rights.ts";
import { entryWithKey } from "./preauthorised-store.ts";
import { recordRefusedRequest } from "./rotation.ts";

/** Refusals that a tenant's audit log takes in a minute: anyone may knock. */
const MAX_REFUSALS_PER_MINUTE = 30;
const MAX_TENANTS_TRACKED = 10_000;

const refused = counter("vautn_enrolments_refused_total", "Enrolments that were not permitted", [
  "authority",
  "reason",
]);

interface Deps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
}

/** What was refused; a certificate's enrolment unless it says otherwise. */
export interface RefusedRequest extends Omit<EnrolmentRequest, "csr"> {
  csr?: EnrolmentRequest["csr"];
  action?: "device.enroll" | "certificate.revoke";
  /** Who asked, where the certificate names no device. */
  actor?: Actor;
}

/** What a request says of the device, where it could be read. */
export interface AskedDevice {
  deviceId?: string | undefined;
  /** Of the key that the request proved to hold. */
  publicKeySha256?: string | undefined;
}

export type NoteRefusal = (
  request: RefusedRequest,
  error: unknown,
  asked?: AskedDevice,
) => Promise<void>;

/** Why the registry or the clock has something against a certificate that is genuinely a device's. */
const OF_A_GENUINE_ONE = ["expired", "not-yet-valid", "revoked", "suspended"];

/**
 * Writes down who asked with a certificate that is not accepted (any more), where it is certain whose
 * it is: a forged one would write into the log of whoever it names, and is listed as a knock only.
 */
export async function noteRefusedCertificate(
  note: NoteRefusal,
  error: unknown,
  { via, address }: { via: string; address: string | undefined },
): Promise<void> {
  if (!isAppError(error, "certificate-refused")) return;
  const { reason, tenantId, deviceId, step } = error.details;
  // One that says its step comes from a registered authority, where it has been written down.
  if (step !== undefined) return;
  if (typeof tenantId !== "string" || typeof deviceId !== "string") return;
  if (!OF_A_GENUINE_ONE.includes(String(reason))) return;
  // Its serial and its end are of no interest here: nothing is granted to it.
  const peer = { tenantId, deviceId, serial: "", notAfter: new Date(0) };
  await note({ tenantId, via, authority: { kind: "certificate", peer }, address }, error);
}

/**
 * Writes down why enrolments were refused, and at which step. A stranger's attempts are counted
 * only; those of somebody with a claim, a certificate or a listed key are recorded, within bounds,
 * with the number of those that the bound left out.
 */
export function createRefusalLog(deps: Deps): NoteRefusal {
  const { db, clock, tenancy } = deps;
  const recent = new TtlCache<{ count: number }>({
    clock,
    ttlMs: 60_000,
    maxEntries: MAX_TENANTS_TRACKED,
  });

  return async function noteRefusal(request, error, asked = {}) {
    const { authority } = request;
    if (!isAppError(error) || error.status >= 500 || error.code === "enrolment-pending") return;
    const reason = String(error.details.reason ?? error.code);
    refused.inc({ authority: authority.kind, reason });
    // Operators' refused requests are recorded by the API.
    if (authority.kind === "operator") return;
    // A device that reaches for another tenant is its own tenant's affair.
    const tenantId = authority.kind === "certificate" ? authority.peer.tenantId : request.tenantId;
    const name = isTenantId(tenantId) ? await nameOf(request, error, asked) : undefined;
    if (name === undefined) return;
    const seen = recent.get(tenantId) ?? { count: 0 };
    if (seen.count === 0) recent.set(tenantId, seen);
    seen.count += 1;
    if (seen.count > MAX_REFUSALS_PER_MINUTE) return;
    const isLast = seen.count === MAX_REFUSALS_PER_MINUTE;
    await record(tenantId, request, error, { name, askedDevice: asked.deviceId, isLast });
  };

  /** Name of what whoever asked has shown; undefined where this tenant gave out nothing of it. */
  async function nameOf(
    { tenantId, authority }: RefusedRequest,
    error: AppError,
    { publicKeySha256 }: AskedDevice,
  ): Promise<string | undefined> {
    const { claimToken } = error.details;
    if (typeof claimToken === "string") return claimToken;
    if (authority.kind === "certificate") return authority.peer.deviceId;
    if (authority.kind === "listed-key") {
      // Whoever shows nothing asks by this right: only the key tells strangers from the listed.
      if (publicKeySha256 === undefined) return undefined;
      const entry = await db.tenant(tenantId, (tx) => entryWithKey(tx, tenantId, publicKeySha256));
      return entry && "preauthorised list";
    }
    if (authority.kind !== "claim") return undefined;
    const claim = await db.tenant(tenantId, (tx) => findClaim(tx, tenantId, proofOf(authority)));
    return claim?.name;
  }

  async function record(
    tenantId: string,
    { authority, via, address, actor, action = "device.enroll" }: RefusedRequest,
    error: AppError,
    {
      name,
      askedDevice,
      isLast,
    }: { name: string; askedDevice: string | undefined; isLast: boolean },
  ): Promise<void> {
    const { reason, step, deviceId } = error.details;
    const details = {
      reason: String(reason ?? error.code),
      step: String(step ?? ""),
      message: error.message,
      via,
      ...(isLast ? { note: "further refusals of this minute are counted only" } : {}),
    };
    await db.tenant(tenantId, async (tx) => {
      const why = { reason: details.reason, message: error.message };
      // A device that was deleted while it asked has no rotation to speak of.
      const isRenewal = action === "device.enroll" && !isForeign(authority);
      if (isRenewal && error.code !== "not-found") {
        await recordRefusedRequest(tx, authority, why, new Date(clock.now()));
      }
      await tenancy.audit.record(tx, tenantId, {
        actor: actor ?? actorOf(authority, name),
        address,
        action,
        targetKind: "device",
        targetId: String(deviceId || askedDevice || ""),
        outcome: "refused",
        details,
      });
    });
  }
}

/** With a certificate of the tenant's own authority: nothing of ours is being renewed. */
function isForeign(authority: EnrolmentRequest["authority"]): boolean {
  return authority.kind === "certificate" && authority.peer.registeredAuthorityId !== undefined;
}
