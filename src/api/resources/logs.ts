import { Readable } from "node:stream";
import { Type } from "typebox";
import type { Devices } from "../../devices/index.ts";
import { AppError, LIMITS } from "../../kernel/index.ts";
import { type LogEntry, MAX_DEVICES as MAX_NAMED_DEVICES } from "../../logs/index.ts";
import type { LogLevel } from "../../protocol/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, encodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import {
  answers,
  DeviceId,
  FleetQueryText,
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

interface LogFilter {
  words?: string;
  levels?: LogLevel[];
  deviceId?: string;
  deviceIds?: string[];
  logger?: string;
  fields?: Record<string, string>;
  traceId?: string;
  from?: number;
  to?: number;
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
  devices: Pick<Devices, "list" | "groups">;
}

const tags = ["logs"];
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

const FilterQuery = {
  words: Type.Optional(
    Type.String({ maxLength: 256, description: "All stand in the message, in any order and case" }),
  ),
  q: Type.Optional(FleetQueryText),
  group: Type.Optional(Type.String({ maxLength: 128, description: "A group's name" })),
  logger: Type.Optional(Type.String({ maxLength: 256 })),
  field: Type.Optional(
    Type.String({
      maxLength: 512,
      pattern: "^[^=]{1,128}=.*$",
      description: "An attribute and its value: `http.status=503`",
    }),
  ),
  level: Type.Optional(Type.Enum(LEVELS, { description: "This level and what is more severe" })),
  device: Type.Optional(DeviceId),
  trace: Type.Optional(TraceId),
};

/** Devices' logs by word, level, device, time and trace; and a trace from end to end. */
export function logRoutes(api: Api, deps: LogsDeps): void {
  searchRoutes(api, deps);
  contextRoute(api, deps);
  exportRoute(api, deps);
  traceRoute(api, deps);
}

const RangeQuery = { from: Type.Optional(Moment), to: Type.Optional(Moment) };

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

interface FilterParams {
  words?: string;
  level?: LogLevel;
  device?: string;
  trace?: string;
  q?: string;
  group?: string;
  logger?: string;
  field?: string;
  from?: string;
  to?: string;
}

/** Which lines are asked for. Devices are found by query and group at the moment of the question. */
async function filterOf(
  devices: LogsDeps["devices"],
  tenantId: string,
  query: FilterParams,
): Promise<LogFilter> {
  const { words, level, device: deviceId, trace: traceId, logger, field } = query;
  const deviceIds = await devicesOf(devices, tenantId, query);
  const at = field?.indexOf("=") ?? -1;
  const [from, to] = [momentMs(query.from), momentMs(query.to)];
  return {
    ...(words === undefined ? {} : { words }),
    ...(level === undefined ? {} : { levels: LEVELS.slice(LEVELS.indexOf(level)) }),
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(deviceIds === undefined ? {} : { deviceIds }),
    ...(traceId === undefined ? {} : { traceId }),
    ...(logger === undefined ? {} : { logger }),
    ...(field === undefined ? {} : { fields: { [field.slice(0, at)]: field.slice(at + 1) } }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
}

async function devicesOf(
  devices: LogsDeps["devices"],
  tenantId: string,
  { q, group }: FilterParams,
): Promise<string[] | undefined> {
  const queries = q ? [q] : [];
  if (group !== undefined) {
    const found = (await devices.groups.list(tenantId)).find(({ name }) => name === group);
    if (!found) throw new AppError("not-found", "there is no such group", { group });
    queries.push(found.query);
  }
  if (queries.length === 0) return undefined;
  const query = queries.map((one) => `(${one})`).join(" and ");
  const ids: string[] = [];
  let cursor: string | undefined;
  // The search refuses more devices than it can name: one page more than that is enough to know.
  do {
    const where = cursor === undefined ? {} : { cursor };
    const page = await devices.list(tenantId, { query, limit: LIMITS.pageSize, ...where });
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && ids.length <= MAX_NAMED_DEVICES);
  return ids;
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

function exportRoute(api: Api, { logs, devices }: LogsDeps): void {
  api.get(
    "/tenants/:tenant/logs/export",
    {
      config: { access: "logs.read", sensitiveRead: "log.read" },
      schema: {
        operationId: "exportLogLines",
        description: "Lines that match, newest first, as CSV or JSON Lines; at most a million",
        tags,
        params: TenantParams,
        querystring: strict({
          ...FilterQuery,
          ...RangeQuery,
          format: Type.Optional(Type.Enum(["csv", "jsonl"] as const)),
        }),
        response: answers(200, Type.String({ description: "CSV (RFC 4180) or JSON Lines" })),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { format = "jsonl" } = request.query;
      const filter = await filterOf(devices, tenantId, request.query);
      const type = format === "csv" ? "text/csv; charset=utf-8" : "application/x-ndjson";
      reply.header("content-disposition", `attachment; filename="logs.${format}"`);
      return reply.type(type).send(Readable.from(exportLines(logs, tenantId, filter, format)));
    },
  );
}

const MAX_EXPORTED = 1_000_000;
const CSV_HEAD = "ts,level,device,logger,message,traceId,spanId,attributes\r\n";

/** Page by page: an export never stands in memory as a whole. */
async function* exportLines(
  logs: LogsDeps["logs"],
  tenantId: string,
  filter: LogFilter,
  format: "csv" | "jsonl",
): AsyncGenerator<string> {
  if (format === "csv") yield CSV_HEAD;
  let cursor: string | undefined;
  for (let sent = 0; sent < MAX_EXPORTED; ) {
    const page = await logs.search(tenantId, { ...filter, cursor, limit: LIMITS.pageSize });
    yield page.items
      .map((line) => (format === "csv" ? csvLine(line) : `${JSON.stringify(line)}\n`))
      .join("");
    sent += page.items.length;
    if (!page.nextCursor) return;
    cursor = page.nextCursor;
  }
}

function csvLine(line: LogEntry): string {
  const { level, deviceId, logger, message, traceId, spanId, attributes } = line;
  const fields = [
    new Date(line.ts).toISOString(),
    ...[level, deviceId, logger, message, traceId, spanId],
    JSON.stringify(attributes),
  ];
  return `${fields.map((field) => quoted(field ?? "")).join(",")}\r\n`;
}

/** RFC 4180 §2; what a spreadsheet would take for a formula is marked as text. */
function quoted(field: string): string {
  const safe = /^[=+\-@\t\r]/.test(field) ? `'${field}` : field;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
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
