import { Type } from "typebox";
import type { Devices } from "../../devices/index.ts";
import type { Clock } from "../../kernel/index.ts";
import { tenantOf } from "../access.ts";
import { answers, Moment, strict } from "../schemas/common.ts";
import { LatestMetrics, SeriesView } from "../schemas/devices.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";
import { DeviceParams } from "./devices.ts";

export interface TelemetryDeps {
  clock: Clock;
  devices: Pick<Devices, "get">;
  telemetry: {
    series(
      tenantId: string,
      options: { deviceId: string; metric: string; from: number; to: number; maxPoints: number },
    ): Promise<{ ts: number; min: number; max: number; mean: number; count: number }[]>;
    latest(
      tenantId: string,
      deviceId: string,
    ): Promise<{ metric: string; ts: number; value: number }[]>;
  };
}

const tags = ["telemetry"];
const DEFAULT_SPAN_MS = 24 * 3_600_000;

/** Telemetry of one device: a metric over time, reduced to the points that fit a screen. */
export function telemetryRoutes(api: Api, { clock, devices, telemetry }: TelemetryDeps): void {
  api.get(
    "/tenants/:tenant/devices/:device/telemetry",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "getSeries",
        tags,
        params: DeviceParams,
        querystring: strict({
          metric: Type.String({ minLength: 1, maxLength: 128 }),
          from: Type.Optional(Moment),
          to: Type.Optional(Moment),
          points: Type.Optional(Type.Integer({ minimum: 1, maximum: 4000, default: 600 })),
        }),
        response: answers(200, SeriesView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device: deviceId } = request.params;
      const { metric, points = 600 } = request.query;
      await devices.get(tenantId, deviceId);
      const to = momentMs(request.query.to) ?? clock.now();
      const from = momentMs(request.query.from) ?? to - DEFAULT_SPAN_MS;
      const options = { deviceId, metric, from, to, maxPoints: points };
      return { metric, points: await telemetry.series(tenantId, options) };
    },
  );

  api.get(
    "/tenants/:tenant/devices/:device/metrics",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "getLatestMetrics",
        tags,
        params: DeviceParams,
        response: answers(200, LatestMetrics),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      return { items: await telemetry.latest(tenantId, device) };
    },
  );
}
