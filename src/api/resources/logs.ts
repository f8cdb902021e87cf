import { Type } from "typebox";
import { AppError } from "../../kernel/index.ts";
import type { LogLevel } from "../../protocol/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, encodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
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
import { LogPage, LogTail, TraceView } from "../schemas/observing.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";

interface LogFilter {
  words?: string | undefined;
  levels?: LogLevel[] | undefined;
  deviceId?: string | undefined;
  traceId?: string | undefined;
}

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
      options: LogFilter & {
        from?: number | undefined;
        to?: number | undefined;
        cursor?: string | undefined;
        limit: number;
      },
    ): Promise<ModulePage<object>>;
    tail(
      tenantId: string,
      since: number | TailPosition,
      filter: LogFilter,
    ): Promise<{ items: object[]; position: TailPosition }>;
    trace(tenantId: string, traceId: string): Promise<object>;
  };
}

const tags = ["logs"];
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

const FilterQuery = {
  words: Type.Optional(Type.String({ maxLength: 256 })),
  level: Type.Optional(Type.Enum(LEVELS, { description: "This level and what is more severe" })),
  device: Type.Optional(DeviceId),
  trace: Type.Optional(TraceId),
};

/** Devices' logs by word, level, device, time and trace; and a trace from end to end. */
export function logRoutes(api: Api, deps: LogsDeps): void {
  searchRoutes(api, deps);
  traceRoute(api, deps);
}

function searchRoutes(api: Api, { logs }: LogsDeps): void {
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
          from: Type.Optional(Moment),
          to: Type.Optional(Moment),
        }),
        response: answers(200, LogPage),
      },
    },
    async (request) => {
      const { from, to, cursor, limit = 100 } = request.query;
      const page = await logs.search(tenantOf(request), {
        ...filterOf(request.query),
        from: momentMs(from),
        to: momentMs(to),
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
      const answer = await logs.tail(tenantOf(request), from, filterOf(request.query));
      const reached = encodeCursor("log-tail", JSON.stringify(answer.position));
      return { items: answer.items, position: reached };
    },
  );
}

function filterOf(query: {
  words?: string;
  level?: LogLevel;
  device?: string;
  trace?: string;
}): LogFilter {
  const { words, level, device: deviceId, trace: traceId } = query;
  return {
    words,
    levels: level ? LEVELS.slice(LEVELS.indexOf(level)) : undefined,
    deviceId,
    traceId,
  };
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
