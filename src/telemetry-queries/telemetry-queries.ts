import { confinementIn, unconfined } from "../kernel/confinement.ts";
import { FairSlots } from "../kernel/fair-slots.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { counter, gauge } from "../kernel/metrics.ts";
import type { RetentionPolicy } from "../protocol/index.ts";
import { type Timeseries, whereKept } from "../timeseries/index.ts";
import {
  type DeviceBucket,
  type DeviceSeries,
  type DeviceSeriesQuery,
  deviceSeries,
} from "./device-series.ts";
import { type ExportFormat, fileOf, NUMBER_COLUMNS, TEXT_COLUMNS } from "./export-formats.ts";
import { countPoints, exportPages } from "./export-store.ts";
import {
  type LatestItem,
  type LatestSort,
  readLatestPage,
  readMetricNames,
} from "./latest-store.ts";
import { LivePoints, PendingPoints } from "./live.ts";
import { createMeanings, type Meaning, UNKNOWN } from "./meanings.ts";
import { PromqlError } from "./promql/error.ts";
import { createPrometheus, type Prometheus } from "./promql/prometheus.ts";
import { parsePromql } from "./promql/syntax.ts";
import { findMembers, selectDevices } from "./selection.ts";
import { querySeries, type SeriesDeps } from "./series.ts";
import { countTexts, readTexts, type TextItem, textPages } from "./texts-store.ts";
import { type DeviceFilter, QUERY_LIMITS, type SeriesAnswer, type SeriesQuery } from "./types.ts";
import { createTelemetryUsage, type TelemetryUsage } from "./usage.ts";

export interface TelemetryQueriesDeps
  extends Omit<SeriesDeps, "retention" | "meanings" | "timeseries"> {
  clock: Clock;
  tenancy: { retention: { policy(tenantId: string): Promise<RetentionPolicy> } };
  timeseries: Pick<Timeseries, "tenantQuery" | "storage" | "rolledUpTo">;
  /** Where points are followed as they come in. */
  telemetry: PointsFollower & {
    series(tenantId: string, query: DeviceSeriesQuery): Promise<DeviceBucket[]>;
  };
  limits?: Partial<typeof QUERY_LIMITS>;
}

export interface LatestRequest extends DeviceFilter {
  metrics?: readonly string[] | undefined;
  since?: number | undefined;
  above?: number | undefined;
  below?: number | undefined;
  sort?: LatestSort | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

export interface LiveView {
  /** First the latest values, then what has come in since it was last called. */
  read(): Promise<{ points: LatestItem[]; missed: number }>;
  subscribe(changed: () => void): () => void;
}

export interface TextsRequest extends DeviceFilter {
  metrics?: readonly string[] | undefined;
  /** Device times; the last day, or for `latest` the last month, where they are left out. */
  from?: number | undefined;
  to?: number | undefined;
  /** The newest of each device and metric alone. */
  latest?: boolean | undefined;
  cursor?: string | undefined;
  limit?: number | undefined;
}

export interface ExportRequest extends DeviceFilter {
  /** What the file holds: numbers where it is left out. */
  values?: "numbers" | "texts" | undefined;
  metrics?: readonly string[] | undefined;
  from: number;
  to: number;
}

export interface MetricSummary extends Meaning {
  metric: string;
  devices: number;
  lastTs: number;
}

/** Telemetry of many devices. Each query waits for its turn among those of other tenants. */
export interface TelemetryQueries {
  series(tenantId: string, query: SeriesQuery): Promise<SeriesAnswer>;
  /** One metric of one device, which the caller has found to exist. */
  deviceSeries(tenantId: string, query: DeviceSeriesQuery): Promise<DeviceSeries>;
  latest(
    tenantId: string,
    query: LatestRequest,
  ): Promise<{ items: (LatestItem & { unit: string })[]; nextCursor: string | null }>;
  /** Values that are words, the newest first. */
  texts(
    tenantId: string,
    query: TextsRequest,
  ): Promise<{ items: TextItem[]; nextCursor: string | null }>;
  metrics(
    tenantId: string,
    query: DeviceFilter & { since?: number | undefined },
  ): Promise<MetricSummary[]>;
  /** What is there and what comes in, for a view that follows it. */
  watch(
    tenantId: string,
    filter: DeviceFilter & { metrics?: readonly string[] | undefined },
  ): Promise<LiveView>;
  /** How many points a file will hold, and the file as it is written. */
  export(
    tenantId: string,
    format: ExportFormat,
    query: ExportRequest,
  ): Promise<{ count: number; chunks: AsyncIterable<Buffer> }>;
  /** The same data to who speaks PromQL. */
  prometheus: Prometheus;
  /** What telemetry takes on the disk. */
  storage: TelemetryUsage;
  answerByDevice: Prometheus["answerByDevice"];
  /** Why a text is no query in PromQL; undefined where it is one. */
  faultOf(query: string): string | undefined;
}

const refusals = counter("vautn_telemetry_query_refusals_total", "Queries that found no slot", [
  "reason",
]);
const running = gauge("vautn_telemetry_queries_running", "Telemetry queries that run");
const DAY_MS = 86_400_000;
const LATEST_WINDOW_MS = DAY_MS;
const TEXTS_WINDOW_MS = 30 * DAY_MS;
const METRICS_WINDOW_MS = 7 * 24 * 3_600_000;
const DEFAULT_PAGE = 100;
const MAX_METRICS = 1_000;

export function createTelemetryQueries(given: TelemetryQueriesDeps): TelemetryQueries {
  const { timeseries, clock, tenancy } = given;
  const retention = (tenantId: string) => tenancy.retention.policy(tenantId);
  /** Which points a tenant still keeps. */
  const keptPoints = async (tenantId: string) =>
    whereKept(await retention(tenantId), "points", clock.now());
  const meanings = createMeanings(given);
  const deps = { ...given, retention, meanings };
  const slots = new FairSlots(
    { ...QUERY_LIMITS, ...deps.limits },
    { refused: (reason) => refusals.inc({ reason }), running: (count) => running.set(count) },
  );
  const idsOf = async (tenantId: string, filter: DeviceFilter) => {
    const { ids } = await selectDevices(deps, tenantId, filter, "none");
    return ids;
  };
  const live = livePoints(deps);
  const latest = (tenantId: string, query: LatestRequest) =>
    slots.run(tenantId, async () => {
      await assertKnown(deps, tenantId, query);
      const { metrics, above, below, sort = "device", cursor, limit = DEFAULT_PAGE } = query;
      const since = query.since ?? clock.now() - LATEST_WINDOW_MS;
      const kept = await keptPoints(tenantId);
      const ids = await idsOf(tenantId, query);
      if (ids?.length === 0) return { items: [], nextCursor: null };
      const wanted = { ids, metrics, since, kept, above, below, sort, cursor, limit };
      const page = await readLatestPage(timeseries, tenantId, wanted);
      const known = await meanings(tenantId);
      return {
        ...page,
        items: page.items.map((item) => ({ ...item, unit: known.get(item.metric)?.unit ?? "" })),
      };
    });
  const prometheus = createPrometheus(deps, slots);
  const inTurn = <T>(tenantId: string, work: () => Promise<T>) => slots.run(tenantId, work);
  return {
    prometheus,
    storage: createTelemetryUsage({ ...deps, timeseries: given.timeseries, inTurn }),
    answerByDevice: prometheus.answerByDevice,
    faultOf,

    series: (tenantId, query) =>
      slots.run(tenantId, async () => {
        await assertKnown(deps, tenantId, query);
        return querySeries(deps, tenantId, query);
      }),

    deviceSeries: (tenantId, query) =>
      slots.run(tenantId, () =>
        deviceSeries(
          {
            ...{ timeseries, clock, retention },
            rolledUpTo: () => given.timeseries.rolledUpTo(),
            pointsOf: (of, wanted) => given.telemetry.series(of, wanted),
          },
          tenantId,
          query,
        ),
      ),

    async watch(tenantId, filter) {
      await assertKnown(deps, tenantId, filter);
      const ids = await idsOf(tenantId, filter);
      // The points come from a reader that all who watch share: who is confined is, here.
      const own = confinementIn(tenantId)?.deviceIds;
      const chosen = own
        ? new Set(ids?.filter((id) => own.includes(id)) ?? own)
        : ids && new Set(ids);
      const metrics = filter.metrics && new Set(filter.metrics);
      const wants = ({ deviceId, metric }: LatestItem) =>
        (chosen?.has(deviceId) ?? true) && (metrics?.has(metric) ?? true);
      const pending = new PendingPoints(wants, MAX_PENDING);
      let isFirst = true;
      return {
        async read() {
          if (!isFirst) return pending.take();
          isFirst = false;
          const { items } = await latest(tenantId, { ...filter, limit: MAX_FIRST });
          return { points: items, missed: 0 };
        },
        subscribe: (changed) =>
          live.subscribe(tenantId, (points) => {
            if (pending.add(points)) changed();
          }),
      };
    },

    export: async (tenantId, format, request) => {
      const { metrics, from, to } = request;
      if (!(to > from)) throw new AppError("invalid-request", "`to` must come after `from`");
      await assertKnown(deps, tenantId, request);
      const ids = await idsOf(tenantId, request);
      const query = { ids, metrics, from, to, kept: await keptPoints(tenantId) };
      const isText = request.values === "texts";
      const counting = isText ? countTexts : countPoints;
      const count =
        ids?.length === 0
          ? 0
          : await slots.run(tenantId, () => counting(timeseries, tenantId, query));
      // A page takes its turn like any query: a long export holds nobody up.
      const paced: Pick<Timeseries, "tenantQuery"> = {
        tenantQuery: (of, page) => slots.run(of, () => timeseries.tenantQuery(of, page)),
      };
      const rows = <Row>(
        read: (from: typeof paced, of: string, what: typeof query) => AsyncIterable<Row[]>,
      ) => (count === 0 ? noPages() : read(paced, tenantId, query));
      const chunks = isText
        ? fileOf(format, TEXT_COLUMNS, rows(textPages))
        : fileOf(format, NUMBER_COLUMNS, rows(exportPages));
      return { count, chunks };
    },

    texts: (tenantId, query) =>
      slots.run(tenantId, async () => {
        await assertKnown(deps, tenantId, query);
        const { latest = false, cursor, limit = DEFAULT_PAGE } = query;
        // What a device says may lie a little in the future.
        const to = query.to ?? clock.now() + DAY_MS;
        const from = query.from ?? clock.now() - (latest ? TEXTS_WINDOW_MS : DAY_MS);
        if (!(to > from)) throw new AppError("invalid-request", "`to` must come after `from`");
        const ids = await idsOf(tenantId, query);
        if (ids?.length === 0) return { items: [], nextCursor: null };
        const kept = await keptPoints(tenantId);
        const wanted = { ids, metrics: query.metrics, from, to, latest, kept, cursor, limit };
        return readTexts(timeseries, tenantId, wanted);
      }),

    latest,

    metrics: (tenantId, query) =>
      slots.run(tenantId, async () => {
        const ids = await idsOf(tenantId, query);
        if (ids?.length === 0) return [];
        const since = query.since ?? clock.now() - METRICS_WINDOW_MS;
        const wanted = { ids, since, kept: await keptPoints(tenantId), limit: MAX_METRICS };
        const names = await readMetricNames(timeseries, tenantId, wanted);
        const known = await meanings(tenantId);
        return names.map((one) => ({ ...one, ...(known.get(one.metric) ?? UNKNOWN) }));
      }),
  };
}

function faultOf(query: string): string | undefined {
  try {
    parsePromql(query);
    return undefined;
  } catch (error) {
    if (error instanceof PromqlError) return error.message;
    throw error;
  }
}

async function* noPages(): AsyncGenerator<never> {}

interface Place {
  receivedAt: number;
  deviceId: string;
  metric: string;
  ts: number;
}

interface PointsFollower {
  pointsSince(
    tenantId: string,
    watermark: Place,
    limit: number,
  ): Promise<{ points: LatestItem[]; watermark: Place }>;
}

function livePoints({
  telemetry,
  clock,
}: Pick<TelemetryQueriesDeps, "telemetry" | "clock">): LivePoints<Place> {
  return new LivePoints<Place>({
    since: (tenantId, place, limit) =>
      unconfined(() => telemetry.pointsSince(tenantId, place, limit)),
    now: () => ({ receivedAt: clock.now(), deviceId: "", metric: "", ts: 0 }),
  });
}

/** Points that wait for a slow reader, and latest values that a view begins with. */
const MAX_PENDING = 2_000;
const MAX_FIRST = 500;

/** A device that is named and does not exist is a mistake, not an empty answer. */
async function assertKnown(deps: SeriesDeps, tenantId: string, filter: DeviceFilter) {
  if (!filter.devices) return;
  const found = await findMembers(deps, tenantId, { devices: filter.devices });
  const known = new Set(found.map(({ id }) => id));
  const deviceIds = filter.devices.filter((id) => !known.has(id));
  if (deviceIds.length > 0) {
    throw new AppError("not-found", "some devices do not exist", { deviceIds });
  }
}
