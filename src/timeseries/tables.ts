/** Types that rows have on the way to the store; the engine converts to the column's own type. */
export type WireType =
  | "String"
  | "LowCardinality(String)"
  | "UInt8"
  | "UInt64"
  | "Int64"
  | "Float64"
  | "DateTime64(3, 'UTC')"
  | "DateTime64(6, 'UTC')";

/** `name` is the SQL column, `key` the property of a row object. */
export interface WireColumn {
  name: string;
  key: string;
  type: WireType;
}

/** A point of one metric. Times are milliseconds since the epoch, here and below. */
export type TelemetryRow = {
  tenantId: string;
  deviceId: string;
  metric: string;
  ts: number;
  seq: number;
  value: number;
};

/** A word that a device has reported as the value of a metric. */
export type TextRow = Omit<TelemetryRow, "value"> & {
  text: string;
  /** What was added to the time that the device gave. */
  shiftMs: number;
};

export type HeartbeatRow = {
  tenantId: string;
  deviceId: string;
  ts: number;
  seq: number;
  bootId: string;
  uptimeSeconds: number;
  firmwareVersion: string;
  firmwareSha256: string;
  slot: string;
};

export type DeviceEventRow = {
  tenantId: string;
  deviceId: string;
  ts: number;
  seq: number;
  type: string;
  bootId: string;
  firmwareVersion: string;
  firmwareSha256: string;
  message: string;
  traceId: string;
  body: string;
};

export type LogRow = {
  tenantId: string;
  ts: number;
  deviceId: string;
  seq: number;
  severity: number;
  logger: string;
  message: string;
  traceId: string;
  spanId: string;
  attributes: string;
};

export type SpanRow = {
  tenantId: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  service: string;
  /** Microseconds since the epoch. */
  startedAt: number;
  durationUs: number;
  status: number;
  statusMessage: string;
  attributes: string;
};

export interface Rows {
  telemetry: TelemetryRow;
  telemetry_texts: TextRow;
  heartbeats: HeartbeatRow;
  device_events: DeviceEventRow;
  logs: LogRow;
  spans: SpanRow;
}

export type TableName = keyof Rows;

const MILLISECONDS = "DateTime64(3, 'UTC')";
const KEYWORD = "LowCardinality(String)";

/** The columns that an insert sends. `storage_class` and `received_at` have defaults. */
export const TABLES: { [Name in TableName]: readonly WireColumn[] } = {
  telemetry: columns({
    tenantId: KEYWORD,
    deviceId: KEYWORD,
    metric: KEYWORD,
    ts: MILLISECONDS,
    seq: "UInt64",
    value: "Float64",
  }),
  telemetry_texts: columns({
    tenantId: KEYWORD,
    deviceId: KEYWORD,
    metric: KEYWORD,
    ts: MILLISECONDS,
    seq: "UInt64",
    text: KEYWORD,
    shiftMs: "Int64",
  }),
  heartbeats: columns({
    tenantId: KEYWORD,
    deviceId: KEYWORD,
    ts: MILLISECONDS,
    seq: "UInt64",
    bootId: KEYWORD,
    uptimeSeconds: "Float64",
    firmwareVersion: KEYWORD,
    firmwareSha256: KEYWORD,
    slot: KEYWORD,
  }),
  device_events: columns({
    tenantId: KEYWORD,
    deviceId: KEYWORD,
    ts: MILLISECONDS,
    seq: "UInt64",
    type: KEYWORD,
    bootId: "String",
    firmwareVersion: KEYWORD,
    firmwareSha256: KEYWORD,
    message: "String",
    traceId: "String",
    body: "String",
  }),
  logs: columns({
    tenantId: KEYWORD,
    ts: MILLISECONDS,
    deviceId: KEYWORD,
    seq: "UInt64",
    severity: "UInt8",
    logger: KEYWORD,
    message: "String",
    traceId: KEYWORD,
    spanId: "String",
    attributes: "String",
  }),
  spans: columns({
    tenantId: KEYWORD,
    traceId: KEYWORD,
    spanId: "String",
    parentSpanId: "String",
    name: KEYWORD,
    service: KEYWORD,
    startedAt: "DateTime64(6, 'UTC')",
    durationUs: "UInt64",
    status: "UInt8",
    statusMessage: "String",
    attributes: "String",
  }),
};

function columns(types: Record<string, WireType>): WireColumn[] {
  return Object.entries(types).map(([key, type]) => ({
    name: key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    key,
    type,
  }));
}
