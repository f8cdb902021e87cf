import type { AlertReport } from "./presence-alerts.ts";

/** What is known of a tenant's certificates that somebody should look at. */
export interface CertificateConcerns {
  overdue: { deviceId: string; notAfter: Date }[];
  failing: {
    deviceId: string;
    step: string;
    error: { element: string; message: string };
    failures: number;
  }[];
  /** Certificates that were refused within the last hour. */
  knocks: number;
}

export const EXPIRING_KEY = "certificates:expiring";
export const FAILING_KEY = "certificates:rotation-failing";
export const KNOCKS_KEY = "certificates:knocks";
const KEYS = [EXPIRING_KEY, FAILING_KEY, KNOCKS_KEY];

const DAY_MS = 86_400_000;
/** What ends this soon and has not been renewed is an emergency. */
const CRITICAL_MS = 3 * DAY_MS;
/** Different certificates refused within an hour. */
const MANY_KNOCKS = 50;

/** The alerts that should be open for a tenant, and the keys of those that should not. */
export function alertsForCertificates(
  concerns: CertificateConcerns,
  nowMs: number,
): { raise: AlertReport[]; resolve: string[] } {
  const raise = [expiring(concerns, nowMs), failing(concerns), knocking(concerns)].filter(
    (report) => report !== undefined,
  );
  const open = raise.map((report) => report.key);
  return { raise, resolve: KEYS.filter((key) => !open.includes(key)) };
}

function expiring({ overdue }: CertificateConcerns, nowMs: number): AlertReport | undefined {
  const [first] = overdue;
  if (!first) return undefined;
  const leftMs = first.notAfter.getTime() - nowMs;
  const end = leftMs <= 0 ? "has ended" : `ends in ${Math.ceil(leftMs / DAY_MS)} days`;
  const { length } = overdue;
  return {
    key: EXPIRING_KEY,
    kind: "certificates-expiring",
    severity: leftMs < CRITICAL_MS ? "critical" : "warning",
    title:
      length === 1
        ? `The certificate of ${first.deviceId} ${end} and was not renewed`
        : `${length} certificates were not renewed in time; the first ${end}`,
    subjectKind: "certificates",
    subjectId: "expiring",
    details: { devices: overdue.map((one) => one.deviceId), first: first.notAfter.toISOString() },
  };
}

function failing({ failing: troubled }: CertificateConcerns): AlertReport | undefined {
  const [first] = troubled;
  if (!first) return undefined;
  const { deviceId, step, failures, error } = first;
  return {
    key: FAILING_KEY,
    kind: "rotation-failing",
    severity: "warning",
    title:
      troubled.length === 1
        ? `${deviceId} failed ${failures} times to renew its certificate, at "${step}"`
        : `${troubled.length} devices fail again and again to renew their certificates`,
    subjectKind: "certificates",
    subjectId: "rotation",
    details: { devices: troubled.map((one) => one.deviceId), step, ...error },
  };
}

function knocking({ knocks }: CertificateConcerns): AlertReport | undefined {
  if (knocks < MANY_KNOCKS) return undefined;
  return {
    key: KNOCKS_KEY,
    kind: "certificate-knocks",
    severity: "warning",
    title: `${knocks} certificates were refused within an hour`,
    subjectKind: "certificates",
    subjectId: "knocks",
    details: { knocks },
  };
}
