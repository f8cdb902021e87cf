import type { ClickHouseClient } from "@clickhouse/client";
import { assert } from "../kernel/index.ts";
import { isTenantId } from "../protocol/index.ts";
import { DERIVE_SETTINGS } from "./engine-settings.ts";
import { readRows } from "./read-rows.ts";
import { TENANT_TABLES } from "./readable.ts";
import { readProgress } from "./rollup-progress.ts";
import { dropOwnPartitions, ownClass } from "./storage-class.ts";

export interface MoveProgress {
  done: number;
  of: number;
}

/** What has a moment by another name than `ts`, or none. */
const MOMENTS: Record<string, string | null> = { spans: "started_at", telemetry_latest: null };
/** All that is older than the product lies in one partition, and is copied at once. */
const OLD = "toDateTime('2025-12-31 00:00:00', 'UTC')";

/**
 * Copies a tenant's rows to where its storage class has them, table by table and day by day, and counts them
 * on both sides. Whoever is stopped in between begins anew: a row that is copied twice is one to every
 * reader. False while the rollups have not seen all points. From the change of the class on they are told that a
 * tenant's rows lie in two places (`rollUp`); readers look at one of them (`ReadPlace`). Once they look at the
 * new one, `leaveOldPlace` removes the rows where they were.
 */
export async function copyTenant(
  client: ClickHouseClient,
  tenantId: string,
  to: "shared" | "separate",
  progressed: (progress: MoveProgress) => Promise<void>,
): Promise<boolean> {
  assert(isTenantId(tenantId), "rows are a tenant's");
  const move = new Move(client, tenantId, to);
  if (await move.isUnrolled()) return false;
  for (const [index, table] of TENANT_TABLES.entries()) {
    await progressed({ done: index, of: TENANT_TABLES.length });
    await move.copy(table);
    await move.compare(table);
  }
  return true;
}

/** Removes the rows where they were, table by table counted once more before. Idempotent. */
export async function leaveOldPlace(
  client: ClickHouseClient,
  tenantId: string,
  to: "shared" | "separate",
): Promise<void> {
  assert(isTenantId(tenantId), "rows are a tenant's");
  const move = new Move(client, tenantId, to);
  for (const table of TENANT_TABLES) await move.compare(table);
  await move.removeOld();
}

class Move {
  readonly #client: ClickHouseClient;
  readonly #to: "shared" | "separate";
  readonly #params: { tenant: string; to: string };

  constructor(client: ClickHouseClient, tenantId: string, to: "shared" | "separate") {
    this.#client = client;
    this.#to = to;
    this.#params = { tenant: tenantId, to: to === "shared" ? "shared" : ownClass(tenantId) };
  }

  async isUnrolled(): Promise<boolean> {
    const after = (await readProgress(this.#client)).get("1m")?.receivedUntil ?? 0;
    for (const table of ["telemetry", "telemetry_wide"]) {
      const rows = await this.#read(
        `SELECT 1 AS n FROM ${table} WHERE tenant_id = {tenant:String}
          AND received_at > fromUnixTimestamp64Milli({after:Int64}) LIMIT 1`,
        { after },
      );
      if (rows.length > 0) return true;
    }
    return false;
  }

  async copy(table: string): Promise<void> {
    const columns = (await this.#columnsOf(table)).join(", ");
    const moment = MOMENTS[table] === undefined ? "ts" : MOMENTS[table];
    const days = moment === null ? [null] : await this.#daysOf(table, moment);
    for (const day of days) {
      const ofDay = day === null ? "1" : `${dayOf(moment as string)} = {day:Date}`;
      await this.#client.command({
        // As readers see them: of rows that replace each other the last, whatever order they are read in.
        query: `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${table} FINAL
          WHERE ${LEFT_BEHIND} AND ${ofDay}`,
        query_params: { ...this.#params, ...(day === null ? {} : { day }) },
        clickhouse_settings: DERIVE_SETTINGS,
      });
    }
  }

  /** Throws where fewer rows have arrived than there were. */
  async compare(table: string): Promise<void> {
    const [counts] = await this.#read(
      `SELECT countIf(storage_class != {to:String}) AS n, countIf(storage_class = {to:String}) AS m
        FROM (SELECT storage_class FROM ${table} FINAL WHERE tenant_id = {tenant:String})`,
    );
    const { n: there = 0, m: arrived = 0 } = counts ?? {};
    if (arrived < there) throw new Error(`of ${there} rows of ${table} ${arrived} have arrived`);
  }

  async removeOld(): Promise<void> {
    if (this.#to === "shared") return dropOwnPartitions(this.#client, this.#params.tenant);
    for (const table of TENANT_TABLES) {
      const rows = await this.#read(`SELECT 1 AS n FROM ${table} WHERE ${LEFT_BEHIND} LIMIT 1`);
      if (rows.length === 0) continue;
      await this.#client.command({
        query: `DELETE FROM ${table} WHERE ${LEFT_BEHIND}`,
        query_params: this.#params,
      });
    }
  }

  async #columnsOf(table: string): Promise<string[]> {
    const rows = await this.#read<{ name: string }>(
      `SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}
        AND name != 'storage_class' AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL')`,
      { table },
    );
    return rows.map(({ name }) => name);
  }

  async #daysOf(table: string, moment: string): Promise<string[]> {
    const rows = await this.#read<{ day: string }>(
      `SELECT DISTINCT ${dayOf(moment)} AS day FROM ${table} WHERE ${LEFT_BEHIND} ORDER BY day`,
    );
    return rows.map(({ day }) => day);
  }

  #read<Row = { n: number; m?: number }>(
    query: string,
    params: Record<string, unknown> = {},
  ): Promise<Row[]> {
    return readRows<Row>(this.#client, query, { ...this.#params, ...params });
  }
}

const LEFT_BEHIND = "tenant_id = {tenant:String} AND storage_class != {to:String}";

function dayOf(moment: string): string {
  return `toDate(greatest(${moment}, ${OLD}), 'UTC')`;
}
