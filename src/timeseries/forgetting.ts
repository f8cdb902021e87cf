import type { ClickHouseClient } from "@clickhouse/client";
import type { RetentionPolicy } from "../protocol/index.ts";
import { type Horizons, horizonsOf, LEVEL_TABLES } from "./kept.ts";
import { readRows } from "./read-rows.ts";
import { WIDE_SLOTS } from "./readable.ts";
import { readProgress } from "./rollup-progress.ts";

/** What a tenant keeps, and the moment by which that is reckoned. */
export interface Forgetting {
  policy: RetentionPolicy;
  logDays: number;
  now: number;
}

const DAY_MS = 86_400_000;
/** Points are removed only once the rollups have seen all that came until this long ago. */
const UNROLLED_MS = 3_600_000;

/**
 * Removes a tenant's rows that are out of date; the result names the tables. Telemetry goes by whole
 * days (UTC): of a bucket that a late point may still come into, all points are there, or none.
 */
export async function forget(
  client: ClickHouseClient,
  tenantId: string,
  { policy, logDays, now }: Forgetting,
): Promise<string[]> {
  const today = Math.floor(now / DAY_MS) * DAY_MS;
  const points = horizonsOf(policy, "points", today);
  const logs = { logsBefore: now - logDays * DAY_MS };
  const forgotten: string[] = [];
  const remove = async (table: string, where: string, params: Record<string, unknown>) => {
    if (await removeFrom(client, tenantId, table, where, params)) forgotten.push(table);
  };
  await remove("logs", "ts < fromUnixTimestamp64Milli({logsBefore:Int64})", logs);
  await remove("spans", "started_at < fromUnixTimestamp64Milli({logsBefore:Int64})", logs);
  for (const table of ["heartbeats", "device_events"]) {
    const { keptAll } = points.params;
    await remove(table, "ts < fromUnixTimestamp64Milli({keptAll:Int64})", { keptAll });
  }
  for (const [level, tables] of Object.entries(LEVEL_TABLES)) {
    const horizons = horizonsOf(policy, level as keyof typeof LEVEL_TABLES, today);
    for (const table of tables) await remove(table, beyond(horizons), paramsOf(horizons));
  }
  await remove("telemetry_texts", beyond(points), paramsOf(points));
  await remove("telemetry_latest", beyond(points), paramsOf(points));
  if (await rollupsLag(client, now - UNROLLED_MS)) return forgotten;
  await remove("telemetry", beyond(points), paramsOf(points));
  await remove(
    "telemetry_wide",
    `ts < fromUnixTimestamp64Milli({latest:Int64}) and
    ts < fromUnixTimestamp64Milli(arrayMin(${horizonsByName(points)}))`,
    paramsOf(points),
  );
  if (await emptySlots(client, tenantId, points)) forgotten.push("telemetry_wide");
  return [...new Set(forgotten)];
}

/** Whether rollups have not seen points that came before `moment`: those stay until they have. */
async function rollupsLag(client: ClickHouseClient, moment: number): Promise<boolean> {
  const after = (await readProgress(client)).get("1m")?.receivedUntil ?? 0;
  for (const table of ["telemetry", "telemetry_wide"]) {
    const found = await readRows(
      client,
      `SELECT 1 FROM ${table} WHERE received_at > fromUnixTimestamp64Milli({after:Int64})
        AND received_at < fromUnixTimestamp64Milli({moment:Int64}) LIMIT 1`,
      { after, moment },
    );
    if (found.length > 0) return true;
  }
  return false;
}

function beyond(horizons: Horizons): string {
  return `ts < fromUnixTimestamp64Milli({latest:Int64}) and
    ts < fromUnixTimestamp64Milli(${horizons.of("metric")})`;
}

function paramsOf({ params, latest }: Horizons): Record<string, unknown> {
  return { ...params, latest };
}

/** A mutation rewrites marks of every part that it meets: only where there is something to remove. */
async function removeFrom(
  client: ClickHouseClient,
  tenantId: string,
  table: string,
  condition: string,
  params: Record<string, unknown>,
): Promise<boolean> {
  const where = `tenant_id = {tenant:String} and ${condition}`;
  const query_params = { ...params, tenant: tenantId };
  const found = await readRows(
    client,
    `SELECT 1 FROM ${table} WHERE ${where} LIMIT 1`,
    query_params,
  );
  if (found.length === 0) return false;
  await client.command({ query: `DELETE FROM ${table} WHERE ${where}`, query_params });
  return true;
}

/** The horizons of the metrics that a wide row has, in the order of its slots. */
function horizonsByName(horizons: Horizons): string {
  return `arrayMap(name -> ${horizons.of("substring(name, 1, position(name, '=') - 1)")},
    splitByChar(',', toString(layout)))`;
}

/** Metrics of wide rows of which others are kept longer: their slots become empty. */
async function emptySlots(
  client: ClickHouseClient,
  tenantId: string,
  horizons: Horizons,
): Promise<boolean> {
  if (horizons.earliest === horizons.latest) return false;
  const query_params = { ...paramsOf(horizons), tenant: tenantId };
  const old = "tenant_id = {tenant:String} and ts < fromUnixTimestamp64Milli({latest:Int64})";
  const slots = Array.from({ length: WIDE_SLOTS }, (_, index) => index + 1);
  // What is beyond the last slot of a layout has the horizon 0, before which there is nothing.
  const isOver = (slot: number) =>
    `i${slot} is not null and ts < fromUnixTimestamp64Milli(${horizonsByName(horizons)}[${slot}])`;
  const [counts = {}] = await readRows<Record<string, number>>(
    client,
    `SELECT ${slots
      .map((slot) => `countIf(i${slot} is not null and at < horizons[${slot}]) as s${slot}`)
      .join(", ")}
      FROM (SELECT *, ${horizonsByName(horizons)} as horizons, toUnixTimestamp64Milli(ts) as at
        FROM telemetry_wide WHERE ${old})`,
    query_params,
  );
  const over = slots.filter((slot) => (counts[`s${slot}`] ?? 0) > 0);
  if (over.length === 0) return false;
  const changes = over.map((slot) => `i${slot} = if(${isOver(slot)}, NULL, i${slot})`);
  const conditions = over.map((slot) => `(${isOver(slot)})`).join(" or ");
  await client.command({
    query: `ALTER TABLE telemetry_wide UPDATE ${changes.join(", ")} WHERE ${old} and (${conditions})`,
    query_params,
  });
  return true;
}
