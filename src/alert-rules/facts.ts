import type { AlertView } from "../alerts/index.ts";
import type { DevicePage, Devices } from "../devices/index.ts";
import type { CheckResult } from "../kernel/health-checks.ts";
import { AppError, LIMITS } from "../kernel/index.ts";
import type { LogLevel } from "../protocol/index.ts";
import type { Aggregate } from "../telemetry/index.ts";
import type { Sample } from "./evaluation.ts";
import { type AlertRuleDocument, DEFAULTS, type RuleSourceDocument } from "./rule-document.ts";

interface RolloutFacts {
  id: string;
  name: string;
  createdAt: Date;
  startedAt: Date | null;
  pausedAt: Date | null;
}

/** The questions that rules ask of the modules. */
export interface FactSources {
  devices: Pick<Devices, "list"> & {
    fleetHealth(tenantId: string, by: "presence", query?: string): Promise<{ total: number }[]>;
  };
  telemetry: {
    figuresByDevice(
      tenantId: string,
      query: {
        metric: string;
        deviceIds: readonly string[];
        from: number;
        to: number;
        aggregate: Aggregate;
      },
    ): Promise<Map<string, number>>;
  };
  logs: {
    countByDevice(
      tenantId: string,
      search: { words?: string; levels?: readonly LogLevel[]; from: number; to: number },
      limit: number,
    ): Promise<Map<string, number>>;
  };
  alerts: {
    list(
      tenantId: string,
      options: { state: "active"; kind: string; limit: number },
    ): Promise<{ items: AlertView[] }>;
  };
  rollouts: {
    list(
      tenantId: string,
      options: { state: string; limit: number },
    ): Promise<{ items: RolloutFacts[] }>;
  };
  identity: {
    radar: {
      expiring(
        tenantId: string,
        before: Date,
        limit: number,
      ): Promise<{ deviceId: string; notAfter: Date }[]>;
    };
  };
  settings(tenantId: string): Promise<{ maxDevices: number }>;
  platformChecks(): Promise<readonly CheckResult[]>;
}

/** Devices that one rule looks at; a larger fleet is asked by a narrower query. */
export const MAX_DEVICES = 20_000;
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
const DAY_MS = 86_400_000;
/** Certificates that end later than this are of no rule's interest. */
const CERTIFICATE_HORIZON_MS = 366 * DAY_MS;
const ANOMALY_KINDS = ["anomaly", "fleet-anomaly", "restarts", "fleet-restarts"];
const FLEET = { kind: "fleet", id: "fleet" };

/** The figures that a rule looks at, of this moment. */
export async function readSamples(
  sources: FactSources,
  tenantId: string,
  spec: AlertRuleDocument,
  nowMs: number,
): Promise<Sample[]> {
  const { source } = spec;
  switch (source.kind) {
    case "devices":
      return deviceSamples(sources, tenantId, source);
    case "metric":
      return metricSamples(sources, tenantId, source, nowMs);
    case "anomalies":
      return anomalySamples(sources, tenantId, source);
    case "logs":
      return logSamples(sources, tenantId, source, nowMs);
    case "rollouts":
      return rolloutSamples(sources, tenantId, source, nowMs);
    case "certificates":
      return certificateSamples(sources, tenantId, source, nowMs);
    case "quota": {
      const [{ maxDevices }, used] = await Promise.all([
        sources.settings(tenantId),
        countDevices(sources, tenantId, undefined),
      ]);
      const value = (100 * used) / maxDevices;
      return [{ key: "", value, labels: { resource: "devices" }, subject: FLEET }];
    }
    case "platform":
      return platformSamples(sources, source);
  }
}

type Found = DevicePage["items"][number];

/** Every device that a query finds; a fleet too large for one rule is refused, not cut. */
async function devicesOf(
  sources: FactSources,
  tenantId: string,
  query: string | undefined,
): Promise<Found[]> {
  const found: Found[] = [];
  let cursor: string | undefined;
  do {
    const page: DevicePage = await sources.devices.list(tenantId, {
      ...(query === undefined ? {} : { query }),
      ...(cursor === undefined ? {} : { cursor }),
      limit: LIMITS.pageSize,
    });
    found.push(...page.items);
    cursor = page.nextCursor ?? undefined;
    if (found.length > MAX_DEVICES) {
      const message = `it finds more than ${MAX_DEVICES} devices: narrow the query, or use per: fleet`;
      throw new AppError("invalid-request", message, { limit: MAX_DEVICES });
    }
  } while (cursor !== undefined);
  return found;
}

function labelsOf(device: Found): Record<string, string> {
  const { id, product, hardwareRevision, region, firmware, tags } = device;
  return {
    ...Object.fromEntries(Object.entries(tags).map(([tag, value]) => [`tag.${tag}`, value])),
    ...{ device: id, product, hardware: hardwareRevision },
    ...(region ? { region } : {}),
    ...(firmware ? { firmware: firmware.version } : {}),
  };
}

const subjectOf = (id: string) => ({ kind: "device", id });

async function countDevices(
  sources: FactSources,
  tenantId: string,
  query: string | undefined,
): Promise<number> {
  const rows = await sources.devices.fleetHealth(tenantId, "presence", query);
  return rows.reduce((sum, { total }) => sum + total, 0);
}

async function deviceSamples(
  sources: FactSources,
  tenantId: string,
  { query = "", within, per, measure }: RuleSourceDocument,
): Promise<Sample[]> {
  if (per !== "fleet") {
    const found = await devicesOf(sources, tenantId, query);
    return found.map((device) => ({
      ...{ key: device.id, value: 1, labels: labelsOf(device), subject: subjectOf(device.id) },
    }));
  }
  if (measure !== "share") {
    const value = await countDevices(sources, tenantId, query);
    return [{ key: "", value, labels: {}, subject: FLEET }];
  }
  const both = within === undefined ? query : `(${within}) and (${query})`;
  const [part, whole] = await Promise.all([
    countDevices(sources, tenantId, both),
    countDevices(sources, tenantId, within),
  ]);
  // Of nothing there is no share.
  if (whole === 0) return [];
  return [{ key: "", value: part / whole, labels: {}, subject: FLEET }];
}

async function metricSamples(
  sources: FactSources,
  tenantId: string,
  source: RuleSourceDocument,
  nowMs: number,
): Promise<Sample[]> {
  const { metric = "", aggregate = "mean", windowSeconds = DEFAULTS.windowSeconds } = source;
  const devices = await devicesOf(sources, tenantId, source.query);
  if (devices.length === 0) return [];
  const figures = await sources.telemetry.figuresByDevice(tenantId, {
    ...{ metric, aggregate, from: nowMs - windowSeconds * 1_000, to: nowMs + 1 },
    deviceIds: devices.map(({ id }) => id),
  });
  if (source.per === "fleet") {
    const value = combine([...figures.values()], aggregate);
    return value === null ? [] : [{ key: "", value, labels: { metric }, subject: FLEET }];
  }
  return devices.flatMap((device) => {
    const value = figures.get(device.id);
    if (value === undefined) return [];
    const labels = { ...labelsOf(device), metric };
    return [{ key: device.id, value, labels, subject: subjectOf(device.id) }];
  });
}

/** One figure of the devices' own, by the same aggregate. */
function combine(values: number[], aggregate: Aggregate): number | null {
  if (values.length === 0) return null;
  values.sort((left, right) => left - right);
  const at = (share: number) => values[Math.floor(share * (values.length - 1))] ?? null;
  switch (aggregate) {
    case "min":
      return at(0);
    case "max":
      return at(1);
    case "p50":
      return at(0.5);
    case "p95":
      return at(0.95);
    case "mean":
      return values.reduce((sum, value) => sum + value / values.length, 0);
  }
}

async function anomalySamples(
  sources: FactSources,
  tenantId: string,
  { metric, per }: RuleSourceDocument,
): Promise<Sample[]> {
  const open: AlertView[] = [];
  for (const kind of ANOMALY_KINDS) {
    const { items } = await sources.alerts.list(tenantId, {
      ...{ state: "active", kind, limit: LIMITS.pageSize },
    });
    open.push(...items.filter(({ details }) => metric === undefined || tells(details, metric)));
  }
  if (per === "fleet") return [{ key: "", value: open.length, labels: {}, subject: FLEET }];
  const bySubject = Map.groupBy(open, ({ subjectId }) => subjectId);
  return [...bySubject].map(([id, alerts]) => {
    const subject = { kind: alerts[0]?.subjectKind ?? "device", id };
    const labels: Sample["labels"] = subject.kind === "device" ? { device: id } : {};
    return { key: id, value: alerts.length, labels, subject };
  });
}

/** An alert may tell of several figures of a device. */
function tells({ metric, also }: AlertView["details"], asked: string): boolean {
  const others = Array.isArray(also) ? (also as { metric?: unknown }[]) : [];
  return metric === asked || others.some((one) => one?.metric === asked);
}

async function logSamples(
  sources: FactSources,
  tenantId: string,
  source: RuleSourceDocument,
  nowMs: number,
): Promise<Sample[]> {
  const { words, level, windowSeconds = DEFAULTS.windowSeconds, per } = source;
  const search = {
    ...(words === undefined ? {} : { words }),
    ...(level === undefined ? {} : { levels: LEVELS.slice(LEVELS.indexOf(level)) }),
    ...{ from: nowMs - windowSeconds * 1_000, to: nowMs + 1 },
  };
  const counts = await sources.logs.countByDevice(tenantId, search, MAX_DEVICES);
  if (per === "fleet") {
    const value = [...counts.values()].reduce((sum, count) => sum + count, 0);
    return [{ key: "", value, labels: {}, subject: FLEET }];
  }
  return [...counts].map(
    ([id, value]): Sample => ({
      key: id || "_platform",
      value,
      labels: id ? { device: id } : {},
      subject: id ? subjectOf(id) : { kind: "platform", id: "platform" },
    }),
  );
}

async function rolloutSamples(
  sources: FactSources,
  tenantId: string,
  { states = ["paused"] }: RuleSourceDocument,
  nowMs: number,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const state of states) {
    const { items } = await sources.rollouts.list(tenantId, { state, limit: LIMITS.pageSize });
    for (const { id, name, createdAt, startedAt, pausedAt } of items) {
      const since = pausedAt ?? startedAt ?? createdAt;
      const value = (nowMs - since.getTime()) / 1_000;
      const labels = { rollout: name, state };
      samples.push({ key: id, value, labels, subject: { kind: "rollout", id } });
    }
  }
  return samples;
}

async function certificateSamples(
  sources: FactSources,
  tenantId: string,
  { query }: RuleSourceDocument,
  nowMs: number,
): Promise<Sample[]> {
  const before = new Date(nowMs + CERTIFICATE_HORIZON_MS);
  const ending = await sources.identity.radar.expiring(tenantId, before, MAX_DEVICES);
  const wanted =
    query === undefined
      ? undefined
      : new Map((await devicesOf(sources, tenantId, query)).map((one) => [one.id, one]));
  return ending.flatMap(({ deviceId, notAfter }) => {
    const device = wanted?.get(deviceId);
    if (wanted && !device) return [];
    const value = (notAfter.getTime() - nowMs) / DAY_MS;
    const labels = device ? labelsOf(device) : { device: deviceId };
    return [{ key: deviceId, value, labels, subject: subjectOf(deviceId) }];
  });
}

const STATE_VALUES = { ok: 0, degraded: 1, failed: 2 } as const;

async function platformSamples(
  sources: FactSources,
  { check = "any" }: RuleSourceDocument,
): Promise<Sample[]> {
  const checks = await sources.platformChecks();
  return checks
    .filter(({ name }) => check === "any" || name === check)
    .map(({ name, state, reason }) => ({
      key: name,
      value: STATE_VALUES[state],
      labels: { check: name, ...(reason ? { reason: reason.slice(0, 256) } : {}) },
      subject: { kind: "platform", id: name },
    }));
}
