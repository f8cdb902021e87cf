import { Type } from "typebox";
import type { TelemetryQueries } from "../../telemetry-queries/index.ts";
import { type LastingAccessDeps, stillMay, tenantOf } from "../access.ts";
import type { EventStreams } from "../event-stream.ts";
import { strict, TenantParams } from "../schemas/common.ts";
import { DeviceFilterQuery } from "../schemas/telemetry.ts";
import type { Api } from "../types.ts";
import { filterOf } from "./telemetry-queries.ts";

export interface TelemetryLiveDeps extends LastingAccessDeps {
  telemetryQueries: Pick<TelemetryQueries, "watch">;
  streams: EventStreams;
  streamHeartbeatMs?: number;
}

/** Values as they come in. */
export function telemetryLiveRoutes(api: Api, deps: TelemetryLiveDeps): void {
  api.get(
    "/tenants/:tenant/telemetry/live",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "watchTelemetry",
        tags: ["telemetry"],
        summary: "Server-sent events named `points`: first the latest values, then what comes in",
        description:
          "Each is `{points: [{deviceId, metric, ts, value}], missed}`. A view of now and no log: " +
          "events have no ids and Last-Event-ID is not looked at; who connects again begins with " +
          "the latest values, and reads what lies between with `telemetry/series`. Points that " +
          "are more than a day old when they come in are left out.",
        produces: ["text/event-stream"],
        params: TenantParams,
        querystring: strict({
          ...DeviceFilterQuery,
          metrics: Type.String({
            ...{ minLength: 1, maxLength: 4_000 },
            description: "Names with commas between them",
          }),
        }),
        response: { 200: Type.String() },
      },
    },
    async (request, reply) => {
      const metrics = request.query.metrics.split(",").filter((name) => name !== "");
      const filter = { ...filterOf(request.query), metrics };
      const view = await deps.telemetryQueries.watch(tenantOf(request), filter);
      await deps.streams.open(request, reply, {
        event: "points",
        read: view.read,
        subscribe: view.subscribe,
        stillMay: () => stillMay(request, deps),
        ...(deps.streamHeartbeatMs ? { heartbeatMs: deps.streamHeartbeatMs } : {}),
      });
      return reply;
    },
  );
}
