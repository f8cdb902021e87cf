import { AppError } from "../kernel/index.ts";

/**
 * Reads OpenTelemetry's messages from protobuf into what the JSON mapping of them looks like
 * (opentelemetry-proto; protobuf's wire format). Fields that nobody here reads are passed over.
 */
type Shape = Readonly<Record<number, Field>>;
interface Field {
  name: string;
  type:
    | "string"
    | "hex"
    | "base64"
    | "bool"
    | "int64"
    | "fixed64"
    | "time"
    | "sfixed64"
    | "double"
    | "varint"
    | Shape;
  isRepeated?: boolean;
  /** Its messages keep the bytes that they were read from, see {@link BYTES}. */
  keepsBytes?: boolean;
}

/** Where a message keeps its bytes: by them a record that is sent again is known. */
export const BYTES = Symbol("bytes");

const MAX_DEPTH = 24;
const MAX_VARINT_BYTES = 10;

const text = (name: string): Field => ({ name, type: "string" });
const many = (name: string, type: Shape): Field => ({ name, type, isRepeated: true });

const VALUE: Record<number, Field> = {
  1: text("stringValue"),
  2: { name: "boolValue", type: "bool" },
  3: { name: "intValue", type: "int64" },
  4: { name: "doubleValue", type: "double" },
  7: { name: "bytesValue", type: "base64" },
};
const KEY_VALUE: Shape = { 1: text("key"), 2: { name: "value", type: VALUE } };
VALUE[5] = { name: "arrayValue", type: { 1: many("values", VALUE) } };
VALUE[6] = { name: "kvlistValue", type: { 1: many("values", KEY_VALUE) } };

const RESOURCE: Field = { name: "resource", type: { 1: many("attributes", KEY_VALUE) } };
const SCOPE: Field = { name: "scope", type: { 1: text("name"), 2: text("version") } };

const LOG_RECORD: Shape = {
  1: { name: "timeUnixNano", type: "time" },
  2: { name: "severityNumber", type: "varint" },
  3: text("severityText"),
  5: { name: "body", type: VALUE },
  6: many("attributes", KEY_VALUE),
  9: { name: "traceId", type: "hex" },
  10: { name: "spanId", type: "hex" },
  11: { name: "observedTimeUnixNano", type: "time" },
  12: text("eventName"),
};
const SPAN: Shape = {
  1: { name: "traceId", type: "hex" },
  2: { name: "spanId", type: "hex" },
  4: { name: "parentSpanId", type: "hex" },
  5: text("name"),
  6: { name: "kind", type: "varint" },
  7: { name: "startTimeUnixNano", type: "time" },
  8: { name: "endTimeUnixNano", type: "time" },
  9: many("attributes", KEY_VALUE),
  15: { name: "status", type: { 2: text("message"), 3: { name: "code", type: "varint" } } },
};

const NUMBER_POINT: Shape = {
  3: { name: "timeUnixNano", type: "time" },
  4: { name: "asDouble", type: "double" },
  6: { name: "asInt", type: "sfixed64" },
  7: many("attributes", KEY_VALUE),
};
/** Histograms of both kinds: what they have in common has the same names, but not the same numbers. */
const histogramPoint = (numbers: { attributes: number; min: number; max: number }): Shape => ({
  3: { name: "timeUnixNano", type: "time" },
  4: { name: "count", type: "fixed64" },
  5: { name: "sum", type: "double" },
  [numbers.attributes]: many("attributes", KEY_VALUE),
  [numbers.min]: { name: "min", type: "double" },
  [numbers.max]: { name: "max", type: "double" },
});
const SUMMARY_POINT: Shape = {
  3: { name: "timeUnixNano", type: "time" },
  4: { name: "count", type: "fixed64" },
  5: { name: "sum", type: "double" },
  7: many("attributes", KEY_VALUE),
};
const pointsOf = (name: string, point: Shape): Field => ({
  name,
  type: { 1: many("dataPoints", point) },
});
const METRIC: Shape = {
  1: text("name"),
  5: pointsOf("gauge", NUMBER_POINT),
  7: pointsOf("sum", NUMBER_POINT),
  9: pointsOf("histogram", histogramPoint({ attributes: 9, min: 11, max: 12 })),
  10: pointsOf("exponentialHistogram", histogramPoint({ attributes: 1, min: 12, max: 13 })),
  11: pointsOf("summary", SUMMARY_POINT),
};

export const METRICS_REQUEST: Shape = {
  1: many("resourceMetrics", {
    1: RESOURCE,
    2: many("scopeMetrics", { 1: SCOPE, 2: many("metrics", METRIC) }),
  }),
};
export const LOGS_REQUEST: Shape = {
  1: many("resourceLogs", {
    1: RESOURCE,
    2: many("scopeLogs", { 1: SCOPE, 2: { ...many("logRecords", LOG_RECORD), keepsBytes: true } }),
  }),
};
export const TRACES_REQUEST: Shape = {
  1: many("resourceSpans", {
    1: RESOURCE,
    2: many("scopeSpans", { 1: SCOPE, 2: many("spans", SPAN) }),
  }),
};

/** Throws `invalid-request` where the bytes are no such message. */
export function decodeProto(bytes: Buffer, shape: Shape): Record<string, unknown> {
  return new Reader(bytes).message(shape, bytes.length, 0);
}

const broken = () => new AppError("invalid-request", "the body is no OTLP message in protobuf");

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  message(shape: Shape, end: number, depth: number): Record<string, unknown> {
    if (depth > MAX_DEPTH) throw broken();
    const result: Record<string, unknown> = {};
    while (this.#at < end) {
      const tag = this.#number(end);
      const field = shape[tag >>> 3];
      const value = this.#value(tag & 7, field, end, depth);
      if (!field || value === undefined) continue;
      if (!field.isRepeated) result[field.name] = value;
      else if (result[field.name]) (result[field.name] as unknown[]).push(value);
      else result[field.name] = [value];
    }
    return result;
  }

  #value(wire: number, field: Field | undefined, end: number, depth: number): unknown {
    switch (wire) {
      case 0: {
        if (field?.type === "int64") return String(BigInt.asIntN(64, this.#varint(end)));
        const value = this.#number(end);
        if (field?.type === "bool") return value !== 0;
        return field?.type === "varint" ? value : undefined;
      }
      case 1: {
        const at = this.#skip(8, end);
        if (field?.type === "time") return this.#bytes.readBigUInt64LE(at);
        if (field?.type === "fixed64") return String(this.#bytes.readBigUInt64LE(at));
        if (field?.type === "sfixed64") return String(this.#bytes.readBigInt64LE(at));
        return field?.type === "double" ? this.#bytes.readDoubleLE(at) : undefined;
      }
      case 2: {
        const length = this.#number(end);
        const at = this.#skip(length, end);
        const to = at + length;
        if (typeof field?.type === "object") {
          this.#at = at;
          const message = this.message(field.type, to, depth + 1);
          if (!field.keepsBytes) return message;
          return Object.assign(message, { [BYTES]: this.#bytes.subarray(at, to) });
        }
        // Not of a slice: an object for each would cost more than its text.
        if (field?.type === "string") return this.#bytes.toString("utf8", at, to);
        if (field?.type === "hex") return this.#bytes.toString("hex", at, to);
        return field?.type === "base64" ? this.#bytes.toString("base64", at, to) : undefined;
      }
      case 5:
        this.#skip(4, end);
        return undefined;
      default:
        throw broken();
    }
  }

  #skip(length: number, end: number): number {
    const at = this.#at;
    if (!(length >= 0) || at + length > end) throw broken();
    this.#at = at + length;
    return at;
  }

  /** A varint of which nothing beyond 2^53 is meant to be exact: tags, lengths, enumerations. */
  #number(end: number): number {
    let value = 0;
    let weight = 1;
    for (let count = 0; count < MAX_VARINT_BYTES; count += 1) {
      if (this.#at >= end) throw broken();
      const byte = this.#bytes[this.#at] as number;
      this.#at += 1;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return value;
      weight *= 0x80;
    }
    throw broken();
  }

  #varint(end: number): bigint {
    let value = 0n;
    for (let count = 0; count < MAX_VARINT_BYTES; count += 1) {
      if (this.#at >= end) throw broken();
      const byte = this.#bytes[this.#at] as number;
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << BigInt(7 * count);
      if (byte < 0x80) return value;
    }
    throw broken();
  }
}

/** `Export…ServiceResponse`: empty, or what was rejected and why. */
export function encodeOtlpAnswer(rejected: number, message: string): Buffer {
  if (rejected === 0) return Buffer.alloc(0);
  const words = Buffer.from(message);
  const inner = Buffer.concat([
    Buffer.from([0x08]),
    varintBytes(rejected),
    Buffer.from([0x12]),
    varintBytes(words.length),
    words,
  ]);
  return Buffer.concat([Buffer.from([0x0a]), varintBytes(inner.length), inner]);
}

function varintBytes(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}
