import type { NewPoint } from "../telemetry/index.ts";
import {
  type AlertReport,
  commonAlert,
  companyAlert,
  deviceAlert,
  fleetAlert,
  restartAlert,
  type Sighting,
} from "./alert-reports.ts";
import { compareWithPeers, FleetSlots, type PeerGroup, type Slot } from "./fleet-slots.ts";
import { ALERT_SCORE, type MetricRules, USUAL_RULES } from "./metric-rules.ts";
import { type Finding, OpenAlerts } from "./open-alerts.ts";
import { RestartWatch } from "./restarts.ts";
import { SeriesSlab } from "./series-slab.ts";
import type { AlertsSnapshot, WatchSnapshot } from "./snapshots.ts";

/** What is to be done about an alert. */
export type AlertChange = { kind: "raise"; report: AlertReport } | { kind: "resolve"; key: string };

/** With whom a device is compared. */
export interface Cohort {
  /** Product and hardware revision. */
  kind: string;
  /** Version of the firmware that it runs. */
  firmware: string;
}

const UPTIME = "heartbeat.uptimeSeconds";
/** Totals that only rise; what matters about them is how fast. */
const BYTE_COUNTER = /(^|\.)bytes_?(sent|received)$/i;

const MAX_OPEN_VALUES = 500_000;
const MAX_DEVICES = 200_000;
const MAX_OPEN_SERIES = 1_000;
/** Devices that are unusual in the same slot beyond which there is one alert for them all. */
const COMMON_CAUSE_DEVICES = 10;
const LATE_MS = 30_000;
/** How old a point may be and still be news; a device that was away sends its past at once. */
const BACKLOG_MS = 15 * 60_000;
const NO_COHORT: Cohort = { kind: "", firmware: "" };

export interface TenantWatchOptions {
  maxSeries: number;
  slotMs: number;
  /** Points before it teach and raise nothing. */
  liveFrom: number;
}

/** Everything that the detectors know about one tenant's fleet. Deterministic: no clock, no chance. */
export class TenantWatch {
  readonly #slotMs: number;
  readonly #slab: SeriesSlab;
  readonly #slots: FleetSlots;
  readonly #restarts = new RestartWatch(MAX_DEVICES);
  readonly #counters = new Map<string, { ts: number; value: number }>();
  readonly #open: OpenAlerts;
  /** Restart alerts that are open, with the device by which their end is known. */
  readonly #restartAlerts = new Map<string, string>();
  #liveFrom: number;
  /** What is older is a backlog: it teaches, and is nobody's news. */
  #recentFrom = Number.NEGATIVE_INFINITY;
  #rules: MetricRules = USUAL_RULES;
  #cohorts: ReadonlyMap<string, Cohort> = new Map();
  #members = new Map<string, Set<string>>();

  constructor({ maxSeries, slotMs, liveFrom }: TenantWatchOptions) {
    this.#slotMs = slotMs;
    this.#liveFrom = liveFrom;
    this.#slab = new SeriesSlab(maxSeries);
    this.#open = new OpenAlerts({ maxSeries: MAX_OPEN_SERIES, slotMs });
    this.#slots = new FleetSlots({
      slotMs,
      graceMs: Math.min(LATE_MS, slotMs / 2),
      maxOpenValues: MAX_OPEN_VALUES,
    });
  }

  get series(): number {
    return this.#slab.size;
  }

  setCohorts(cohorts: ReadonlyMap<string, Cohort>): void {
    this.#cohorts = cohorts;
    this.#members = new Map();
    for (const deviceId of cohorts.keys()) this.#join(this.#cohortOf(deviceId), deviceId);
  }

  /** A metric that is switched off teaches nothing either; its alerts end like those of a lost one. */
  setRules(rules: MetricRules): void {
    this.#rules = rules;
  }

  /** Takes points in the order in which they came in; `nowMs` bounds what their clocks may say. */
  take(points: readonly NewPoint[], nowMs: number): AlertChange[] {
    this.#recentFrom = nowMs - BACKLOG_MS;
    const changes: AlertChange[] = [];
    const restarted = new Map<string, Map<string, number>>();
    for (const point of points) this.#takePoint(point, nowMs, restarted);
    for (const [cohort, devices] of restarted) this.#takeRestarts(cohort, devices, changes);
    for (const slot of this.#slots.takeComplete()) this.#takeSlot(slot, changes);
    return changes;
  }

  /** Ends what only the passing of time can end. */
  settle(nowMs: number): AlertChange[] {
    const ended = this.#open.expire(nowMs);
    for (const [key, deviceId] of this.#restartAlerts) {
      if (this.#restarts.calmAt(deviceId) > nowMs) continue;
      this.#restartAlerts.delete(key);
      ended.push(key);
    }
    return ended.map((key) => ({ kind: "resolve", key }));
  }

  snapshot(): WatchSnapshot {
    return {
      slotMs: this.#slotMs,
      liveFrom: this.#liveFrom,
      slab: this.#slab.snapshot(),
      slots: this.#slots.snapshot(),
      open: this.#open.snapshot(),
      restarts: this.#restarts.snapshot(),
      restartAlerts: [...this.#restartAlerts],
      counters: [...this.#counters].map(([key, { ts, value }]) => [key, ts, value]),
    };
  }

  restore(snapshot: WatchSnapshot): void {
    this.#liveFrom = snapshot.liveFrom;
    this.#slab.restore(snapshot.slab);
    this.#slots.restore(snapshot.slots);
    this.#restarts.restore(snapshot.restarts);
    this.restoreAlerts(snapshot);
    for (const [key, ts, value] of snapshot.counters) this.#counters.set(key, { ts, value });
  }

  /** Of one that knows nothing else: what is open ends when its series has been calm, or silent. */
  restoreAlerts({ open, restartAlerts }: AlertsSnapshot): void {
    this.#open.restore(open);
    for (const [key, deviceId] of restartAlerts) this.#restartAlerts.set(key, deviceId);
  }

  #takePoint(
    { deviceId, metric, ts, value }: NewPoint,
    nowMs: number,
    restarted: Map<string, Map<string, number>>,
  ): void {
    const cohort = this.#cohortOf(deviceId);
    this.#join(cohort, deviceId);
    if (metric === UPTIME) {
      // What a device that was away brings of its past counts, and is nobody's news.
      const isNews = ts >= this.#liveFrom && ts >= this.#recentFrom;
      if (!this.#restarts.observe(deviceId, ts, value) || !isNews) return;
      const devices = restarted.get(cohort) ?? new Map<string, number>();
      restarted.set(cohort, devices.set(deviceId, ts));
      return;
    }
    if (!this.#rules.of(metric).enabled) return;
    const fed = BYTE_COUNTER.test(metric) ? this.#rate(deviceId, metric, ts, value) : value;
    if (fed === undefined) return;
    const { kind } = this.#cohorts.get(deviceId) ?? NO_COHORT;
    this.#slots.add({ kind, deviceId, metric, ts, value: fed }, nowMs);
  }

  #cohortOf(deviceId: string): string {
    const { kind, firmware } = this.#cohorts.get(deviceId) ?? NO_COHORT;
    return firmware ? `${kind} with ${firmware}` : kind;
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

  #takeRestarts(
    cohort: string,
    devices: ReadonlyMap<string, number>,
    changes: AlertChange[],
  ): void {
    for (const finding of this.#restarts.judge(devices, [...(this.#members.get(cohort) ?? [])])) {
      const deviceId = finding.deviceId ?? (devices.keys().next().value as string);
      const report = restartAlert(finding, cohort, devices.get(deviceId) as number);
      if (this.#restartAlerts.has(report.key) || this.#restartAlerts.size >= MAX_OPEN_SERIES) {
        // The cohort's end is known by whoever of it restarted last.
        if (finding.deviceId === null) this.#restartAlerts.set(report.key, deviceId);
        continue;
      }
      this.#restartAlerts.set(report.key, deviceId);
      changes.push({ kind: "raise", report });
    }
  }

  #takeSlot(slot: Slot, changes: AlertChange[]): void {
    for (const group of compareWithPeers(slot, (deviceId) => this.#cohortOf(deviceId))) {
      this.#takeGroup(slot, group, changes);
    }
  }

  #takeGroup({ metric, ts }: Slot, group: PeerGroup, changes: AlertChange[]): void {
    const { cohort, residuals, median, peers } = group;
    const sighting: Sighting = { metric, ts, cohort };
    const fleet = group.isOwnMedian && this.#takeMedian(sighting, group, changes);
    const found = new Map<string, { report: AlertReport; finding: Finding }>();
    for (const residual of residuals) {
      const mode = median === null ? "own" : "peers";
      const series = JSON.stringify([mode, residual.deviceId, metric]);
      const score = this.#score(series, ts, residual.residual, changes);
      // A fleet that moves as a whole is one event, not one for each device.
      if (fleet || !this.#isNews(series, sighting, score)) continue;
      // Among peers a device is expected where they are, at its usual distance from them.
      const usual = (this.#slab.expected(series) ?? 0) + (median ?? 0);
      const { deviceId, value } = residual;
      const report = deviceAlert(sighting, { ...residual, usual, median, peers, score });
      found.set(series, { report, finding: { deviceId, metric, ts, value, usual, score } });
    }
    if (found.size === 0) return;
    if (found.size > COMMON_CAUSE_DEVICES) this.#raiseCommon(sighting, found, changes);
    else for (const [series, one] of found) this.#raiseOne(series, one, changes);
  }

  /** One alert for many devices. */
  #raiseCommon(
    sighting: Sighting,
    found: ReadonlyMap<string, { report: AlertReport }>,
    changes: AlertChange[],
  ): void {
    const report = commonAlert(
      sighting,
      [...found.values()].map((one) => one.report),
    );
    const opened = [...found.keys()].filter((series) =>
      this.#open.open(series, report.key, sighting.ts),
    );
    if (opened.length > 0) changes.push({ kind: "raise", report });
  }

  /** An alert of its own, or a part of the one that the same device has just given rise to. */
  #raiseOne(
    series: string,
    { report, finding }: { report: AlertReport; finding: Finding },
    changes: AlertChange[],
  ): void {
    const company = this.#open.company(finding);
    const told = company ? companyAlert(company.key, [...company.findings, finding]) : report;
    if (this.#open.open(series, told.key, finding.ts, finding)) {
      changes.push({ kind: "raise", report: told });
    }
  }

  /** Scores the cohort's median; whether it is itself unusual now. */
  #takeMedian(sighting: Sighting, group: PeerGroup, changes: AlertChange[]): boolean {
    const { metric, ts, cohort } = sighting;
    const median = group.median as number;
    const series = JSON.stringify(["fleet", cohort, metric]);
    const score = this.#score(series, ts, median, changes);
    if (this.#isNews(series, sighting, score)) {
      const usual = this.#slab.expected(series) ?? median;
      const report = fleetAlert(sighting, { median, usual, peers: group.peers, score });
      if (this.#open.open(series, report.key, ts)) changes.push({ kind: "raise", report });
    }
    return this.#slab.present(series) >= ALERT_SCORE;
  }

  /** Feeds a series, and ends its alert when it has been calm for long enough. */
  #score(series: string, ts: number, value: number, changes: AlertChange[]): number {
    const score = this.#slab.score(series, ts, value) ?? 0;
    const ended = this.#open.settle(series, this.#slab.present(series), ts);
    if (ended !== undefined) changes.push({ kind: "resolve", key: ended });
    return score;
  }

  /** Unusual, not long past, and not part of what an open alert has told already. */
  #isNews(series: string, { metric, ts }: Sighting, score: number): boolean {
    const isRecent = ts >= this.#liveFrom && ts >= this.#recentFrom;
    return score >= this.#rules.of(metric).threshold && isRecent && !this.#open.has(series);
  }
}
