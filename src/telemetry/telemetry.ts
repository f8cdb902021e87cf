import { AppError, Batcher, type Clock } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { rowSize } from "../kernel/row-size.ts";
import { storableJson } from "../kernel/storable.ts";
import { parseTraceparent } from "../kernel/tracing.ts";
import {
  checkMessage,
  type DeviceEvent,
  DeviceEvent as DeviceEventSchema,
  type DeviceIdentity,
  decodePayload,
  type Heartbeat,
  isMetricName,
  type RetentionPolicy,
} from "../protocol/index.ts";
import type { DeviceEventRow, HeartbeatRow, Timeseries } from "../timeseries/index.ts";
import { BacklogLane, backlogSize, LATE_AFTER_MS } from "./backlog-lane.ts";
import type { DeclaredMetrics } from "./declared-metrics.ts";
import { DeviceClocks } from "./device-clocks.ts";
import { createKeptPoints } from "./kept-points.ts";
import { PlainSample } from "./plain-sample.ts";
import { learnNames, takePlain } from "./plain-telemetry.ts";
import { countPoints, PointCounts } from "./point-counts.ts";
import { PointIntake } from "./point-intake.ts";
import { sinkFor } from "./point-sink.ts";
import { type RestartGroup, type RestartQuery, readRestartGroups } from "./restart-groups.ts";
import * as store from "./telemetry-store.ts";
import {
  type CheckedTelemetry,
  type CheckOptions,
  checkTelemetry,
  isSequence,
  PLATFORM_PREFIX,
  timestampFault,
} from "./telemetry-validation.ts";

/** Measurements, heartbeats and events of devices. Times are milliseconds since the epoch. */
export interface Telemetry {
  /** Resolves when the good values are durable; `message-invalid` where there are none. */
  ingestTelemetry(
    peer: DeviceIdentity,
    payload: unknown,
    receivedAt: number,
  ): Promise<CheckedTelemetry>;
  /**
   * The same for a payload as it came. Most need nothing but what is known already: their good values
   * are in a batch when this returns, and durable when it is. Throws what `ingestTelemetry` rejects with.
   */
  offerTelemetry(
    peer: DeviceIdentity,
    payload: Uint8Array,
    contentType: string | undefined,
    receivedAt: number,
  ): OfferedTelemetry | Promise<CheckedTelemetry>;
  /**
   * Resolves when the heartbeat, and its metrics as `heartbeat.<name>`, are durable; with them what
   * the platform itself has counted of the device, as `_platform.<name>` at the time of arrival.
   */
  ingestHeartbeat(
    peer: DeviceIdentity,
    heartbeat: Heartbeat,
    receivedAt: number,
    counted?: Record<string, number>,
  ): Promise<void>;
  /** One event or an array of them; resolves when they are durable. */
  ingestEvents(peer: DeviceIdentity, events: unknown, receivedAt: number): Promise<void>;
  series(tenantId: string, query: store.SeriesQuery): Promise<store.Bucket[]>;
  /** Newest value, by device time, of each metric of the last month in which the device spoke. */
  latest(tenantId: string, deviceId: string): Promise<store.LatestValue[]>;
  metrics(tenantId: string, deviceId: string): Promise<string[]>;
  metricByArm(tenantId: string, query: store.ArmQuery): Promise<store.ArmFigures>;
  /** One figure a device, of those that said anything within the window. */
  figuresByDevice(
    tenantId: string,
    query: store.ArmQuery & { aggregate: store.Aggregate },
  ): Promise<Map<string, number>>;
  events(tenantId: string, query: store.EventQuery): Promise<store.EventView[]>;
  /** Restarts of the fleet by what they have in common, the most frequent first. */
  restarts(tenantId: string, query: RestartQuery): Promise<RestartGroup[]>;
  pointsSince(
    tenantId: string,
    watermark: store.Watermark,
    limit: number,
  ): Promise<store.NewPoints>;
  /** Writes what is queued. */
  close(): Promise<void>;
}

/** What was made of a message, and the batch that its good values are in. */
export interface OfferedTelemetry {
  taken: CheckedTelemetry;
  /** The same promise for all of a batch; rejects where it could not be made durable. */
  durable: Promise<void>;
}

export interface TelemetryDeps {
  timeseries: Timeseries;
  clock: Clock;
  /** What was last known of a device's clock: milliseconds behind ours. */
  clockOffset?(tenantId: string, deviceId: string): Promise<number | null>;
  /** What products declare of their metrics; nothing where absent. */
  declared?: DeclaredMetrics;
  /** How long a tenant keeps its points; for ever where absent. */
  retention?(tenantId: string): Promise<RetentionPolicy>;
  /** How long the first message of a batch waits for company: short where an insert is cheap. */
  batchDelayMs?: number;
  /** Batches of points that are written at the same time, default one. */
  maxWrites?: number;
}

const BATCH = { maxBatchSize: 50_000, maxDelayMs: 25, maxQueuedSize: 500_000 };
/** Larger and rarer: it costs less, and nobody looks at it as it comes. */
const BACKLOG_BATCH = { maxBatchSize: 25_000, maxDelayMs: 100, maxQueuedSize: 100_000 };
const SMALL_BATCH = { maxBatchSize: 10_000, maxDelayMs: 25, maxQueuedSize: 100_000 };
const MAX_EVENTS_PER_MESSAGE = 100;
const MAX_HEARTBEAT_METRICS = 100;

const latePoints = counter(
  "vautn_telemetry_late_points_total",
  "Values that came by the lane of backlogs",
);
const overflows = counter("vautn_telemetry_overflows_total", "Messages refused by a full queue");

export function createTelemetry(deps: TelemetryDeps): Telemetry {
  const { timeseries, clock } = deps;
  const delay = deps.batchDelayMs === undefined ? {} : { maxDelayMs: deps.batchDelayMs };
  const onOverflow = () => overflows.inc();
  const telemetry = new PointIntake({
    ...BATCH,
    ...delay,
    maxWrites: deps.maxWrites ?? 1,
    onOverflow,
    write: (points) => timeseries.insertPoints(points),
  });
  // Of its own: a live point never waits behind a thousand old ones.
  const backlog = new PointIntake({
    ...BACKLOG_BATCH,
    maxWrites: 1,
    onOverflow,
    write: (points) => timeseries.insertPoints(points),
  });
  const backlogs = new BacklogLane();
  const kept = deps.retention && createKeptPoints(clock, deps.retention);
  const clocks = new DeviceClocks(deps.clockOffset);
  const heartbeats = new Batcher<HeartbeatRow>({
    ...SMALL_BATCH,
    ...delay,
    onOverflow,
    write: (rows) => timeseries.insert("heartbeats", rows),
  });
  const events = new Batcher<DeviceEventRow[]>({
    ...SMALL_BATCH,
    ...delay,
    onOverflow,
    write: (messages) => timeseries.insert("device_events", messages.flat()),
  });

  const plain = new PlainSample();
  const counts = new PointCounts();

  async function ingestTelemetry(
    peer: DeviceIdentity,
    payload: unknown,
    receivedAt: number,
  ): Promise<CheckedTelemetry> {
    const found = deps.declared?.of(peer.tenantId, peer.deviceId);
    const declaration = found instanceof Promise ? await found : found;
    const stays = kept?.(peer.tenantId);
    const options = {
      ...{ declaration, ...clocks.shiftOf(peer) },
      kept: stays instanceof Promise ? await stays : stays,
    };
    const size = backlogSize(payload, receivedAt, options.offsetMs);
    const checked = await (size === 0
      ? take(telemetry, peer, payload, receivedAt, options)
      : backlogs.run(peer, size, () => take(backlog, peer, payload, receivedAt, options)));
    if (size > 0) latePoints.inc(checked.accepted);
    countPoints(checked);
    return checked;
  }

  return {
    ingestTelemetry,

    offerTelemetry(peer, payload, contentType, receivedAt) {
      const declaration = deps.declared?.of(peer.tenantId, peer.deviceId);
      const stays = kept?.(peer.tenantId);
      const options = clocks.shiftOf(peer);
      if (declaration instanceof Promise || stays instanceof Promise) {
        // Whoever needs it asks for it again, and hears of a failure.
        for (const found of [declaration, stays])
          if (found instanceof Promise) found.catch(() => {});
        return ingestTelemetry(peer, decodePayload(payload, contentType), receivedAt);
      }
      const newerThan = receivedAt - Math.min(LATE_AFTER_MS, stays?.shortestMs ?? LATE_AFTER_MS);
      const isPlain =
        contentType === undefined &&
        plain.read(payload) &&
        options.offsetMs === 0 &&
        options.rescueMs === undefined &&
        plain.ts >= newerThan &&
        !timestampFault(plain.ts, receivedAt) &&
        isSequence(plain.seq);
      if (isPlain) {
        const batch = telemetry.open();
        const taken = takePlain(plain, batch.columns, peer, declaration);
        counts.add(batch, taken);
        telemetry.added();
        return { taken, durable: batch.done };
      }
      const body = decodePayload(payload, contentType);
      if (backlogSize(body, receivedAt, options.offsetMs) > 0) {
        return ingestTelemetry(peer, body, receivedAt);
      }
      const batch = telemetry.open();
      const sink = sinkFor(batch.columns, peer, declaration);
      const all = { declaration, ...options, kept: stays };
      const taken = checkTelemetry(body, receivedAt, sink, all);
      counts.add(batch, taken);
      telemetry.added();
      if (taken.rejectedCount === 0) learnNames(plain, body);
      return { taken, durable: batch.done };
    },

    async ingestHeartbeat(peer, heartbeat, receivedAt, counted = {}) {
      const { offsetMs } = await clocks.observe(peer, heartbeat.ts, receivedAt);
      const row = heartbeatRow(peer, { ...heartbeat, ts: heartbeat.ts + offsetMs }, receivedAt);
      const { tenantId, deviceId } = peer;
      const { columns, done } = telemetry.open();
      for (const { metric, value } of heartbeatMetrics(heartbeat)) {
        columns.add(tenantId, deviceId, metric, row.ts, row.seq, value);
      }
      for (const [name, value] of Object.entries(counted)) {
        columns.add(tenantId, deviceId, `${PLATFORM_PREFIX}${name}`, receivedAt, row.seq, value);
      }
      telemetry.added();
      await Promise.all([heartbeats.add(row), done]);
    },

    async ingestEvents(peer, payload, receivedAt) {
      const list: unknown[] = Array.isArray(payload) ? payload : [payload];
      if (list.length === 0 || list.length > MAX_EVENTS_PER_MESSAGE) {
        throw new AppError("message-invalid", `1 to ${MAX_EVENTS_PER_MESSAGE} events, please`);
      }
      for (const event of list) checkMessage(DeviceEventSchema, event);
      const rows = list.map((event) => eventRow(peer, event as DeviceEvent, receivedAt));
      await events.add(
        rows,
        rows.reduce((size, { message, body }) => size + rowSize(message.length + body.length), 0),
      );
    },

    series: (tenantId, query) => store.readSeries(timeseries, tenantId, query),
    latest: (tenantId, deviceId) => store.readLatest(timeseries, tenantId, deviceId, clock.now()),
    metrics: (tenantId, deviceId) => store.listMetrics(timeseries, tenantId, deviceId),
    metricByArm: (tenantId, query) => store.readArm(timeseries, tenantId, query),
    figuresByDevice: (tenantId, query) => store.readByDevice(timeseries, tenantId, query),
    events: (tenantId, query) => store.listEvents(timeseries, tenantId, query),
    restarts: (tenantId, query) => readRestartGroups(timeseries, tenantId, query),
    pointsSince: (tenantId, watermark, limit) =>
      store.readPointsSince(timeseries, tenantId, watermark, limit),

    async close() {
      await Promise.all([telemetry.flush(), backlog.flush(), heartbeats.flush(), events.flush()]);
    },
  };
}

/** Puts the good values of a message into the store; resolves when they are durable. */
async function take(
  intake: PointIntake,
  peer: DeviceIdentity,
  payload: unknown,
  receivedAt: number,
  options: CheckOptions,
): Promise<CheckedTelemetry> {
  const { columns, done } = intake.open();
  const sink = sinkFor(columns, peer, options.declaration);
  const checked = checkTelemetry(payload, receivedAt, sink, options);
  intake.added();
  await done;
  return checked;
}

/** A device without a clock is heard all the same: its time is then that of the arrival. */
function believableTime(ts: number, receivedAt: number): number {
  return timestampFault(ts, receivedAt) ? receivedAt : ts;
}

function heartbeatRow(
  { tenantId, deviceId }: DeviceIdentity,
  heartbeat: Heartbeat,
  receivedAt: number,
): HeartbeatRow {
  return {
    tenantId,
    deviceId,
    ts: believableTime(heartbeat.ts, receivedAt),
    seq: heartbeat.seq,
    bootId: heartbeat.bootId,
    uptimeSeconds: heartbeat.uptimeSeconds,
    firmwareVersion: heartbeat.firmware.version,
    firmwareSha256: heartbeat.firmware.hash,
    slot: heartbeat.firmware.slot,
  };
}

function heartbeatMetrics(heartbeat: Heartbeat): { metric: string; value: number }[] {
  const values = { uptimeSeconds: heartbeat.uptimeSeconds, ...heartbeat.metrics };
  return Object.entries(values)
    .slice(0, MAX_HEARTBEAT_METRICS)
    .map(([name, value]) => ({ metric: `heartbeat.${name}`, value }))
    .filter(({ metric, value }) => isMetricName(metric) && Number.isFinite(value));
}

function eventRow(
  { tenantId, deviceId }: DeviceIdentity,
  event: DeviceEvent,
  receivedAt: number,
): DeviceEventRow {
  return {
    tenantId,
    deviceId,
    ts: believableTime(event.ts, receivedAt),
    seq: Math.min(event.seq, Number.MAX_SAFE_INTEGER),
    type: event.type,
    bootId: event.bootId ?? "",
    firmwareVersion: event.firmware?.version ?? "",
    firmwareSha256: event.firmware?.hash ?? "",
    message: event.message ?? event.reason ?? "",
    traceId: parseTraceparent(event.traceparent)?.traceId ?? "",
    body: storableJson(event),
  };
}
