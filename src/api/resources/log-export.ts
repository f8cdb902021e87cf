import { Readable } from "node:stream";
import { Type } from "typebox";
import { LIMITS } from "../../kernel/index.ts";
import type { LogEntry } from "../../logs/index.ts";
import { tenantOf } from "../access.ts";
import { answers, strict, TenantParams } from "../schemas/common.ts";
import type { Api } from "../types.ts";
import { FilterQuery, filterOf, type LogFilter, RangeQuery } from "./log-filter.ts";
import type { LogsDeps } from "./logs.ts";

export function exportRoute(api: Api, { logs, devices }: LogsDeps): void {
  api.get(
    "/tenants/:tenant/logs/export",
    {
      config: { access: "logs.read", sensitiveRead: "log.read" },
      schema: {
        operationId: "exportLogLines",
        description: "Lines that match, newest first, as CSV or JSON Lines; at most a million",
        tags: ["logs"],
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
