import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import type { Clock } from "../../kernel/index.ts";
import type { TelemetryQueries } from "../../telemetry-queries/index.ts";
import { tenantOf } from "../access.ts";
import { Moment, strict, TenantParams } from "../schemas/common.ts";
import { DeviceFilterQuery } from "../schemas/telemetry.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";
import { filterOf } from "./telemetry-queries.ts";

export interface TelemetryExportDeps {
  clock: Clock;
  telemetryQueries: Pick<TelemetryQueries, "export">;
}

const DEFAULT_SPAN_MS = 24 * 3_600_000;
const MEDIA_TYPES = { csv: "text/csv; charset=utf-8", parquet: "application/vnd.apache.parquet" };

const FILES = { numbers: "telemetry", texts: "telemetry-texts" };

/** Points as a file, written while it is read. */
export function telemetryExportRoutes(api: Api, deps: TelemetryExportDeps): void {
  api.get(
    "/tenants/:tenant/telemetry/export",
    {
      config: { access: "telemetry.read" },
      schema: {
        operationId: "exportTelemetry",
        tags: ["telemetry"],
        summary: "Points by device, metric and time; the header vautn-points says how many",
        description:
          "Columns: device, metric, time, value (or text), and clock_shift_ms: what was added to " +
          "the time that the device gave, 0 where its clock was right.",
        produces: ["text/csv", "application/vnd.apache.parquet"],
        params: TenantParams,
        querystring: strict({
          ...DeviceFilterQuery,
          format: Type.Optional(Type.Enum(["csv", "parquet"] as const)),
          values: Type.Optional(Type.Enum(["numbers", "texts"] as const)),
          metrics: Type.Optional(
            Type.String({ maxLength: 4_000, description: "Names with commas between them" }),
          ),
          from: Type.Optional(Moment),
          to: Type.Optional(Moment),
        }),
        response: { 200: Type.String() },
      },
    },
    async (request, reply) => {
      const { format = "csv", values = "numbers", metrics, from, to } = request.query;
      const until = momentMs(to) ?? deps.clock.now();
      const { count, chunks } = await deps.telemetryQueries.export(tenantOf(request), format, {
        ...filterOf(request.query),
        values,
        metrics: metrics?.split(",").filter((name) => name !== ""),
        from: momentMs(from) ?? until - DEFAULT_SPAN_MS,
        to: until,
      });
      reply.header("content-type", MEDIA_TYPES[format]);
      reply.header("content-disposition", `attachment; filename="${FILES[values]}.${format}"`);
      reply.header("vautn-points", String(count));
      return (reply as FastifyReply).send(Readable.from(chunks, { objectMode: false }));
    },
  );
}
