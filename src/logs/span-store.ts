import { PLATFORM_TENANT, type Timeseries } from "../timeseries/index.ts";

export interface SpanView {
  spanId: string;
  parentSpanId: string | null;
  name: string;
  service: string;
  /** Milliseconds since the epoch, with a fraction. */
  startMs: number;
  durationMs: number;
  status: "unset" | "ok" | "error";
  statusMessage: string | null;
  attributes: Record<string, unknown>;
}

const STATUSES = ["unset", "ok", "error"] as const;
const MAX_TRACE_SPANS = 2_000;

/** A trace's spans that belong to the tenant, in the order of their start. */
export async function readTraceSpans(
  timeseries: Timeseries,
  tenantId: string,
  traceId: string,
): Promise<SpanView[]> {
  const rows = await timeseries.tenantQuery<SpanRowView>(tenantId, {
    table: "spans",
    select: `span_id as span, parent_span_id as parent, name, service, status,
      toUnixTimestamp64Micro(started_at) as startUs, duration_us as durationUs,
      status_message as statusMessage, attributes`,
    where: ["trace_id = {trace:String}"],
    orderBy: "startUs, span",
    limit: MAX_TRACE_SPANS,
    final: true,
    params: { trace: traceId },
  });
  return rows.map((row) => ({
    spanId: row.span,
    parentSpanId: row.parent || null,
    name: row.name,
    service: row.service,
    startMs: row.startUs / 1000,
    durationMs: row.durationUs / 1000,
    status: STATUSES[row.status] ?? "unset",
    statusMessage: row.statusMessage || null,
    attributes: JSON.parse(row.attributes || "{}") as Record<string, unknown>,
  }));
}

/** The platform's own part in a trace: names and times alone, for its attributes are nobody's. */
export async function readPlatformSpans(
  timeseries: Timeseries,
  traceId: string,
): Promise<SpanView[]> {
  const spans = await readTraceSpans(timeseries, PLATFORM_TENANT, traceId);
  return spans.map((span) => ({ ...span, statusMessage: null, attributes: {} }));
}

interface SpanRowView {
  span: string;
  parent: string;
  name: string;
  service: string;
  status: number;
  startUs: number;
  durationUs: number;
  statusMessage: string;
  attributes: string;
}
