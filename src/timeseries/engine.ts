import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { Session } from "chdb";
import { systemClock } from "../kernel/clock.ts";
import { isAppError } from "../kernel/errors.ts";
import { FairSlots } from "../kernel/fair-slots.ts";
import { createRecentUse } from "../kernel/recent-use.ts";
import { type BoundValue, quoteText, withValues } from "./bound-parameters.ts";
import { DERIVE_SETTINGS, READ_SETTINGS, WRITE_SETTINGS } from "./engine-settings.ts";
import { forbidFunctions } from "./statement.ts";

export interface EngineResult {
  bytes: Uint8Array;
  rowsRead: number;
  bytesRead: number;
  elapsedSeconds: number;
}

export interface EngineRequest {
  /** A plain name. */
  database: string;
  sql: string;
  values?: Record<string, BoundValue>;
  /** Of this read alone: names and numbers that the endpoint has checked. */
  limits?: Record<string, number>;
}

/** One INSERT whose rows lie in a file in a format that names no statement. */
export interface FileInsert {
  table: string;
  columns: string[] | undefined;
  format: string;
  file: string;
  database: string;
}

const READERS = 4;
/** Reads of one tenant at once: the other sessions are there for the others, at once. */
const READERS_PER_TENANT = 2;
/** Half the machine: the other half is there for who comes next. */
const FEW_THREADS = Math.max(1, Math.ceil(os.availableParallelism() / 2));
const READ_PATIENCE_MS = 60_000;
/** From so many seconds of reading of late on, and more than of all others, a tenant stands back. */
const MUCH_READING_SECONDS = 2;
/** The first question of somebody else is enough. */
const FEW_SECONDS = 0.001;
/** The less, the sooner: whoever stands back pauses between blocks, this long at most, while another reads. */
const IN_FRONT = { priority: 1 };
const STANDING_BACK = {
  priority: 10,
  low_priority_query_wait_time_ms: 100,
  max_threads: FEW_THREADS,
  os_threads_nice_value_query: 10,
};
const MAX_WAITING = 512;
/** A statement with its values: what an endpoint takes of them, every byte of it quoted twice. */
const MAX_QUERY_BYTES = 64 * 1024 ** 2;

/** The engine's queue is full. */
export class EngineBusy extends Error {}

/**
 * chDB behind three doors: one session that writes, one that computes tables from others, and several
 * that the engine itself keeps read-only. A session runs one query at a time, hence the queues.
 */
export class Engine {
  readonly #writer: Lane;
  /** Apart from the writer: what came from devices does not wait for what is computed from it. */
  readonly #deriver: Lane;
  readonly #readers: Lane[];
  readonly #turns = new FairSlots({
    ...{ running: READERS, runningPerTenant: READERS_PER_TENANT },
    ...{ waitingPerTenant: MAX_WAITING, waitMs: READ_PATIENCE_MS },
  });
  readonly #recent = createRecentUse(systemClock);
  readonly #structures = new Map<string, Column[]>();

  private constructor(writer: Lane, deriver: Lane, readers: Lane[]) {
    this.#writer = writer;
    this.#deriver = deriver;
    this.#readers = readers;
  }

  /** Opens the directory, which the engine locks for this process. */
  static async open(directory: string): Promise<Engine> {
    const chdb = await loadChdb();
    const data = path.join(directory, "store");
    fs.mkdirSync(data, { recursive: true, mode: 0o700 });
    const lane = async (settings: Record<string, string | number>) => {
      const session = new chdb.Session(data);
      const all = { max_query_size: MAX_QUERY_BYTES, ...settings };
      for (const [name, value] of Object.entries(all)) {
        await session.queryAsync(
          `SET ${name} = ${typeof value === "number" ? value : `'${value}'`}`,
        );
      }
      return new Lane(session);
    };
    const writer = await lane(WRITE_SETTINGS);
    const request = { database: "default", sql: "SELECT name FROM system.table_functions" };
    const { bytes } = await writer.run(request, "JSONCompact");
    const listed = JSON.parse(Buffer.from(bytes).toString()) as { data: [string][] };
    forbidFunctions(listed.data.map(([name]) => name));
    const readers: Lane[] = [];
    // `readonly` comes last: from then on the session writes nothing. 2, because a read may be held
    // to less than the session's limits; a statement that names settings itself is refused before.
    for (let index = 0; index < READERS; index += 1) {
      readers.push(await lane({ ...READ_SETTINGS, ...IN_FRONT, readonly: 2 }));
    }
    return new Engine(writer, await lane(DERIVE_SETTINGS), readers);
  }

  /** Tenants take turns: whoever asks for much waits behind itself. */
  async read(request: EngineRequest, format: string): Promise<EngineResult> {
    const tenantId = tenantOf(request);
    return this.#turns
      .run(tenantId, async () => {
        const idle = this.#readers.reduce((best, next) =>
          next.waiting < best.waiting ? next : best,
        );
        const started = performance.now();
        try {
          return await idle.run(this.#inItsPlace(tenantId, request), format);
        } finally {
          this.#recent.add(tenantId, (performance.now() - started) / 1_000);
        }
      })
      .catch((error: unknown) => {
        if (isAppError(error) && error.code === "rate-limited") throw new EngineBusy(error.message);
        throw error;
      });
  }

  #inItsPlace(tenantId: string, request: EngineRequest): EngineRequest {
    if (this.#recent.ofTheGreedy(tenantId) < MUCH_READING_SECONDS) return request;
    // Where nobody else reads there is nobody to stand back for; what the platform asks is its own.
    const platforms = tenantId === "" ? 0 : this.#recent.of("");
    if (this.#recent.ofOthers(tenantId) - platforms < FEW_SECONDS) return request;
    return { ...request, limits: { ...request.limits, ...STANDING_BACK } };
  }

  derive(request: EngineRequest): Promise<EngineResult> {
    return this.#deriver.run(request, "TabSeparated");
  }

  async define(request: EngineRequest): Promise<EngineResult> {
    const result = await this.#writer.run(request, "TabSeparated");
    this.#structures.clear();
    return result;
  }

  async insert(insert: FileInsert): Promise<EngineResult> {
    const { database, table } = insert;
    const known = await this.#structure(database, table);
    const columns = insert.columns ?? known.map((column) => column.name);
    const structure = columns.map((column) => {
      const type = known.find((candidate) => candidate.name === column)?.type;
      if (!type)
        throw new Error(
          `Code: 16. DB::Exception: No such column ${column} in table ${table}. (NO_SUCH_COLUMN_IN_TABLE)`,
        );
      return `\`${column}\` ${type}`;
    });
    const source = [insert.file, insert.format, structure.join(", ")].map(quoteText).join(", ");
    const list = columns.map((column) => `\`${column}\``).join(", ");
    const sql = `INSERT INTO ${table} (${list}) SELECT * FROM file(${source})`;
    return this.#writer.run({ database, sql }, "TabSeparated");
  }

  /** Waits for what runs and closes every session. */
  async close(): Promise<void> {
    await Promise.all([this.#writer, this.#deriver, ...this.#readers].map((lane) => lane.close()));
  }

  async #structure(database: string, table: string): Promise<Column[]> {
    const key = `${database}/${table}`;
    const cached = this.#structures.get(key);
    if (cached) return cached;
    const sql = `DESCRIBE TABLE ${table}`;
    const { bytes } = await this.#writer.run({ database, sql }, "JSON");
    const { data } = JSON.parse(Buffer.from(bytes).toString()) as { data: DescribedColumn[] };
    const columns = data.filter((column) => !/^(MATERIALIZED|ALIAS)$/.test(column.default_type));
    this.#structures.set(key, columns);
    return columns;
  }
}

interface Column {
  name: string;
  type: string;
}

interface DescribedColumn extends Column {
  default_type: string;
}

/** One session and the queue before it. */
class Lane {
  readonly #session: Session;
  #database = "default";
  #tail: Promise<unknown> = Promise.resolve();
  #mayHoldRemains = false;
  waiting = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  async run(request: EngineRequest, format: string): Promise<EngineResult> {
    if (this.waiting >= MAX_WAITING) throw new EngineBusy("too many queries are waiting");
    this.waiting += 1;
    const turn = this.#tail.then(() => this.#query(request, format));
    this.#tail = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.waiting -= 1;
    }
  }

  async close(): Promise<void> {
    await this.#tail;
    this.#session.close();
  }

  async #query(request: EngineRequest, format: string): Promise<EngineResult> {
    const { database, values, limits } = request;
    const sql = limits ? withLimits(request.sql, limits) : request.sql;
    if (this.#mayHoldRemains) await this.#clear();
    if (database !== this.#database) {
      await this.#session.queryAsync(`USE \`${database}\``);
      this.#database = database;
    }
    // Not `queryBindAsync`: bound queries of all sessions wait for each other.
    const statement = withValues(sql, values ?? {});
    const result = await this.#session.queryAsync(statement, { format }).catch((error: unknown) => {
      this.#mayHoldRemains = true;
      throw error;
    });
    const { rowsRead, bytesRead, elapsed: elapsedSeconds } = result;
    return { bytes: result.bytes(), rowsRead, bytesRead, elapsedSeconds };
  }

  /** Takes out what a failed query has left; until nothing is left the session answers nobody. */
  async #clear(): Promise<void> {
    for (let turn = 0; turn < MAX_CLEARINGS; turn += 1) {
      const result = await this.#session.queryAsync("SELECT 1", { format: "TabSeparated" });
      const bytes = Buffer.from(result.bytes());
      if (bytes.length !== 2 || bytes.toString() !== "1\n") continue;
      this.#mayHoldRemains = false;
      return;
    }
    throw new EngineBusy("a session holds the remains of a failed query");
  }
}

/**
 * What chDB 3.4.0 leaves of a query that failed after its first rows comes out in front of the next
 * answer of that session, whosever it is.
 */
const MAX_CLEARINGS = 3;

/** Whose read it is, as the one builder of tenants' queries binds it; the platform's own is nobody's. */
function tenantOf({ values }: EngineRequest): string {
  const tenant = values?.tenant;
  return typeof tenant === "string" ? tenant : "";
}

function withLimits(sql: string, limits: Record<string, number>): string {
  const settings = Object.entries(limits).map(([name, value]) => `${name} = ${value}`);
  // On a line of its own: the statement may end in a comment.
  return settings.length > 0 ? `${sql}\nSETTINGS ${settings.join(", ")}` : sql;
}

async function loadChdb(): Promise<typeof import("chdb")> {
  try {
    return await import("chdb");
  } catch (cause) {
    throw new Error(
      `there is no embedded ClickHouse for ${process.platform}-${process.arch}: ` +
        "set CLICKHOUSE_URL to a ClickHouse server",
      { cause },
    );
  }
}
