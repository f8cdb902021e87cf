import { hash } from "node:crypto";
import { LIMITS } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";
import { DEVICE_ID, type LogLevel } from "../protocol/index.ts";
import type { LogRow, SpanRow } from "../timeseries/index.ts";
import { SEVERITIES, serializePlainAttributes } from "./log-rows.ts";
import { BYTES } from "./otlp-proto.ts";

/** Records of one request; the rest is rejected. */
const MAX_RECORDS = 10_000;
/** Characters that the records of a request get of their resources, all together: each gets all of its own. */
const MAX_INHERITED = 32 * 1024 ** 2;
const MAX_DEPTH = 8;
const MAX_NAME_LENGTH = 256;
/** Resource or record attribute that names one of the tenant's devices. */
export const DEVICE_ATTRIBUTES = ["vautn.device", "device.id"];
const TRACE_ID = /^[0-9a-f]{32}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;

export interface OtlpRows<Row> {
  rows: Row[];
  rejected: number;
  /** Why the first of them was. */
  reason: string;
}

export type Json = Record<string, unknown>;

/** Log records of an `ExportLogsServiceRequest` in its JSON mapping. */
export function otlpLogRows(tenantId: string, body: unknown, nowMs: number): OtlpRows<LogRow> {
  return collect(body, ["resourceLogs", "scopeLogs", "logRecords"], (record, context) => {
    const attributes = { ...context.resource, ...attributesOf(record.attributes) };
    const ts = millisecondsOf(record.timeUnixNano) ?? millisecondsOf(record.observedTimeUnixNano);
    const isBelievable =
      ts !== undefined && ts >= LIMITS.oldestTimestampMs && ts <= nowMs + LIMITS.futureToleranceMs;
    const body = plainOf(record.body, 0);
    const message = typeof body === "string" ? body : body === null ? "" : JSON.stringify(body);
    const eventName = typeof record.eventName === "string" ? record.eventName : "";
    return {
      tenantId,
      ts: isBelievable ? ts : nowMs,
      deviceId: deviceOf(attributes),
      seq: sequenceOf(record, context),
      severity: severityOf(record),
      logger: storableText(context.scope || textOf(context.resource["service.name"]), 256),
      message: storableText(message || eventName, LIMITS.logMessageLength),
      traceId: idOf(record.traceId, TRACE_ID),
      spanId: idOf(record.spanId, SPAN_ID),
      attributes: serializePlainAttributes({
        ...attributes,
        ...(eventName ? { "event.name": eventName } : {}),
      }),
    };
  });
}

/** Spans of an `ExportTraceServiceRequest` in its JSON mapping. */
export function otlpSpanRows(tenantId: string, body: unknown): OtlpRows<SpanRow> {
  return collect(body, ["resourceSpans", "scopeSpans", "spans"], (record, context) => {
    const traceId = idOf(record.traceId, TRACE_ID);
    const spanId = idOf(record.spanId, SPAN_ID);
    const startedAt = microsecondsOf(record.startTimeUnixNano);
    const endedAt = microsecondsOf(record.endTimeUnixNano);
    if (!traceId || !spanId) return "a span needs a traceId and a spanId";
    if (startedAt === undefined || endedAt === undefined) return "a span needs its two times";
    const status = objectOf(record.status);
    return {
      tenantId,
      traceId,
      spanId,
      parentSpanId: idOf(record.parentSpanId, SPAN_ID),
      name: storableText(textOf(record.name), MAX_NAME_LENGTH),
      service: storableText(textOf(context.resource["service.name"]) || "unknown", 256),
      startedAt,
      durationUs: Math.max(0, endedAt - startedAt),
      status: [1, 2].find((code) => code === numberOf(status.code)) ?? 0,
      statusMessage: storableText(textOf(status.message), 1_024),
      attributes: serializePlainAttributes({
        ...context.resource,
        ...attributesOf(record.attributes),
      }),
    };
  });
}

export interface OtlpContext {
  resource: Json;
  scope: string;
  /** 48 bits that tell resource and scope from others. */
  origin: number;
}

/** Walks resources, scopes and records; what cannot be read is counted, and the rest is kept. */
export function collect<Row>(
  body: unknown,
  [resources, scopes, records]: readonly [string, string, string],
  rowOf: (record: Json, context: OtlpContext) => Row | string,
): OtlpRows<Row> {
  const result: OtlpRows<Row> = { rows: [], rejected: 0, reason: "" };
  let inherited = 0;
  for (const resource of listOf(objectOf(body)[resources])) {
    const attributes = attributesOf(objectOf(resource.resource).attributes);
    for (const scope of listOf(resource[scopes])) {
      const name = textOf(objectOf(scope.scope).name);
      const told = JSON.stringify([attributes, name]);
      const origin = fingerprint(told);
      for (const record of listOf(scope[records])) {
        const refusal = refusalOf(result.rows.length, inherited + told.length);
        if (!refusal) inherited += told.length;
        const row = refusal ?? rowOf(record, { resource: attributes, scope: name, origin });
        if (typeof row === "string") {
          result.rejected += 1;
          result.reason ||= row;
        } else result.rows.push(row);
      }
    }
  }
  return result;
}

/** A small request may be a large one: what stands once in it, of a resource, is stored with each record. */
function refusalOf(records: number, inherited: number): string | undefined {
  if (records >= MAX_RECORDS) return `a request holds at most ${MAX_RECORDS} records`;
  if (inherited <= MAX_INHERITED) return undefined;
  return (
    `with the attributes of its resource in each record the request is larger than ${MAX_INHERITED} ` +
    "characters: send fewer records at once, or shorter attributes of the resource"
  );
}

export function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

export function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

/** What JSON may bring in place of a text: `String` fails on objects that have a member `toString`. */
export function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "object" || value === undefined ? "" : String(value);
}

export function numberOf(value: unknown): number {
  return typeof value === "object" ? Number.NaN : Number(value);
}

export function attributesOf(list: unknown): Json {
  const attributes: Json = {};
  if (!Array.isArray(list)) return attributes;
  const count = Math.min(list.length, LIMITS.logAttributes);
  for (let index = 0; index < count; index += 1) {
    const { key, value } = objectOf(list[index]);
    const name = storableText(textOf(key), 128);
    const plain = plainOf(value, 0);
    if (name !== "__proto__") attributes[name] = plain;
    // A name like any other, but not for an assignment.
    else Object.defineProperty(attributes, name, { value: plain, enumerable: true });
  }
  return attributes;
}

/** An `AnyValue` as plain JSON. */
function plainOf(value: unknown, depth: number): unknown {
  const any = objectOf(value);
  if (depth > MAX_DEPTH) return null;
  if (typeof any.stringValue === "string") return any.stringValue;
  if (typeof any.boolValue === "boolean") return any.boolValue;
  if (any.intValue !== undefined) {
    const number = numberOf(any.intValue);
    return Number.isSafeInteger(number) ? number : textOf(any.intValue);
  }
  if (typeof any.doubleValue === "number") return any.doubleValue;
  if (typeof any.bytesValue === "string") return any.bytesValue;
  if (any.arrayValue) {
    return listOf(objectOf(any.arrayValue).values).map((one) => plainOf(one, depth + 1));
  }
  if (any.kvlistValue) {
    return Object.fromEntries(
      listOf(objectOf(any.kvlistValue).values).map(({ key, value: one }) => [
        textOf(key),
        plainOf(one, depth + 1),
      ]),
    );
  }
  return null;
}

export function deviceOf(attributes: Json): string {
  const named = DEVICE_ATTRIBUTES.map((name) => attributes[name]);
  const found = named.find((id) => typeof id === "string" && DEVICE_ID.test(id));
  return (found as string | undefined) ?? "";
}

/** OTLP's JSON writes ids in hex (OTLP §JSON protobuf encoding); all zeros is none. */
function idOf(value: unknown, form: RegExp): string {
  const id = typeof value === "string" ? value.toLowerCase() : "";
  return form.test(id) && !/^0+$/.test(id) ? id : "";
}

function microsecondsOf(nano: unknown): number | undefined {
  if (typeof nano === "bigint") return believableMicroseconds(Number(nano / 1_000n));
  const digits = typeof nano === "string" || typeof nano === "number" ? String(nano) : "";
  if (!/^\d{1,20}$/.test(digits)) return undefined;
  return believableMicroseconds(Number(BigInt(digits) / 1_000n));
}

function believableMicroseconds(micro: number): number | undefined {
  return micro > 0 && micro < 8.64e18 / 1_000 ? micro : undefined;
}

export function millisecondsOf(nano: unknown): number | undefined {
  const micro = microsecondsOf(nano);
  return micro === undefined ? undefined : Math.floor(micro / 1_000);
}

/** Logs data model §SeverityNumber: 1 to 24; where it is missing, the text says it. */
function severityOf({ severityNumber, severityText }: Json): number {
  const number = numberOf(severityNumber);
  if (Number.isInteger(number) && number >= 1 && number <= 24) return number;
  const word = textOf(severityText).toLowerCase();
  const level = word === "warning" ? "warn" : word === "critical" ? "fatal" : word;
  return SEVERITIES[level as LogLevel] ?? SEVERITIES.info;
}

/** The same for the same record, so that a request that is sent again counts once. */
function sequenceOf(record: Json, { origin }: OtlpContext): number {
  const bytes = (record as { [BYTES]?: Buffer })[BYTES];
  return (fingerprint(bytes ?? JSON.stringify(record)) + origin) % 2 ** FINGERPRINT_BITS;
}

const FINGERPRINT_BITS = 48;

/** As a number from hex: to make a buffer for it takes longer than the hash. */
function fingerprint(content: string | Buffer): number {
  return Number.parseInt(hash("sha256", content, "hex").slice(0, FINGERPRINT_BITS / 4), 16);
}
