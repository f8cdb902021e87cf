import type { NewPoint } from "../telemetry/index.ts";
import type { AlertReport } from "./detectors.ts";
import { compareWithPeers, FleetSlots, type Slot, VOLUME } from "./fleet-slots.ts";
import { type RestartFinding, RestartWatch } from "./restarts.ts";
import type { SeriesSlab } from "./series-slab.ts";

/** What is to be done about an alert. */
export type AlertChange = { kind: "raise"; report: AlertReport } | { kind: "resolve"; key: string };

/** A score from here on is an alert: on quiet series, less than one in a month of minutes. */
export const ALERT_SCORE = 0.6;
/** Below this things are calm, and after so many calm slots an alert is over. */
const CALM_SCORE = 0.35;
const CALM_SLOTS = 10;

const UPTIME = "heartbeat.uptimeSeconds";
/** Totals that only rise; what matters about them is how fast. */
const BYTE_COUNTER = /(^|\.)bytes(Sent|Received)$/i;

const MAX_OPEN_VALUES = 500_000;
const MAX_DEVICES = 200_000;
const MAX_OPEN_ALERTS = 1_000;
/** Devices that are unusual in the same slot beyond which there is one alert for them all. */
const COMMON_CAUSE_DEVICES = 10;
const MAX_LISTED_DEVICES = 100;
const LATE_MS = 30_000;

/** Everything that the detectors know about one tenant's fleet. Deterministic: no clock, no chance. */
export class TenantWatch {
  readonly #tenantId: string;
  readonly #slab: SeriesSlab;
  readonly #liveFrom: number;
  readonly #slots: FleetSlots;
  readonly #restarts = new RestartWatch(MAX_DEVICES);
  readonly #counters = new Map<string, { ts: number; value: number }>();
  readonly #open = new Map<string, { key: string; calm: number }>();
  #cohorts: ReadonlyMap<string, string> = new Map();
  #members = new Map<string, Set<string>>();

  /** Points before `liveFrom` teach and raise nothing. */
  constructor(options: { tenantId: string; slab: SeriesSlab; slotMs: number; liveFrom: number }) {
    this.#tenantId = options.tenantId;
    this.#slab = options.slab;
    this.#liveFrom = options.liveFrom;
    this.#slots = new FleetSlots({
      slotMs: options.slotMs,
      graceMs: Math.min(LATE_MS, options.slotMs / 2),
      maxOpenValues: MAX_OPEN_VALUES,
    });
  }

  setCohorts(cohorts: ReadonlyMap<string, string>): void {
    this.#cohorts = cohorts;
    this.#members = new Map();
    for (const [deviceId, cohort] of cohorts) this.#join(cohort, deviceId);
  }

  /** Takes points in the order in which they came in. */
  take(points: readonly NewPoint[]): AlertChange[] {
    const changes: AlertChange[] = [];
    for (const point of points) this.#takePoint(point, changes);
    for (const slot of this.#slots.takeComplete()) this.#takeSlot(slot, changes);
    return changes;
  }

  #takePoint({ deviceId, metric, ts, value }: NewPoint, changes: AlertChange[]): void {
    const cohort = this.#cohorts.get(deviceId) ?? "";
    this.#join(cohort, deviceId);
    if (metric === UPTIME) {
      if (!this.#restarts.observe(deviceId, ts, value) || ts < this.#liveFrom) return;
      const finding = this.#restarts.judge(deviceId, ts, [...(this.#members.get(cohort) ?? [])]);
      if (finding) changes.push(restartAlert(finding, cohort, ts));
      return;
    }
    const fed = BYTE_COUNTER.test(metric) ? this.#rate(deviceId, metric, ts, value) : value;
    if (fed !== undefined) this.#slots.add(cohort, deviceId, metric, ts, fed);
    if (!metric.startsWith("heartbeat.")) this.#slots.add(cohort, deviceId, VOLUME, ts, 1);
  }

  #join(cohort: string, deviceId: string): void {
    const members = this.#members.get(cohort);
    if (!members) this.#members.set(cohort, new Set([deviceId]));
    else if (members.size < MAX_DEVICES) members.add(deviceId);
  }

  /** How fast a total rises, per second; undefined for its first value and after it began anew. */
  #rate(deviceId: string, metric: string, ts: number, value: number): number | undefined {
    const key = `${deviceId}/${metric}`;
    const before = this.#counters.get(key);
    if (before && ts <= before.ts) return undefined;
    if (before || this.#counters.size < MAX_DEVICES) this.#counters.set(key, { ts, value });
    if (!before || value < before.value) return undefined;
    return ((value - before.value) / (ts - before.ts)) * 1000;
  }

  #takeSlot(slot: Slot, changes: AlertChange[]): void {
    const { residuals, median } = compareWithPeers(slot);
    const fleet = median !== null && this.#takeMedian(slot, median, changes);
    const mode = median === null ? "own" : "peers";
    const found = new Map<string, AlertReport>();
    for (const { deviceId, value, residual } of residuals) {
      const series = this.#name(mode, deviceId, slot.metric);
      const score = this.#slab.score(series, slot.ts, residual) ?? 0;
      this.#settle(series, changes);
      // A fleet that moves as a whole is one event, not one for each device.
      if (fleet || !this.#isNews(series, slot, score)) continue;
      found.set(series, deviceAlert(slot, { deviceId, value, median, score }));
    }
    if (found.size > COMMON_CAUSE_DEVICES) {
      changes.push({ kind: "raise", report: commonAlert(slot, [...found.values()]) });
      return;
    }
    for (const [series, report] of found) {
      this.#remember(series, report.key);
      changes.push({ kind: "raise", report });
    }
  }

  /** Scores the cohort's median; whether it is itself unusual now. */
  #takeMedian(slot: Slot, median: number, changes: AlertChange[]): boolean {
    const series = this.#name("fleet", slot.cohort, slot.metric);
    const score = this.#slab.score(series, slot.ts, median) ?? 0;
    this.#settle(series, changes);
    if (this.#isNews(series, slot, score)) {
      const report = fleetAlert(slot, median, score);
      this.#remember(series, report.key);
      changes.push({ kind: "raise", report });
    }
    return this.#slab.present(series) >= ALERT_SCORE;
  }

  /** Unusual, not long past, and not part of what an open alert has told already. */
  #isNews(series: string, slot: Slot, score: number): boolean {
    return score >= ALERT_SCORE && slot.ts >= this.#liveFrom && !this.#open.has(series);
  }

  #name(mode: string, subject: string, metric: string): string {
    return JSON.stringify([this.#tenantId, mode, subject, metric]);
  }

  /** Ends the alert of a series that has been calm for long enough. */
  #settle(series: string, changes: AlertChange[]): void {
    const open = this.#open.get(series);
    if (!open) return;
    open.calm = this.#slab.present(series) < CALM_SCORE ? open.calm + 1 : 0;
    if (open.calm < CALM_SLOTS) return;
    this.#open.delete(series);
    changes.push({ kind: "resolve", key: open.key });
  }

  #remember(series: string, key: string): void {
    if (this.#open.size < MAX_OPEN_ALERTS) this.#open.set(series, { key, calm: 0 });
  }
}

function deviceAlert(
  { metric, ts, values }: Slot,
  finding: { deviceId: string; value: number; median: number | null; score: number },
): AlertReport {
  const { deviceId, value, median, score } = finding;
  const against = median === null ? "its own past" : "its peers";
  return {
    key: `anomaly:${deviceId}:${metric}`,
    kind: "anomaly",
    severity: "warning",
    title: `${metric} of ${deviceId} is unusual against ${against}`,
    subjectKind: "device",
    subjectId: deviceId,
    details: { metric, ts, value, score, median, peers: median === null ? 0 : values.size },
  };
}

function fleetAlert({ metric, ts, cohort, values }: Slot, median: number, score: number) {
  return {
    key: `anomaly:fleet:${cohort}:${metric}`,
    kind: "fleet-anomaly",
    severity: "critical",
    title: `${metric} is unusual in the whole cohort`,
    subjectKind: "fleet",
    subjectId: cohort || "fleet",
    details: { metric, ts, cohort, median, score, devices: values.size },
  } satisfies AlertReport;
}

function commonAlert({ metric, ts, cohort }: Slot, found: readonly AlertReport[]): AlertReport {
  return {
    key: `anomaly:many:${cohort}:${metric}`,
    kind: "fleet-anomaly",
    severity: "critical",
    title: `${metric} is unusual on ${found.length} devices at once`,
    subjectKind: "fleet",
    subjectId: cohort || "fleet",
    details: {
      metric,
      ts,
      cohort,
      devices: found.slice(0, MAX_LISTED_DEVICES).map((report) => report.subjectId),
    },
  };
}

function restartAlert(finding: RestartFinding, cohort: string, ts: number): AlertChange {
  const { deviceId, restarts, peers } = finding;
  return {
    kind: "raise",
    report: {
      key: deviceId ? `restarts:${deviceId}` : `restarts:fleet:${cohort}`,
      kind: deviceId ? "restarts" : "fleet-restarts",
      severity: deviceId ? "warning" : "critical",
      title: deviceId
        ? `${deviceId} restarted ${restarts} times within an hour`
        : "devices of a whole cohort restart again and again",
      subjectKind: deviceId ? "device" : "fleet",
      subjectId: deviceId ?? (cohort || "fleet"),
      details: { ts, restarts, peers: peers.devices, peerRestarts: peers.restarts },
    },
  };
}
