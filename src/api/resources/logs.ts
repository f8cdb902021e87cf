import { Type } from "typebox";
import type { LogLevel } from "../../protocol/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import {
  answers,
  DeviceId,
  Moment,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  TraceId,
} from "../schemas/common.ts";
import { LogPage, TraceView } from "../schemas/observing.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";

export interface LogsDeps {
  logs: {
    search(
      tenantId: string,
      options: {
        words?: string | undefined;
        levels?: LogLevel[] | undefined;
        deviceId?: string | undefined;
        from?: number | undefined;
        to?: number | undefined;
        traceId?: string | undefined;
        cursor?: string | undefined;
        limit: number;
      },
    ): Promise<ModulePage<object>>;
    trace(tenantId: string, traceId: string): Promise<object>;
  };
}

const tags = ["logs"];
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

/** Devices' logs by word, level, device, time and trace; and a trace from end to end. */
export function logRoutes(api: Api, { logs }: LogsDeps): void {
  api.get(
    "/tenants/:tenant/logs",
    {
      config: { access: "logs.read" },
      schema: {
        operationId: "searchLogs",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          words: Type.Optional(Type.String({ maxLength: 256 })),
          level: Type.Optional(
            Type.Enum(LEVELS, { description: "This level and what is more severe" }),
          ),
          device: Type.Optional(DeviceId),
          from: Type.Optional(Moment),
          to: Type.Optional(Moment),
          trace: Type.Optional(TraceId),
        }),
        response: answers(200, LogPage),
      },
    },
    async (request) => {
      const { words, level, device, from, to, trace, cursor, limit = 100 } = request.query;
      const page = await logs.search(tenantOf(request), {
        words,
        levels: level ? LEVELS.slice(LEVELS.indexOf(level)) : undefined,
        deviceId: device,
        from: momentMs(from),
        to: momentMs(to),
        traceId: trace,
        cursor: decodeCursor("logs", cursor),
        limit,
      });
      return wrapPage("logs", page);
    },
  );

  api.get(
    "/tenants/:tenant/traces/:trace",
    {
      config: { access: "logs.read" },
      schema: {
        operationId: "getTrace",
        tags,
        summary: "A trace from the request through the platform to the devices' log lines",
        params: strict({ tenant: TenantId, trace: TraceId }),
        response: answers(200, TraceView),
      },
    },
    async (request) => logs.trace(tenantOf(request), request.params.trace),
  );
}
