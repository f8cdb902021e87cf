import pg from "pg";
import type { TelemetryRow } from "../src/timeseries/index.ts";

const COLUMNS = `tenant_id text not null, device_id text not null, metric text not null,
  ts timestamptz not null, seq bigint not null, value double precision not null`;
/** PostgreSQL counts microseconds from 2000-01-01. */
const EPOCH_2000_MS = 946_684_800_000;
const SIGNATURE = Buffer.from("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", "latin1");
const TRAILER = Buffer.from([0xff, 0xff]);

/** Telemetry in PostgreSQL as one would keep it there, for comparison. */
export class PostgresPoints {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open(url: string): Promise<PostgresPoints> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(`create table heap_binary (${COLUMNS})`);
    await client.query(`create table heap_text (${COLUMNS})`);
    await client.query(
      `create table keyed (${COLUMNS}, primary key (tenant_id, device_id, metric, ts))`,
    );
    return new PostgresPoints(client);
  }

  copyBinary(table: string, rows: readonly TelemetryRow[]): Promise<void> {
    return this.#copy(`copy ${table} from stdin (format binary)`, encodeBinary(rows));
  }

  copyText(table: string, rows: readonly TelemetryRow[]): Promise<void> {
    const lines = rows.map(
      (row) =>
        `${row.tenantId}\t${row.deviceId}\t${row.metric}\t${new Date(row.ts).toISOString()}\t${row.seq}\t${row.value}\n`,
    );
    return this.#copy(`copy ${table} from stdin`, Buffer.from(lines.join("")));
  }

  async insertIdempotent(table: string, rows: readonly TelemetryRow[]): Promise<void> {
    await this.#client.query(
      `insert into ${table} select t, d, m, to_timestamp(ms / 1000.0), s, v
       from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::float8[])
         as points (t, d, m, ms, s, v)
       on conflict do nothing`,
      [
        rows.map((row) => row.tenantId),
        rows.map((row) => row.deviceId),
        rows.map((row) => row.metric),
        rows.map((row) => row.ts),
        rows.map((row) => row.seq),
        rows.map((row) => row.value),
      ],
    );
  }

  async bytesPerPoint(table: string): Promise<number> {
    const { rows } = await this.#client.query(
      `select pg_total_relation_size('${table}')::float8 / count(*) as bytes from ${table}`,
    );
    return rows[0].bytes;
  }

  async series(
    table: string,
    query: { deviceId: string; metric: string; from: number; to: number },
    buckets: number,
  ): Promise<unknown[]> {
    const width = Math.ceil((query.to - query.from) / buckets);
    const { rows } = await this.#client.query(
      `select min(ts), min(value), max(value), avg(value), count(*) from ${table}
       where tenant_id = 'bench' and device_id = $1 and metric = $2
         and ts >= to_timestamp($3 / 1000.0) and ts < to_timestamp($4 / 1000.0)
       group by floor((extract(epoch from ts) * 1000 - $3) / $5) order by 1`,
      [query.deviceId, query.metric, query.from, query.to, width],
    );
    return rows;
  }

  close(): Promise<void> {
    return this.#client.end();
  }

  #copy(sql: string, data: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.query(new CopyIn(sql, data, resolve, reject) as unknown as pg.Submittable);
    });
  }
}

interface CopyConnection {
  query(sql: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** COPY FROM STDIN of one buffer, as `pg` asks of a query object. */
class CopyIn {
  readonly #sql: string;
  readonly #data: Buffer;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor(sql: string, data: Buffer, resolve: () => void, reject: (error: Error) => void) {
    this.#sql = sql;
    this.#data = data;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: CopyConnection): void {
    connection.query(this.#sql);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    connection.sendCopyFromChunk(this.#data);
    connection.endCopyFrom();
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#resolve();
  }

  handleError(error: Error): void {
    this.#reject(error);
  }
}

/** PostgreSQL's binary COPY format: each field behind its length. */
function encodeBinary(rows: readonly TelemetryRow[]): Buffer {
  let buffer = Buffer.allocUnsafe(SIGNATURE.length + rows.length * 128);
  let length = SIGNATURE.copy(buffer, 0);
  const text = (value: string) => {
    const size = buffer.write(value, length + 4, "utf8");
    buffer.writeInt32BE(size, length);
    length += 4 + size;
  };
  const eightBytes = (high: number, low: number) => {
    buffer.writeInt32BE(8, length);
    buffer.writeInt32BE(high, length + 4);
    buffer.writeUInt32BE(low, length + 8);
    length += 12;
  };
  const bigint = (value: number) => {
    const high = Math.floor(value / 2 ** 32);
    eightBytes(high, value - high * 2 ** 32);
  };
  for (const row of rows) {
    const wanted =
      length + 64 + 3 * (row.tenantId.length + row.deviceId.length + row.metric.length);
    if (wanted > buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
    length = buffer.writeInt16BE(6, length);
    text(row.tenantId);
    text(row.deviceId);
    text(row.metric);
    bigint((row.ts - EPOCH_2000_MS) * 1000);
    bigint(row.seq);
    buffer.writeInt32BE(8, length);
    length = buffer.writeDoubleBE(row.value, length + 4);
  }
  return Buffer.concat([buffer.subarray(0, length), TRAILER]);
}
