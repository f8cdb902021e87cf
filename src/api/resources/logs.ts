import { Type } from "typebox";
import { AppError } from "../../kernel/index.ts";
import type { LogEntry } from "../../logs/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, encodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import {
  answers,
  DeviceId,
  listOf,
  Moment,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  TraceId,
} from "../schemas/common.ts";
import { LogLineView, LogPage, LogTail, TraceView } from "../schemas/observing.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";
import { exportRoute } from "./log-export.ts";
import {
  type FilterDevices,
  FilterQuery,
  filterOf,
  type LogFilter,
  RangeQuery,
} from "./log-filter.ts";

interface TailPosition {
  receivedAt: number;
  ts: number;
  deviceId: string;
  seq: number;
}

export interface LogsDeps {
  logs: {
    search(
      tenantId: string,
      options: LogFilter & { cursor?: string | undefined; limit: number },
    ): Promise<ModulePage<LogEntry>>;
    around(
      tenantId: string,
      place: { deviceId: string; ts: number; seq: number },
      count: number,
    ): Promise<object[]>;
    tail(
      tenantId: string,
      since: number | TailPosition,
      filter: LogFilter,
    ): Promise<{ items: object[]; position: TailPosition }>;
    trace(tenantId: string, traceId: string): Promise<object>;
  };
  devices: FilterDevices;
}

const tags = ["logs"];

/** Devices' logs by word, level, device, time and trace; and a trace from end to end. */
export function logRoutes(api: Api, deps: LogsDeps): void {
  searchRoutes(api, deps);
  contextRoute(api, deps);
  exportRoute(api, deps);
  traceRoute(api, deps);
}

function searchRoutes(api: Api, { logs, devices }: LogsDeps): void {
  api.get(
    "/tenants/:tenant/logs",
    {
      config: { access: "logs.read", sensitiveRead: "log.read" },
      schema: {
        operationId: "searchLogs",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          ...FilterQuery,
          ...RangeQuery,
        }),
        response: answers(200, LogPage),
      },
    },
    async (request) => {
      const { cursor, limit = 100 } = request.query;
      const tenantId = tenantOf(request);
      const page = await logs.search(tenantId, {
        ...(await filterOf(devices, tenantId, request.query)),
        cursor: decodeCursor("logs", cursor),
        limit,
      });
      return wrapPage("logs", page);
    },
  );

  api.get(
    "/tenants/:tenant/logs/tail",
    {
      config: { access: "logs.read", sensitiveRead: "log.read" },
      schema: {
        operationId: "tailLogs",
        tags,
        summary: "Lines in the order in which they came in: begin with since, go on with position",
        params: TenantParams,
        querystring: strict({
          ...FilterQuery,
          since: Type.Optional(Moment),
          position: Type.Optional(Type.String({ maxLength: 2048 })),
        }),
        response: answers(200, LogTail),
      },
    },
    async (request) => {
      const { since, position } = request.query;
      const from = position === undefined ? momentMs(since) : readPosition(position);
      if (from === undefined) throw new AppError("invalid-request", "give since or position");
      const tenantId = tenantOf(request);
      const filter = await filterOf(devices, tenantId, request.query);
      const answer = await logs.tail(tenantId, from, filter);
      const reached = encodeCursor("log-tail", JSON.stringify(answer.position));
      return { items: answer.items, position: reached };
    },
  );
}

function contextRoute(api: Api, { logs }: LogsDeps): void {
  api.get(
    "/tenants/:tenant/logs/context",
    {
      config: { access: "logs.read", sensitiveRead: "log.read" },
      schema: {
        operationId: "getLogContext",
        description: "A line and its neighbours of the same device, or of the platform",
        tags,
        params: TenantParams,
        querystring: strict({
          device: Type.Optional(DeviceId),
          ts: Type.Integer({ minimum: 0, maximum: 8_640_000_000_000_000 }),
          seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
          lines: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 20 })),
        }),
        response: answers(200, listOf("LogContext", LogLineView)),
      },
    },
    async (request) => {
      const { device = "", ts, seq, lines = 20 } = request.query;
      const place = { deviceId: device, ts, seq };
      return { items: await logs.around(tenantOf(request), place, lines) };
    },
  );
}

/** The position inside a cursor of ours; its parts are checked, for anyone can make one. */
function readPosition(cursor: string): TailPosition {
  let position: Partial<TailPosition> = {};
  try {
    position = { ...JSON.parse(decodeCursor("log-tail", cursor) ?? "null") };
  } catch {
    // Refused below, as what is JSON and no position.
  }
  const { receivedAt, ts, deviceId, seq } = position;
  const isNumber = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
  if (![receivedAt, ts, seq].every(isNumber) || typeof deviceId !== "string") {
    throw new AppError("invalid-cursor", "the position was not made by this list; start over");
  }
  return { receivedAt, ts, deviceId, seq } as TailPosition;
}

function traceRoute(api: Api, { logs }: LogsDeps): void {
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
