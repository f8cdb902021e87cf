import { Type } from "typebox";
import type { Clock } from "../../kernel/index.ts";
import type {
  Aggregate,
  DeviceFilter,
  GroupBy,
  LatestSort,
  SeriesQuery,
  TelemetryQueries,
} from "../../telemetry-queries/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { answers, Moment, PageQuery, strict, TenantParams } from "../schemas/common.ts";
import {
  DeviceFilterQuery,
  FleetLatestPage,
  FleetMetricList,
  FleetSeriesView,
  SeriesQueryFields,
  TelemetryTextPage,
} from "../schemas/telemetry.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";

export interface TelemetryQueryDeps {
  clock: Clock;
  telemetryQueries: Pick<TelemetryQueries, "series" | "latest" | "metrics" | "texts">;
}

const tags = ["telemetry"];
const DEFAULT_SPAN_MS = 24 * 3_600_000;
const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Telemetry of many devices. */
export function telemetryQueryRoutes(api: Api, deps: TelemetryQueryDeps): void {
  seriesRoute(api, deps);
  latestRoutes(api, deps);
  textsRoute(api, deps);
}

function seriesRoute(api: Api, { clock, telemetryQueries }: TelemetryQueryDeps): void {
  api.get(
    "/tenants/:tenant/telemetry/series",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "getFleetSeries",
        tags,
        params: TenantParams,
        querystring: strict(SeriesQueryFields),
        response: answers(200, FleetSeriesView),
      },
    },
    async (request) => {
      const { metric, from, to } = request.query;
      const until = momentMs(to) ?? clock.now();
      const query = {
        ...seriesQueryOf(request.query),
        metric,
        from: momentMs(from) ?? until - DEFAULT_SPAN_MS,
        to: until,
      };
      return { metric, ...(await telemetryQueries.series(tenantOf(request), query)) };
    },
  );
}

interface SeriesFields extends FilterFields {
  step?: string;
  points?: number;
  aggregate?: string;
  transform?: SeriesQuery["transform"];
  across?: string;
  groupBy?: string;
  fill?: SeriesQuery["fill"];
  top?: number;
}

function seriesQueryOf(fields: SeriesFields): Omit<SeriesQuery, "metric" | "from" | "to"> {
  return {
    ...filterOf(fields),
    stepMs: fields.step === undefined ? undefined : durationMs(fields.step),
    points: fields.points,
    // The schema has checked these.
    aggregate: (fields.aggregate ?? "avg") as Aggregate,
    transform: fields.transform ?? "none",
    across: fields.across as Aggregate | undefined,
    groupBy: (fields.groupBy ?? "none") as GroupBy,
    fill: fields.fill ?? "none",
    top: fields.top || undefined,
  };
}

interface FilterFields {
  q?: string;
  group?: string;
  devices?: string;
}

export function filterOf({ q, group, devices }: FilterFields): DeviceFilter {
  return { query: q, group, devices: devices?.split(",") };
}

/** Milliseconds of `5m`, at least one. */
function durationMs(text: string): number {
  const [, count = "", unit = ""] = /^(\d+)([a-z]+)$/.exec(text) ?? [];
  return Math.max(1, Number(count) * (UNITS[unit] ?? 1));
}

function latestRoutes(api: Api, { telemetryQueries }: TelemetryQueryDeps): void {
  api.get(
    "/tenants/:tenant/telemetry/latest",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "listFleetLatest",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          ...DeviceFilterQuery,
          metrics: Type.Optional(
            Type.String({ maxLength: 4_000, description: "Names with commas between them" }),
          ),
          since: Type.Optional(Moment),
          above: Type.Optional(Type.Number({ description: "Only values not below it" })),
          below: Type.Optional(Type.Number({ description: "Only values not above it" })),
          sort: Type.Optional(
            Type.String({
              pattern: "^-?(device|metric|value|ts)$",
              description: "device, metric, value, ts; - reverses",
            }),
          ),
        }),
        response: answers(200, FleetLatestPage),
      },
    },
    async (request) => {
      const { metrics, since, above, below, sort, cursor, limit } = request.query;
      const list = `latest:${sort ?? ""}`;
      const page = await telemetryQueries.latest(tenantOf(request), {
        ...filterOf(request.query),
        metrics: metrics?.split(",").filter((name) => name !== ""),
        since: momentMs(since),
        sort: sort as LatestSort | undefined,
        cursor: decodeCursor(list, cursor),
        ...{ above, below, limit },
      });
      return wrapPage(list, page);
    },
  );

  api.get(
    "/tenants/:tenant/telemetry/metrics",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "listFleetMetrics",
        tags,
        params: TenantParams,
        querystring: strict({ ...DeviceFilterQuery, since: Type.Optional(Moment) }),
        response: answers(200, FleetMetricList),
      },
    },
    async (request) => {
      const filter = { ...filterOf(request.query), since: momentMs(request.query.since) };
      return { items: await telemetryQueries.metrics(tenantOf(request), filter) };
    },
  );
}

function textsRoute(api: Api, { telemetryQueries }: TelemetryQueryDeps): void {
  api.get(
    "/tenants/:tenant/telemetry/texts",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "listTelemetryTexts",
        tags,
        summary: "Values that are words, the newest first",
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          ...DeviceFilterQuery,
          metrics: Type.Optional(
            Type.String({ maxLength: 4_000, description: "Names with commas between them" }),
          ),
          from: Type.Optional(Moment),
          to: Type.Optional(Moment),
          latest: Type.Optional(
            Type.Boolean({ description: "Only the newest of each device and metric" }),
          ),
        }),
        response: answers(200, TelemetryTextPage),
      },
    },
    async (request) => {
      const { metrics, from, to, latest, cursor, limit } = request.query;
      const list = `texts:${latest ?? false}`;
      const page = await telemetryQueries.texts(tenantOf(request), {
        ...filterOf(request.query),
        metrics: metrics?.split(",").filter((name) => name !== ""),
        ...{ from: momentMs(from), to: momentMs(to), latest, limit },
        cursor: decodeCursor(list, cursor),
      });
      return wrapPage(list, page);
    },
  );
}
