import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import type { Operations } from "../../../src/client/generated-api.ts";
import { type CallOptions, call } from "./call.ts";

type Query<Id extends keyof Operations> = Operations[Id]["query"];
type Body<Id extends keyof Operations> = NonNullable<Operations[Id]["body"]>;

export type FleetMetric = Operations["listFleetMetrics"]["answer"]["items"][number];
export type FleetSeries = Operations["getFleetSeries"]["answer"];
export type SeriesRequest = NonNullable<Query<"getFleetSeries">>;
export type TelemetryUse = Operations["getTelemetryUsage"]["answer"];
export type TelemetryRetention = Operations["getTelemetryRetention"]["answer"];
export type RetentionRule = TelemetryRetention["rules"][number];
export type KeptDays = TelemetryRetention["all"];
export type RetentionEstimate = Operations["estimateTelemetryRetention"]["answer"];

/** Telemetry of the whole fleet, and what becomes of it. */
export const telemetryApi = {
  fleetMetrics: (tenant: string) => call("listFleetMetrics", { params: { tenant } }),
  fleetSeries: (tenant: string, query: SeriesRequest, options?: CallOptions) =>
    call("getFleetSeries", { params: { tenant }, query }, options),
  texts: (tenant: string, query: Query<"listTelemetryTexts">) =>
    call("listTelemetryTexts", { params: { tenant }, query }),
  usage: (tenant: string) => call("getTelemetryUsage", { params: { tenant } }),
  retention: (tenant: string) => call("getTelemetryRetention", { params: { tenant } }),
  setRetention: (tenant: string, body: Body<"setTelemetryRetention">) =>
    call("setTelemetryRetention", { params: { tenant }, body }),
  estimate: (tenant: string, body: Body<"estimateTelemetryRetention">) =>
    call("estimateTelemetryRetention", { params: { tenant }, body }),
};

const FRESH_MS = 10_000;
const key = (tenant: string, ...rest: unknown[]) => ["tenant", tenant, "telemetry", ...rest];

export const fleetMetricsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "metrics"),
    queryFn: () => telemetryApi.fleetMetrics(t),
    refetchInterval: 6 * FRESH_MS,
  });

/** `rangeMs`: the time until now, asked for anew while it is looked at; else from and to stand. */
export const fleetSeriesQuery = (t: string, request: SeriesRequest, rangeMs: number | undefined) =>
  queryOptions({
    queryKey: key(t, "series", request, rangeMs),
    queryFn: async ({ signal }) => {
      const to = rangeMs === undefined ? Number(request.to) : Date.now();
      const from = rangeMs === undefined ? Number(request.from) : to - rangeMs;
      const query = { ...request, from: String(from), to: String(to) };
      return { from, to, answer: await telemetryApi.fleetSeries(t, query, { signal }) };
    },
    refetchInterval: rangeMs === undefined ? false : rangeMs <= 3_600_000 ? FRESH_MS : 6 * FRESH_MS,
    placeholderData: keepPreviousData,
    retry: false,
  });

/** The newest of each value of a device that is words. */
export const deviceTextsQuery = (t: string, device: string) =>
  queryOptions({
    queryKey: key(t, "texts", device),
    queryFn: () => telemetryApi.texts(t, { devices: device, latest: true, limit: 100 }),
    refetchInterval: FRESH_MS,
  });

export const telemetryUsageQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "usage"), queryFn: () => telemetryApi.usage(t) });

export const retentionQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "retention"), queryFn: () => telemetryApi.retention(t) });
