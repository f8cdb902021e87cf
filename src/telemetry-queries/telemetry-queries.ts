import { AppError, type Clock } from "../kernel/index.ts";
import {
  type LatestPage,
  type LatestSort,
  readLatestPage,
  readMetricNames,
} from "./latest-store.ts";
import { findMembers, selectDevices } from "./selection.ts";
import { querySeries, type SeriesDeps } from "./series.ts";
import { FairSlots } from "./slots.ts";
import { type DeviceFilter, QUERY_LIMITS, type SeriesAnswer, type SeriesQuery } from "./types.ts";

export interface TelemetryQueriesDeps extends SeriesDeps {
  clock: Clock;
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

export interface MetricSummary {
  metric: string;
  devices: number;
  lastTs: number;
}

/** Telemetry of many devices. Each query waits for its turn among those of other tenants. */
export interface TelemetryQueries {
  series(tenantId: string, query: SeriesQuery): Promise<SeriesAnswer>;
  latest(tenantId: string, query: LatestRequest): Promise<LatestPage>;
  metrics(
    tenantId: string,
    query: DeviceFilter & { since?: number | undefined },
  ): Promise<MetricSummary[]>;
}

const LATEST_WINDOW_MS = 24 * 3_600_000;
const METRICS_WINDOW_MS = 7 * 24 * 3_600_000;
const DEFAULT_PAGE = 100;
const MAX_METRICS = 1_000;

export function createTelemetryQueries(deps: TelemetryQueriesDeps): TelemetryQueries {
  const { timeseries, clock } = deps;
  const slots = new FairSlots({ ...QUERY_LIMITS, ...deps.limits });
  const idsOf = async (tenantId: string, filter: DeviceFilter) => {
    const { ids } = await selectDevices(deps, tenantId, filter, "none");
    return ids;
  };
  return {
    series: (tenantId, query) =>
      slots.run(tenantId, async () => {
        await assertKnown(deps, tenantId, query);
        return querySeries(deps, tenantId, query);
      }),

    latest: (tenantId, query) =>
      slots.run(tenantId, async () => {
        await assertKnown(deps, tenantId, query);
        const { metrics, above, below, sort = "device", cursor, limit = DEFAULT_PAGE } = query;
        const since = query.since ?? clock.now() - LATEST_WINDOW_MS;
        const ids = await idsOf(tenantId, query);
        if (ids?.length === 0) return { items: [], nextCursor: null };
        const wanted = { ids, metrics, since, above, below, sort, cursor, limit };
        return readLatestPage(timeseries, tenantId, wanted);
      }),

    metrics: (tenantId, query) =>
      slots.run(tenantId, async () => {
        const ids = await idsOf(tenantId, query);
        if (ids?.length === 0) return [];
        const since = query.since ?? clock.now() - METRICS_WINDOW_MS;
        return readMetricNames(timeseries, tenantId, { ids, since, limit: MAX_METRICS });
      }),
  };
}

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
