import { type ClickHouseClient, ClickHouseError } from "@clickhouse/client";
import { confinementIn } from "../kernel/confinement.ts";
import { AppError } from "../kernel/index.ts";
import { READ_SETTINGS } from "./engine-settings.ts";
import { fleetKnown } from "./fleet-progress.ts";
import { fleetLevelOf } from "./readable.ts";
import type { KnownProgress } from "./rollup-progress.ts";
import {
  type CompiledQuery,
  compileChangedQuery,
  compileLayoutsQuery,
  compileTenantQuery,
  type KnownOfStore,
  PLATFORM_TENANT,
  type QueryCost,
  type TenantQuery,
} from "./tenant-query.ts";
import { placesOf, type WideLayouts } from "./wide-layouts.ts";

export interface QueryRunner {
  client: ClickHouseClient;
  progress: KnownProgress;
  layouts: WideLayouts;
  placeOf: PlaceOf;
}

/** While a tenant's rows lie in two places, the class of the one that is whole; else null. */
export type PlaceOf = (tenantId: string) => Promise<"shared" | "separate" | null>;

/** Rows of one tenant. */
export async function runQuery<Row>(
  runner: QueryRunner,
  tenantId: string,
  query: TenantQuery,
): Promise<Row[]> {
  const { client, progress, placeOf } = runner;
  const place = tenantId === PLATFORM_TENANT ? null : await placeOf(tenantId);
  if (query.table === "points" && query.metric !== undefined) {
    return runMetricQuery(runner, tenantId, query, { metric: query.metric, place });
  }
  const latestAfter =
    query.table === "latest"
      ? ((await progress.read()).get("latest")?.receivedUntil ?? 0)
      : undefined;
  const changed = await changedBuckets(runner, tenantId, query, place);
  const known = { latestAfter, changed, place };
  return run(client, compileTenantQuery(tenantId, query, known), query.cost);
}

/** Of a fleet's rollups, for whoever may see the fleet as a whole. */
async function changedBuckets(
  { client, progress }: QueryRunner,
  tenantId: string,
  query: TenantQuery,
  place: KnownOfStore["place"],
): Promise<number[] | undefined> {
  const level = fleetLevelOf(query.table);
  if (!level || confinementIn(tenantId)) return undefined;
  const known = fleetKnown(await progress.read(), level);
  const compiled = compileChangedQuery(tenantId, query, level, known, place);
  const rows = await run<{ at: number }>(client, compiled, query.cost);
  return rows.map(({ at }) => at);
}

/** With the layouts that are known, and once more where beside it one shows that is not. */
async function runMetricQuery<Row>(
  { client, layouts }: QueryRunner,
  tenantId: string,
  query: TenantQuery,
  { metric, place }: { metric: string; place: KnownOfStore["place"] },
): Promise<Row[]> {
  const ask = () => {
    const places = placesOf(layouts.of(tenantId), metric);
    return run<Row>(client, compileTenantQuery(tenantId, query, { places, place }), query.cost);
  };
  const known = layouts.of(tenantId);
  const looked = run<{ layout: string }>(
    client,
    compileLayoutsQuery(tenantId, query, known),
    query.cost,
  );
  const [rows, found] = await Promise.all([known.length > 0 ? ask() : undefined, looked]);
  if (found.length === 0) return rows ?? ask();
  layouts.add(
    tenantId,
    found.map(({ layout }) => layout),
  );
  return ask();
}

async function run<Row>(
  client: ClickHouseClient,
  { sql, params }: CompiledQuery,
  cost: QueryCost | undefined,
): Promise<Row[]> {
  const result = await client
    .query({
      query: sql,
      query_params: params,
      // Thousands of device ids do not fit into an address.
      use_multipart_params_auto: true,
      format: "JSONEachRow",
      clickhouse_settings: { ...READ_SETTINGS, ...(cost ? costSettings(cost) : {}) },
    })
    .catch((error: unknown) => {
      throw cost ? asTooExpensive(error, cost) : error;
    });
  return result.json<Row>();
}

function costSettings({ maxSeconds, maxRowsRead }: QueryCost): Record<string, string | number> {
  return { max_execution_time: maxSeconds, max_rows_to_read: String(maxRowsRead) };
}

/** ClickHouse's codes for a query that would read, last or hold more than it may. */
const COST_CODES = new Set(["158", "159", "160", "241", "307", "396"]);

function asTooExpensive(error: unknown, { maxSeconds, maxRowsRead }: QueryCost): unknown {
  if (!(error instanceof ClickHouseError) || !COST_CODES.has(error.code)) return error;
  const details = { maxSeconds, maxRowsRead };
  const hint = "ask for less time, fewer devices or a coarser step";
  return new AppError("query-too-expensive", hint, details, { cause: error });
}
