import { createHash } from "node:crypto";

/** What a device knows about the life of its certificate; times in milliseconds. */
export interface CertificateLife {
  notBefore: number;
  notAfter: number;
  /** The device's own clock when it got the certificate; null for what it was delivered with. */
  obtainedAt: number | null;
}

/** At two thirds of its life a certificate is renewed, later by up to a tenth of it by chance. */
const RENEW_AFTER = 2 / 3;
const SPREAD = 1 / 10;
const DAY_MS = 86_400_000;
const LEAST_SPREAD_MS = 30_000;

/** A number in [0, 1) that is a device's own and the same each time. */
export function shareOf(...words: readonly string[]): number {
  const digest = createHash("sha256").update(words.join("\0")).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48;
}

/**
 * Whether the certificate is to be renewed. The device's clock may be wrong: where it disagreed
 * with the certificate when that was issued, the time of possession counts. A wrong clock makes a
 * device renew once too often at most, and never makes it give up: whether the certificate is still
 * good is the platform's to say.
 */
export function isRenewalDue(life: CertificateLife, share: number, nowMs: number): boolean {
  const lifetimeMs = life.notAfter - life.notBefore;
  const dueAfterMs = (RENEW_AFTER + SPREAD * share) * lifetimeMs;
  const byCertificate = nowMs - life.notBefore >= dueAfterMs;
  if (life.obtainedAt === null) return byCertificate;
  const disagreementMs = Math.abs(life.obtainedAt - life.notBefore);
  if (disagreementMs <= Math.min(DAY_MS, lifetimeMs / 8)) return byCertificate;
  const heldMs = nowMs - life.obtainedAt;
  // The clock has been set back since, so that it may be right now.
  return heldMs < 0 ? byCertificate : heldMs >= dueAfterMs;
}

/** How often to look, and over how long devices spread that find themselves due together. */
export function pace(life: Pick<CertificateLife, "notBefore" | "notAfter">): {
  checkEveryMs: number;
  spreadMs: number;
} {
  const lifetimeMs = Math.max(0, life.notAfter - life.notBefore);
  const bounded = (ms: number) => Math.min(3_600_000, Math.max(1_000, ms));
  return { checkEveryMs: bounded(lifetimeMs / 200), spreadMs: bounded(lifetimeMs / 50) };
}

/** The time over which to spread a renewal that is due; short where the end is near or past. */
export function catchUpMs(
  life: Pick<CertificateLife, "notBefore" | "notAfter">,
  nowMs: number,
): number {
  const leftMs = life.notAfter - nowMs;
  return Math.min(pace(life).spreadMs, Math.max(LEAST_SPREAD_MS, leftMs / 4));
}
