import { Type } from "typebox";
import type { Devices } from "../../devices/index.ts";
import type { Clock } from "../../kernel/index.ts";
import type { TelemetryQueries } from "../../telemetry-queries/index.ts";
import { tenantOf } from "../access.ts";
import { answers, Moment, strict } from "../schemas/common.ts";
import { LatestMetrics, SeriesView } from "../schemas/devices.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";
import { DeviceParams } from "./devices.ts";

export interface TelemetryDeps {
  clock: Clock;
  devices: Pick<Devices, "get"> & { metrics: Pick<Devices["metrics"], "list"> };
  telemetryQueries: Pick<TelemetryQueries, "deviceSeries">;
  telemetry: {
    latest(
      tenantId: string,
      deviceId: string,
    ): Promise<{ metric: string; ts: number; value: number }[]>;
  };
}

const tags = ["telemetry"];
const DEFAULT_SPAN_MS = 24 * 3_600_000;

/** Telemetry of one device: a metric over time, reduced to the points that fit a screen. */
export function telemetryRoutes(api: Api, deps: TelemetryDeps): void {
  const { clock, devices, telemetry, telemetryQueries } = deps;
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
      const { metric, points: maxPoints = 600 } = request.query;
      const { product } = await devices.get(tenantId, deviceId);
      const to = momentMs(request.query.to) ?? clock.now();
      const from = momentMs(request.query.from) ?? to - DEFAULT_SPAN_MS;
      const options = { deviceId, metric, from, to, maxPoints };
      const [series, meaning] = await Promise.all([
        telemetryQueries.deviceSeries(tenantId, options),
        meaningsOf(devices, tenantId, product),
      ]);
      return { metric, ...meaning(metric), ...series };
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
      const { product } = await devices.get(tenantId, device);
      const [items, meaning] = await Promise.all([
        telemetry.latest(tenantId, device),
        meaningsOf(devices, tenantId, product),
      ]);
      return { items: items.map((item) => ({ ...item, ...meaning(item.metric) })) };
    },
  );
}

/** Unit and description that a product declares of a metric. */
async function meaningsOf(
  { metrics }: TelemetryDeps["devices"],
  tenantId: string,
  product: string,
): Promise<(metric: string) => { unit: string; description: string }> {
  const declared = new Map((await metrics.list(tenantId, product)).map((one) => [one.name, one]));
  return (metric) => {
    const { unit = "", description = "" } = declared.get(metric) ?? {};
    return { unit, description };
  };
}
