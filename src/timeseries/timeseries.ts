import { Readable } from "node:stream";
import { type ClickHouseClient, ClickHouseError, createClient } from "@clickhouse/client";
import { AppError, assert, systemClock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { READ_SETTINGS, WRITE_SETTINGS } from "./engine-settings.ts";
import { type FleetRollupOptions, type FleetRollupResult, rollUpFleets } from "./fleet-rollups.ts";
import { type Forgetting, forget } from "./forgetting.ts";
import { MAX_BLOCK_BYTES } from "./journal-record.ts";
import { migrateTimeseries } from "./migrate-timeseries.ts";
import { copyTenant, leaveOldPlace, type MoveProgress } from "./moving.ts";
import { encodeNativeBlocks } from "./native-block.ts";
import type { PointColumns } from "./point-columns.ts";
import { DERIVED_TABLES, ROLLUP_LEVELS, type RollupLevel, TENANT_TABLES } from "./readable.ts";
import { KnownProgress } from "./rollup-progress.ts";
import { type RollupResult, rollUp } from "./rollups.ts";
import { type PlaceOf, runQuery } from "./run-query.ts";
import { readStorage, type TableStorage } from "./storage.ts";
import { dropOwnPartitions, keepApart, keptApart } from "./storage-class.ts";
import { type Rows, TABLES, type TableName } from "./tables.ts";
import { takeOver } from "./taking-over.ts";
import type { TenantQuery } from "./tenant-query.ts";
import { WideLayouts } from "./wide-layouts.ts";

/** The store of telemetry, logs and traces. Every failure to reach it is `AppError("unavailable")`. */
export interface Timeseries {
  /** Creates what the database lacks; returns the names of the migrations that ran. */
  migrate(): Promise<string[]>;
  /** Resolves when the rows are durable. The same rows again change nothing. */
  insert<Table extends TableName>(table: Table, rows: readonly Rows[Table][]): Promise<void>;
  /** What `insert` does, for points of every kind; the columns are free again when it returns. */
  insertPoints(points: PointColumns): Promise<void>;
  /** What `insert` does, with blocks in Native format and a target as `targetOf` names it. */
  insertBlocks(target: string, blocks: readonly Buffer[]): Promise<void>;
  /** Rows of one tenant, in the shape that `query.select` gives them. */
  tenantQuery<Row>(tenantId: string, query: TenantQuery): Promise<Row[]>;
  /** Computes anew every bucket of rollups that points have come into; see `rollUp`. */
  rollUp(levels?: readonly RollupLevel[], state?: { isMoving?: boolean }): Promise<RollupResult>;
  /** Computes rollups of whole fleets from those of their devices; see `rollUpFleets`. */
  rollUpFleets(options: FleetRollupOptions): Promise<FleetRollupResult>;
  /**
   * What was received up to then, milliseconds since the epoch, is in the rollups by the minute; what came
   * into them within the last second may not be known yet.
   */
  rolledUpTo(): Promise<number>;
  /** Removes a tenant's rows that are out of date; the result names the tables. See `forget`. */
  forget(tenantId: string, forgetting: Forgetting): Promise<string[]>;
  /** Whose rows lie in partitions of their own from now on; all others share theirs. */
  keepApart(tenantIds: readonly string[]): Promise<void>;
  /** Says in which place readers find a tenant's rows; without it in either. */
  readBy(placeOf: PlaceOf): void;
  /** Brings a tenant's rows to where its class has them; see `copyTenant`. */
  copyTenant(
    tenantId: string,
    to: "shared" | "separate",
    progressed: (progress: MoveProgress) => Promise<void>,
  ): Promise<boolean>;
  /** And removes them where they were. */
  leaveOldPlace(tenantId: string, to: "shared" | "separate"): Promise<void>;
  /** What a tenant's rows take on the disk, by table. */
  storage(tenantId: string): Promise<TableStorage[]>;
  /** How many rows of a tenant there are, by table. */
  countTenant(tenantId: string): Promise<Record<string, number>>;
  /** Every row of a tenant as JSON, by table; rollups are left out, which are made of the points. */
  exportTenant(tenantId: string): Generator<{ table: string; rows: AsyncIterable<string> }>;
  /** Removes every row of a tenant. */
  deleteTenant(tenantId: string): Promise<void>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

export interface TimeseriesOptions {
  /** ClickHouse's HTTP address, with credentials. */
  url: string;
  logger: Logger;
  /** Default `vautn`. */
  database?: string;
}

export const MAX_ROWS_PER_INSERT = 200_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** How long an insert is tried again while the engine restarts. */
const RETRY_FOR_MS = 5_000;
const RETRY_DELAY_MS = 200;

export function createTimeseries(options: TimeseriesOptions): Timeseries {
  const database = options.database ?? "vautn";
  assert(/^\w{1,64}$/.test(database), "the database has a plain name");
  const client = connect(options.url, database);
  const progress = new KnownProgress(client);
  const layouts = new WideLayouts(systemClock);
  let placeOf: PlaceOf = async () => null;
  return {
    migrate: () =>
      guarded(async () => {
        await createDatabase(options.url, database);
        const added = await migrateTimeseries(client);
        await takeOver(client, options.logger);
        // Tables that are new know of nobody yet who is kept apart.
        if (added.length > 0) await keepApart(client, await keptApart(client));
        return added;
      }),
    async insert(table, rows) {
      for (let start = 0; start < rows.length; start += MAX_ROWS_PER_INSERT) {
        const slice = rows.slice(start, start + MAX_ROWS_PER_INSERT);
        for (const { block } of encodeNativeBlocks(TABLES[table], slice, MAX_BLOCK_BYTES)) {
          await retried(() => insertBlocks(client, targetOf(table), [block]));
        }
      }
    },
    async insertPoints(points) {
      const encoded = points.encode({ isSorted: true });
      await Promise.all(
        encoded.map(({ target, block }) => retried(() => insertBlocks(client, target, [block]))),
      );
    },
    insertBlocks: (target, blocks) => guarded(() => insertBlocks(client, target, blocks)),
    tenantQuery: (tenantId, query) =>
      guarded(() => runQuery({ client, progress, layouts, placeOf }, tenantId, query)),
    rollUp: (levels = ROLLUP_LEVELS, state = {}) =>
      guarded(() => rollUp(client, levels, state)).finally(() => progress.forget()),
    rollUpFleets: (options) =>
      guarded(() => rollUpFleets(client, options)).finally(() => progress.forget()),
    rolledUpTo: () => guarded(async () => (await progress.read()).get("1m")?.receivedUntil ?? 0),
    forget: (tenantId, forgetting) => guarded(() => forget(client, tenantId, forgetting)),
    keepApart: (tenantIds) => guarded(() => keepApart(client, tenantIds)),
    readBy(given) {
      placeOf = given;
    },
    copyTenant: (tenantId, to, progressed) =>
      guarded(() => copyTenant(client, tenantId, to, progressed)),
    leaveOldPlace: (tenantId, to) => guarded(() => leaveOldPlace(client, tenantId, to)),
    storage: (tenantId) => guarded(() => readStorage(client, tenantId)),
    countTenant: (tenantId) => guarded(() => countTenant(client, tenantId)),
    exportTenant: (tenantId) => exportTenant(client, tenantId),
    deleteTenant: (tenantId) => guarded(() => deleteTenant(client, tenantId)),
    ping: () =>
      guarded(async () => {
        const result = await client.ping();
        if (!result.success) throw result.error;
      }),
    close: () => client.close(),
  };
}

function connect(url: string, database: string): ClickHouseClient {
  return createClient({
    url,
    database,
    request_timeout: REQUEST_TIMEOUT_MS,
    max_open_connections: 16,
    application: "vautn",
    log: { LoggerClass: quietLogger() },
  });
}

/** A server refuses requests to a database that is missing, so this goes through another one. */
async function createDatabase(url: string, database: string): Promise<void> {
  const client = connect(url, "default");
  try {
    await client.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` });
  } finally {
    await client.close();
  }
}

/** Table and columns as an INSERT names them. */
export function targetOf(table: TableName): string {
  return `${table} (${TABLES[table].map((column) => column.name).join(", ")})`;
}

async function insertBlocks(
  client: ClickHouseClient,
  target: string,
  blocks: readonly Buffer[],
): Promise<void> {
  const { stream } = await client.exec({
    query: `INSERT INTO ${target} FORMAT Native`,
    values: Readable.from(blocks, { objectMode: false }),
    clickhouse_settings: WRITE_SETTINGS,
  });
  // The answer is empty; reading it to the end gives the connection back.
  for await (const _ of stream);
}

async function countTenant(
  client: ClickHouseClient,
  tenantId: string,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of TENANT_TABLES) {
    const result = await client.query({
      query: `SELECT count() AS total FROM ${table} WHERE tenant_id = {tenant:String}`,
      query_params: { tenant: tenantId },
      format: "JSONEachRow",
      clickhouse_settings: READ_SETTINGS,
    });
    counts[table] = Number((await result.json<{ total: number }>())[0]?.total ?? 0);
  }
  return counts;
}

function* exportTenant(client: ClickHouseClient, tenantId: string) {
  for (const table of TENANT_TABLES.filter((name) => !DERIVED_TABLES.includes(name))) {
    yield { table, rows: rowsOf(client, table, tenantId) };
  }
}

/** Day by day: a query has a time within which it ends, and a tenant may have years. */
async function* rowsOf(
  client: ClickHouseClient,
  table: string,
  tenantId: string,
): AsyncGenerator<string> {
  const day = `toDate(${table === "spans" ? "started_at" : "ts"})`;
  const own = "tenant_id = {tenant:String}";
  const days = await client.query({
    query: `SELECT DISTINCT toString(${day}) AS day FROM ${table} WHERE ${own} ORDER BY day`,
    query_params: { tenant: tenantId },
    format: "JSONEachRow",
    clickhouse_settings: READ_SETTINGS,
  });
  for (const { day: of } of await days.json<{ day: string }>()) {
    const result = await client.query({
      query: `SELECT * FROM ${table} FINAL WHERE ${own} AND toString(${day}) = {day:String}`,
      query_params: { tenant: tenantId, day: of },
      format: "JSONEachRow",
      clickhouse_settings: READ_SETTINGS,
    });
    for await (const rows of result.stream()) {
      for (const row of rows) yield row.text;
    }
  }
}

async function deleteTenant(client: ClickHouseClient, tenantId: string): Promise<void> {
  await dropOwnPartitions(client, tenantId);
  const counts = await countTenant(client, tenantId);
  // Of an empty table nothing is deleted, and to say so costs the engine a mutation.
  for (const table of TENANT_TABLES.filter((name) => counts[name] !== 0)) {
    await client.command({
      query: `DELETE FROM ${table} WHERE tenant_id = {tenant:String}`,
      query_params: { tenant: tenantId },
    });
  }
}

/** Inserts are idempotent: one whose answer was lost is simply sent again. */
async function retried(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + RETRY_FOR_MS;
  for (;;) {
    try {
      await guarded(work);
      return;
    } catch (error) {
      const hopeless = !(error instanceof AppError) || Date.now() > deadline;
      if (hopeless) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
    }
  }
}

/**
 * ClickHouse's codes for "not now": timeouts, too many queries or parts, memory, no connection; and a
 * disk that is full or fails (74 to 76, 243). None of them says anything of the rows.
 */
const PASSING_CODES = new Set("74 75 76 159 202 209 210 241 242 243 252 279 319".split(" "));
/** What the engine and its endpoint pass on of the system's own errors, under codes for anything. */
const DISK_FAULT =
  /No space left on device|ENOSPC|EDQUOT|Input\/output error|Read-only file system/;

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ClickHouseError && !isPassing(error)) throw error;
    if (!(error instanceof ClickHouseError) && !isConnectionFault(error)) throw error;
    throw new AppError(
      "unavailable",
      "the time-series store does not answer",
      {},
      { cause: error },
    );
  }
}

function isPassing({ code, message }: ClickHouseError): boolean {
  return PASSING_CODES.has(code) || DISK_FAULT.test(message);
}

function isConnectionFault(error: unknown): boolean {
  const { code = "", message = "" } = error as { code?: string; message?: string };
  return (
    /^E(CONN|PIPE|TIMEDOUT|HOST|AI_)/.test(code) ||
    /socket hang up|timeout error|aborted|premature close/i.test(message)
  );
}

/** The client reports its faults by throwing; its own logger would say everything twice. */
function quietLogger() {
  return class {
    trace(): void {}
    debug(): void {}
    info(): void {}
    warn(): void {}
    error(): void {}
  };
}
