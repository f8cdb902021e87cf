import type { TlsListener } from "../../kernel/acme-settings.ts";
import type { AcmeCertificateRow } from "./acme-store.ts";

/** How server certificates are had from an ACME authority. */
export interface AcmeOptions {
  directoryUrl: string;
  names: readonly string[];
  listeners: readonly TlsListener[];
  email?: string | undefined;
  externalAccount?: { kid: string; hmacKey: string } | undefined;
  /** Root that vouches for a private authority's own server. */
  caFile?: string | undefined;
  /** Between two looks at an order under way, at first; a second where absent. */
  pollMs?: number;
}

/** What people are told of it. */
export interface AcmeStatus {
  directoryUrl: string;
  names: string[];
  listeners: TlsListener[];
  /** `waiting` before the first certificate; `failing` where the last attempt came to nothing. */
  state: "waiting" | "ordering" | "valid" | "failing" | "expired";
  notAfter: Date | null;
  renewAt: Date | null;
  failures: number;
  lastStep: string | null;
  lastError: string | null;
  attemptedAt: Date | null;
  nextAttemptAt: Date | null;
}

export function statusOf(
  acme: AcmeOptions,
  row: AcmeCertificateRow | undefined,
  now: number,
): AcmeStatus {
  const { not_before: notBefore = null, not_after: notAfter = null } = row ?? {};
  const isOrdering = (row?.leased_until?.getTime() ?? 0) > now;
  const state = isOrdering
    ? "ordering"
    : notAfter && notAfter.getTime() <= now
      ? "expired"
      : row && row.failures > 0
        ? "failing"
        : notAfter
          ? "valid"
          : "waiting";
  return {
    directoryUrl: acme.directoryUrl,
    names: [...acme.names],
    listeners: [...acme.listeners],
    state,
    notAfter,
    renewAt: notBefore && notAfter && renewalOf(notBefore, notAfter),
    failures: row?.failures ?? 0,
    lastStep: row?.last_step ?? null,
    lastError: row?.last_error ?? null,
    attemptedAt: row?.attempted_at ?? null,
    nextAttemptAt: row?.next_attempt_at ?? null,
  };
}

/** When two thirds of the life are over, as with our own certificates. */
export function renewalOf(notBefore: Date, notAfter: Date): Date {
  const lifetime = notAfter.getTime() - notBefore.getTime();
  return new Date(notBefore.getTime() + (lifetime * 2) / 3);
}
