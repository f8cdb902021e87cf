import type { Residual } from "./fleet-slots.ts";
import type { Finding } from "./open-alerts.ts";
import type { RestartFinding } from "./restarts.ts";
import { ODD_SCORE } from "./series-detector.ts";

/** An alert as the detectors word it: the title says what, by how much, and where to look. */
export interface AlertReport {
  key: string;
  kind: string;
  severity: "info" | "warning" | "critical";
  title: string;
  subjectKind: string;
  subjectId: string;
  details: Record<string, unknown>;
}

/** The moment and the devices of a finding. */
export interface Sighting {
  metric: string;
  ts: number;
  cohort: string;
}

const MAX_LISTED_DEVICES = 100;
/** Restart alerts of a device or cohort; their ends are found by it. */
export const restartKey = (deviceId: string | null, cohort: string): string =>
  deviceId === null ? `restarts:fleet:${cohort}` : `restarts:${deviceId}`;

export function deviceAlert(
  { metric, ts }: Sighting,
  finding: Residual & { usual: number; median: number | null; peers: number; score: number },
): AlertReport {
  const { deviceId, value, usual, median, peers, score } = finding;
  const compared = comparedWith(value, usual, score);
  const against =
    median === null
      ? compared
      : `${compared}, while its ${peers} peers are steady at ${figure(median)}`;
  return {
    key: `anomaly:${deviceId}:${metric}`,
    kind: "anomaly",
    severity: "warning",
    title:
      `${nameOf(metric)} of ${deviceId} is ${figure(value)}, ${against} ` +
      `(score ${figure(score)}). Look at its telemetry around ${moment(ts)}: /devices/${deviceId}`,
    subjectKind: "device",
    subjectId: deviceId,
    details: { metric, ts, value, usual, score, median, peers },
  };
}

const MAX_NAMED_METRICS = 4;

/** One alert for what became unusual on a device at about the same time; the first comes first. */
export function companyAlert(key: string, findings: readonly Finding[]): AlertReport {
  const [first, ...others] = findings as [Finding, ...Finding[]];
  const { deviceId, metric, ts, value, usual, score } = first;
  const told = findings
    .slice(0, MAX_NAMED_METRICS)
    .map(
      (one) =>
        `${nameOf(one.metric)} is ${figure(one.value)}, ${comparedWith(one.value, one.usual, one.score)}`,
    );
  const more = findings.length - told.length;
  return {
    key,
    kind: "anomaly",
    severity: "warning",
    title:
      `${findings.length} figures of ${deviceId} are unusual at once: ${told.join("; ")}` +
      `${more > 0 ? `; and ${more} more` : ""}. ` +
      `Look at its telemetry around ${moment(ts)}: /devices/${deviceId}`,
    subjectKind: "device",
    subjectId: deviceId,
    details: {
      ...{ metric, ts, value, usual, score },
      also: others.map(({ deviceId: _device, ...finding }) => finding),
    },
  };
}

export function fleetAlert(
  { metric, ts, cohort }: Sighting,
  finding: { median: number; usual: number; peers: number; score: number },
): AlertReport {
  const { median, usual, peers, score } = finding;
  return {
    key: `anomaly:fleet:${cohort}:${metric}`,
    kind: "fleet-anomaly",
    severity: "critical",
    title:
      `The median ${nameOf(metric)} of all ${peers} ${ofCohort(cohort)} is ${figure(median)}, ` +
      `${comparedWith(median, usual, score)} (score ${figure(score)}). What has changed for all of them around ${moment(ts)}? ` +
      "See the rollouts and the platform's own state: /fleet",
    subjectKind: "fleet",
    subjectId: cohort || "fleet",
    details: { metric, ts, cohort, median, usual, score, devices: peers },
  };
}

export function commonAlert(
  { metric, ts, cohort }: Sighting,
  found: readonly AlertReport[],
): AlertReport {
  const devices = found.slice(0, MAX_LISTED_DEVICES).map((report) => report.subjectId);
  return {
    key: `anomaly:many:${cohort}:${metric}`,
    kind: "fleet-anomaly",
    severity: "critical",
    title:
      `${nameOf(metric)} is unusual on ${found.length} ${ofCohort(cohort)} at once since ` +
      `${moment(ts)}. Look at what they have in common: /fleet; the first is /devices/${devices[0]}`,
    subjectKind: "fleet",
    subjectId: cohort || "fleet",
    details: { metric, ts, cohort, devices },
  };
}

export function restartAlert(finding: RestartFinding, cohort: string, ts: number): AlertReport {
  const { deviceId, restarts, peers, isCreep } = finding;
  const key = restartKey(deviceId, cohort);
  const details = { ts, restarts, peers: peers.devices, peerRestarts: peers.restarts, isCreep };
  if (deviceId === null) {
    return {
      key,
      kind: "fleet-restarts",
      severity: "critical",
      title:
        `The ${peers.devices + 1} ${ofCohort(cohort)} restart again and again: ${restarts} times ` +
        "in a day in the middle of them. Stop what is being rolled out to them: /rollouts",
      subjectKind: "fleet",
      subjectId: cohort || "fleet",
      details,
    };
  }
  const compared =
    peers.devices > 0
      ? `its ${peers.devices} peers ${peers.restarts} times all together`
      : "and it has no peers to compare with";
  return {
    key,
    kind: "restarts",
    severity: "warning",
    title: isCreep
      ? `${deviceId} has kept restarting over the last days, far more often than its peers ` +
        `(${peers.restarts} restarts of ${peers.devices} devices today). Look at its log: /devices/${deviceId}`
      : `${deviceId} restarted ${restarts} times within a day, ${compared}. ` +
        `Look at its log before each restart: /devices/${deviceId}`,
    subjectKind: "device",
    subjectId: deviceId,
    details,
  };
}

/** How far a value is from what was expected: by its factor, where that says something. */
function comparedWith(value: number, usual: number, score: number): string {
  // Not far from anything: what is usual at this hour would say nothing of it.
  if (score === ODD_SCORE) return "between its usual values or unmoved for longer than ever";
  const factor = value / usual;
  if (usual > 0 && value > 0 && (factor >= 1.5 || factor <= 0.67)) {
    return `${figure(factor)}× its usual ${figure(usual)} at this hour`;
  }
  return figure(value) === figure(usual)
    ? "as is usual at this hour, but not in how it moves"
    : `where ${figure(usual)} is usual at this hour`;
}

/** What the platform counts itself is called by a name that says so. */
function nameOf(metric: string): string {
  if (metric === "_platform.bytes_received") return "Traffic from the device (bytes/s)";
  if (metric === "_platform.bytes_sent") return "Traffic to the device (bytes/s)";
  return metric;
}

function ofCohort(cohort: string): string {
  return cohort ? `devices of ${cohort}` : "devices";
}

function figure(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function moment(ts: number): string {
  return `${new Date(ts).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
