import { AppError } from "../kernel/index.ts";
import { toPem } from "../protocol/index.ts";
import type { DeviceStatus } from "./certificate-store.ts";
import { claimRefused } from "./enrolment-claims.ts";
import { keyRefusal } from "./enrolment-rights.ts";
import type { EnrolmentStep } from "./enrolment-steps.ts";

/** A request that is repeated with its key within this time is the same request. */
const REPEAT_WINDOW_MS = 24 * 3_600_000;
/** Certificates that one device may be given within `ISSUING_WINDOW_MS`. */
export const MAX_ISSUED = 100;
export const ISSUING_WINDOW_MS = 3_600_000;
/** Certificates of one device that are accepted at a time. */
export const MAX_ACTIVE = 3;

/** A certificate as far as it matters to a renewal. */
export interface HeldCertificate {
  serial: string;
  device_id: string;
  ca_id: string;
  status: "active" | "superseded" | "revoked";
  public_key_sha256: string;
  issued_at: Date;
  not_after: Date;
  first_used_at: Date | null;
  revocation_reason: string | null;
  /** DER, where it was kept to be given again. */
  certificate_der: Buffer | null;
}

/** What is known, under lock, when a renewal is decided. */
export interface RenewalFacts {
  deviceId: string;
  /** Undefined where there is no such device. */
  deviceStatus: DeviceStatus | undefined;
  /** Of the certificate that the device has proved itself with. */
  peerSerial: string;
  /** As the registry has it; `registered` for one of an authority that is not ours. */
  peer: Pick<HeldCertificate, "device_id" | "status"> | "registered" | undefined;
  publicKeySha256: string;
  isCompromised: boolean;
  /** Certificates of any device that hold the key. */
  holders: readonly HeldCertificate[];
  /** The device's own that are in force. */
  own: readonly HeldCertificate[];
  /** How many the device was given within the last hour. */
  issuedLately: number;
  issuerId: string;
  nowMs: number;
}

export type RenewalDecision =
  /** The reply to the first request was lost: the same certificate again. */
  | { kind: "again"; serial: string; pem: string }
  /** A new certificate; those that are too many then end. */
  | { kind: "issue"; supersede: string[] };

/** Decides on one renewal; the refusal names the step at which it came. */
export function decideRenewal(facts: RenewalFacts): RenewalDecision {
  at("right", assertStanding, facts);
  at("key", assertKey, facts);
  const again = issuedBefore(facts);
  if (again) return again;
  at("issue", assertIssuingRate, facts);
  return { kind: "issue", supersede: excessOf(facts) };
}

function at(step: EnrolmentStep, check: (facts: RenewalFacts) => void, facts: RenewalFacts): void {
  try {
    check(facts);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new AppError(error.code, error.message, { ...error.details, step }, { cause: error });
  }
}

function assertStanding({ deviceId, deviceStatus, peer }: RenewalFacts): void {
  if (!deviceStatus) throw new AppError("not-found", "there is no such device", { deviceId });
  if (deviceStatus === "revoked") throw claimRefused("device-revoked", deviceId, undefined);
  // One of a registered authority stands outside our registry; the check at the door was just now.
  if (peer === "registered") return;
  if (peer?.device_id === deviceId && peer.status !== "revoked") return;
  throw new AppError("certificate-refused", "the current certificate was revoked", {
    reason: "revoked",
  });
}

function assertKey({ deviceId, holders, isCompromised }: RenewalFacts): void {
  const refusal = keyRefusal(deviceId, holders, isCompromised);
  if (refusal) throw refusal;
}

function issuedBefore(facts: RenewalFacts): RenewalDecision | undefined {
  const [newest] = facts.holders
    .filter((one) => one.status === "active" && one.device_id === facts.deviceId)
    .sort((left, right) => right.issued_at.getTime() - left.issued_at.getTime());
  if (!newest?.certificate_der || newest.serial === facts.peerSerial) return undefined;
  const ageMs = facts.nowMs - newest.issued_at.getTime();
  const isRecent = newest.first_used_at === null || ageMs < REPEAT_WINDOW_MS;
  const isFresh = newest.not_after.getTime() - facts.nowMs > ageMs;
  if (!isRecent || !isFresh || newest.ca_id !== facts.issuerId) return undefined;
  const pem = toPem("CERTIFICATE", newest.certificate_der);
  return { kind: "again", serial: newest.serial, pem };
}

/** Bounds what a device out of its mind can make the platform issue. */
function assertIssuingRate({ deviceId, issuedLately }: RenewalFacts): void {
  if (issuedLately < MAX_ISSUED) return;
  throw new AppError("rate-limited", "the device has been given too many certificates lately", {
    reason: "rate",
    deviceId,
    retryAfterSeconds: ISSUING_WINDOW_MS / 1_000,
  });
}

function excessOf({ own, peerSerial, nowMs }: RenewalFacts): string[] {
  return excessCertificates(own, { keep: MAX_ACTIVE - 1, except: peerSerial, nowMs });
}

/** Which active certificates have to end so that `keep` of them are left; one is never among them. */
export function excessCertificates<
  Held extends Pick<
    HeldCertificate,
    "serial" | "status" | "not_after" | "first_used_at" | "issued_at"
  >,
>(
  held: readonly Held[],
  { keep, except, nowMs }: { keep: number; except: string | undefined; nowMs: number },
): string[] {
  const active = held.filter((one) => one.status === "active" && one.not_after.getTime() > nowMs);
  return (
    active
      .filter((one) => one.serial !== except)
      // Unused ones go first, then the oldest.
      .sort(
        (left, right) =>
          Number(left.first_used_at !== null) - Number(right.first_used_at !== null) ||
          left.issued_at.getTime() - right.issued_at.getTime(),
      )
      .slice(0, Math.max(0, active.length - keep))
      .map((one) => one.serial)
  );
}
