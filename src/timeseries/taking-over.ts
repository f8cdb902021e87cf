import { setTimeout as sleep } from "node:timers/promises";
import { type ClickHouseClient, ClickHouseError } from "@clickhouse/client";
import type { Logger } from "../kernel/logger.ts";
import { DERIVE_SETTINGS } from "./engine-settings.ts";
import { readRows } from "./read-rows.ts";
import { ROLLUP_LEVELS } from "./readable.ts";
import { NOTHING_YET, type Progress, readProgress, writeProgress } from "./rollup-progress.ts";

/** Rows that one statement copies: each ends well within the time of a request. */
const MAX_ROWS = 2_000_000;
/** Clocks of others are a little different. */
const OVERLAP_MS = 60_000;

const LOCK = "telemetry_taking_over";
const TABLE_ALREADY_EXISTS = "57";
/** What is done with the lock takes seconds; longer only one who was killed has it. */
const LOCKED_FOR_MS = 120_000;
const LOOK_AGAIN_MS = 100;

/** What a table says of itself that is still to be filled; once it has the other's name it is the other. */
const COMMENT = "takes over";

/**
 * Rollups whose key a migration changes: a table `…_next` takes the rows of the one without, and then its
 * name, both at one moment. Whoever is killed in between goes on from there at the next start; of two that do
 * it at once the second finds it done. What older programs wrote meanwhile is computed once more: all that
 * the rollups had not seen when the copy began.
 */
export async function takeOver(client: ClickHouseClient, logger: Logger): Promise<void> {
  if (!(await isUnderWay(client))) return;
  const before = { progress: await readProgress(client), at: Date.now() - OVERLAP_MS };
  let hasChanged = false;
  for (const level of ROLLUP_LEVELS) {
    const table = `telemetry_${level}`;
    await settle(client, table);
    try {
      if (await isToBeFilled(client, table)) {
        await copyRows(client, table, logger);
        hasChanged = true;
        await alone(client, async () => {
          // Not twice: it would be the old one again.
          if (!(await isToBeFilled(client, table))) return;
          // Whoever is killed after the next statement has done so.
          await lookBack(client, before);
          await client.command({ query: `EXCHANGE TABLES ${table} AND ${table}_next` });
        });
      }
    } catch (error) {
      // Somebody else may have removed it meanwhile.
      const isDone = (await isToBeFilled(client, table)) === undefined;
      if (!(isDone && error instanceof ClickHouseError)) throw error;
    }
    await settle(client, table);
  }
  // Passes that were under way until now have written to tables that are gone.
  if (hasChanged) await lookBack(client, before);
}

/** At nearly every start nothing is. */
async function isUnderWay(client: ClickHouseClient): Promise<boolean> {
  const rollups = ROLLUP_LEVELS.map((level) => `telemetry_${level}`);
  const [found] = await readRows<{ n: number }>(
    client,
    `SELECT count() AS n FROM system.tables WHERE database = currentDatabase()
      AND (name IN {next:Array(String)} OR name IN {rollups:Array(String)} AND comment = {comment:String})`,
    { rollups, next: rollups.map((table) => `${table}_next`), comment: COMMENT },
  );
  return found?.n !== 0;
}

/** Of all that take over at once one at a time, by a table that is made and removed. */
async function alone(client: ClickHouseClient, work: () => Promise<void>): Promise<void> {
  const drop = () => client.command({ query: `DROP TABLE IF EXISTS ${LOCK} SYNC` });
  for (;;) {
    const since = await commentOf(client, LOCK);
    if (since === undefined && (await create())) break;
    if (Number(since) < Date.now() - LOCKED_FOR_MS) await drop();
    else await sleep(LOOK_AGAIN_MS);
  }
  await work().finally(drop);

  /** False where somebody else was faster. */
  async function create(): Promise<boolean> {
    try {
      const made = `COMMENT '${Date.now()}'`;
      await client.command({
        query: `CREATE TABLE ${LOCK} (at UInt8) ENGINE = MergeTree ORDER BY at ${made}`,
      });
      return true;
    } catch (error) {
      if (error instanceof ClickHouseError && error.code === TABLE_ALREADY_EXISTS) return false;
      throw error;
    }
  }
}

/** Once the names have changed places: the new table says no longer what it was, the old one goes. */
async function settle(client: ClickHouseClient, table: string): Promise<void> {
  if ((await commentOf(client, table)) === COMMENT) {
    await client.command({ query: `ALTER TABLE ${table} MODIFY COMMENT ''` });
  }
  if ((await isToBeFilled(client, table)) === false) {
    await client.command({ query: `DROP TABLE IF EXISTS ${table}_next SYNC` });
  }
}

/** Undefined where no other table is there; false where that is the old one. */
async function isToBeFilled(client: ClickHouseClient, table: string): Promise<boolean | undefined> {
  const comment = await commentOf(client, `${table}_next`);
  return comment === undefined ? undefined : comment === COMMENT;
}

async function commentOf(client: ClickHouseClient, table: string): Promise<string | undefined> {
  const [found] = await readRows<{ comment: string }>(
    client,
    "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
    { table },
  );
  return found?.comment;
}

/** By ranges of devices, by which the old table is ordered. */
async function copyRows(client: ClickHouseClient, table: string, logger: Logger): Promise<void> {
  const pieces = await readRows<{ tenant: string; first: string; last: string }>(
    client,
    `SELECT toString(tenant_id) AS tenant, min(device_id) AS first, max(device_id) AS last FROM
       (SELECT tenant_id, device_id, intDiv(sum(n) OVER
          (PARTITION BY tenant_id ORDER BY device_id), {most:UInt64}) AS piece
        FROM (SELECT tenant_id, device_id, count() AS n FROM ${table}
              GROUP BY tenant_id, device_id))
     GROUP BY tenant, piece ORDER BY tenant, first`,
    { most: MAX_ROWS },
  );
  const columns = (await columnsOf(client, table)).join(", ");
  for (const [index, piece] of pieces.entries()) {
    await client.command({
      query: `INSERT INTO ${table}_next (${columns}) SELECT ${columns} FROM ${table} FINAL
        WHERE tenant_id = {tenant:String}
          AND device_id >= {first:String} AND device_id <= {last:String}`,
      query_params: { ...piece },
      clickhouse_settings: DERIVE_SETTINGS,
    });
    const progress = { table, done: index + 1, of: pieces.length };
    logger.info(progress, "rows of a table take their new order");
  }
}

async function columnsOf(client: ClickHouseClient, table: string): Promise<string[]> {
  const rows = await readRows<{ name: string }>(
    client,
    `SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}
      AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position`,
    { table },
  );
  return rows.map(({ name }) => name);
}

async function lookBack(
  client: ClickHouseClient,
  before: { progress: Progress; at: number },
): Promise<void> {
  for (const [level, progress] of await readProgress(client)) {
    if (!ROLLUP_LEVELS.some((one) => one === level)) continue;
    const { receivedUntil, sourcePass } = before.progress.get(level) ?? NOTHING_YET;
    await writeProgress(client, level, {
      // A pass that is under way notes its own later, by the moment at which it began.
      pass: Math.max(Date.now(), progress.pass + 1),
      receivedUntil: Math.min(progress.receivedUntil, receivedUntil, before.at),
      sourcePass: Math.min(progress.sourcePass, sourcePass, before.at),
    });
  }
}
