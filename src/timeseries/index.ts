export { decodePosition, encodePosition, type Position } from "./cursor.ts";
export { type EmbeddedClickHouse, startEmbeddedClickHouse } from "./embedded-clickhouse.ts";
export type { Forgetting } from "./forgetting.ts";
export { type JournaledTimeseries, withJournal } from "./journaled-timeseries.ts";
export { type Horizons, horizonOf, horizonsOf, type KeptLevel, whereKept } from "./kept.ts";
export { PointColumns } from "./point-columns.ts";
export {
  type Readable,
  ROLLUP_LEVELS,
  ROLLUP_TABLES,
  type RollupLevel,
  WIDE_SLOTS,
} from "./readable.ts";
export type { RollupResult } from "./rollups.ts";
export type { TableStorage } from "./storage.ts";
export type {
  DeviceEventRow,
  HeartbeatRow,
  LogRow,
  SpanRow,
  TableName,
  TelemetryRow,
  TextRow,
} from "./tables.ts";
export {
  PLATFORM_TENANT,
  type QueryCost,
  type QueryStage,
  SETTLED,
  type TenantQuery,
} from "./tenant-query.ts";
export { createTimeseries, type Timeseries, type TimeseriesOptions } from "./timeseries.ts";
