import type { ReadableSpan } from "../kernel/tracing.ts";
import { isTenantId } from "../protocol/index.ts";
import { PLATFORM_TENANT, type SpanRow } from "../timeseries/index.ts";
import { serializeAttributes } from "./log-rows.ts";

/** Span attribute that says whose span it is. */
export const TENANT_ATTRIBUTE = "vautn.tenant";

const MAX_NAME_LENGTH = 256;
const MAX_STATUS_LENGTH = 1_024;

/** A finished span of a process of ours as a row; without a tenant it is the platform's own. */
export function spanRow(span: ReadableSpan, service: string): SpanRow {
  const { [TENANT_ATTRIBUTE]: tenant, ...attributes } = span.attributes;
  const context = span.spanContext();
  return {
    tenantId: isTenantId(tenant) ? tenant : PLATFORM_TENANT,
    traceId: context.traceId,
    spanId: context.spanId,
    parentSpanId: span.parentSpanContext?.spanId ?? "",
    name: span.name.slice(0, MAX_NAME_LENGTH),
    service,
    startedAt: microseconds(span.startTime),
    durationUs: microseconds(span.duration),
    status: span.status.code,
    statusMessage: (span.status.message ?? "").slice(0, MAX_STATUS_LENGTH),
    attributes: serializeAttributes(attributes),
  };
}

function microseconds([seconds, nanoseconds]: [number, number]): number {
  return seconds * 1_000_000 + Math.floor(nanoseconds / 1_000);
}
