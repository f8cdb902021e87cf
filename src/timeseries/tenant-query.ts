import { confinementIn } from "../kernel/confinement.ts";
import { assert } from "../kernel/index.ts";
import { isTenantId } from "../protocol/index.ts";
import { type FleetKnown, fleetSource, MAX_CHANGED, unseenByFleet } from "./fleet-progress.ts";
import {
  fleetLevelOf,
  isReadable,
  pointsOfMetric,
  type Readable,
  type RollupLevel,
  sourceOf,
} from "./readable.ts";
import { tokenizeSql } from "./sql-tokens.ts";
import { ownClass } from "./storage-class.ts";
import type { MetricPlace } from "./wide-layouts.ts";

/**
 * A read of one tenant's rows in one table. The fragments of SQL are constants of our code; what comes
 * from outside goes into `params` and stands in the fragments as `{name:Type}`.
 */
export interface TenantQuery extends QueryStage {
  table: Readable;
  limit: number;
  /** Of numbers, those of this metric alone; `where` speaks neither of metrics nor of values then. */
  metric?: string;
  /** Whether rows that were delivered more than once count once. */
  final?: boolean;
  params?: Record<string, unknown>;
  /** What is done with the rows that came out, one stage after the other. */
  stages?: readonly QueryStage[];
  /** What the query may cost; beyond it `query-too-expensive`. */
  cost?: QueryCost;
}

export interface QueryCost {
  maxSeconds: number;
  maxRowsRead: number;
}

export interface QueryStage {
  /** Expressions with aliases, `count() as total`. */
  select: string;
  /** Conditions, all of which must hold. */
  where?: readonly string[];
  groupBy?: string;
  having?: string;
  orderBy?: string;
  /** `1 by ts, device_id`: the first rows of each group, before `limit`. */
  limitBy?: string;
}

/** Platform telemetry of no tenant: its own logs and spans. No tenant can have this name. */
export const PLATFORM_TENANT = "_platform";

/**
 * A condition for readers that follow a table by `received_at`: an insert becomes visible a little after
 * the moment that it carries, and what is younger than this might still be overtaken.
 */
export const SETTLED = "received_at <= now64(3) - interval 1 second";

const TENANT = "tenant_id = {tenant:String}";
const MAX_LIMIT = 1_000_000;
const MAX_STAGES = 4;
const MAX_LAYOUTS = 1_000;

/** What the store knows of its rows, for queries that ask for less by it. */
export interface KnownOfStore {
  /** Due where `latest` is read: what came after that moment is read from the points. */
  latestAfter?: number | undefined;
  /** Of the metric that the query names, in wide rows; without it every row's own layout is read. */
  places?: readonly MetricPlace[] | undefined;
  /** While the tenant's rows lie in two places, the class of the one that is read. */
  place?: "shared" | "separate" | null | undefined;
  /** Buckets that a fleet's own rows do not have as they are now, in seconds; without it no such row is read. */
  changed?: readonly number[] | undefined;
}

export interface CompiledQuery {
  sql: string;
  params: Record<string, unknown>;
}

/**
 * The statement and its parameters; the tenant is always the first condition, and the devices that
 * the call is confined to are the second, where it is.
 */
export function compileTenantQuery(
  tenantId: string,
  query: TenantQuery,
  known: KnownOfStore = {},
): CompiledQuery {
  assert(isTenantId(tenantId) || tenantId === PLATFORM_TENANT, "a query names its tenant");
  assert(isReadable(query.table), "a query reads one of our tables");
  assert(Number.isInteger(query.limit) && query.limit > 0, "a query has a limit");
  assert(query.limit <= MAX_LIMIT, "the limit is bounded");
  const { metric, final = false, where = [] } = query;
  const { latestAfter, place = null, places, changed } = known;
  const layouts = Object.fromEntries(
    (places ?? []).map((place, index) => [`layouts${index}`, place.layouts]),
  );
  const confinement = confinementIn(tenantId);
  const level = fleetLevelOf(query.table);
  assert(level === undefined || metric !== undefined, "a fleet's rollups are read by metric");
  const added = {
    tenant: tenantId,
    ...(metric === undefined ? {} : { metric }),
    ...(latestAfter === undefined ? {} : { latestAfter }),
    ...(confinement ? { confined: [...confinement.deviceIds] } : {}),
    ...(level && changed && !confinement ? { changed: changed.slice(0, MAX_CHANGED) } : {}),
    ...layouts,
    ...(place === null ? {} : { place: place === "shared" ? place : ownClass(tenantId) }),
  };
  for (const own of ["confined", "latestAfter", "place", ...Object.keys(added)]) {
    assert(!(own in (query.params ?? {})), `the parameter ${own} belongs to the builder`);
  }
  const own = confinement ? `${TENANT} and ${confinedTo(query.table)}` : TENANT;
  const ofMetric = metric === undefined ? [] : ["metric = {metric:String}"];
  const inPlace = place === null ? own : `${own} and storage_class = {place:String}`;
  const inner = () => [inPlace, ...where.map(ofAnyMetric)].join(" and ");
  const source = level
    ? fleetRows(
        level,
        final,
        [...ofMetric, inner()].join(" and "),
        confinement ? undefined : changed,
      )
    : places
      ? pointsOfMetric(places, final, inner())
      : sourceOf(query.table, final, inPlace);
  // What is put together of several tables has looked at the place in each of them.
  const first = source === query.table || source === `${query.table} final` ? inPlace : own;
  // Of a fleet's rows there is no device to name: what narrows them stands within.
  const outer = level ? [TENANT] : [first, ...ofMetric, ...where];
  let sql = stageSql({ ...query, where: outer }, source);
  const stages = query.stages ?? [];
  assert(stages.length <= MAX_STAGES, "the stages are bounded");
  for (const stage of stages) sql = stageSql(stage, `(\n${sql}\n)`);
  return {
    sql: `${sql}\nlimit ${query.limit}`,
    params: { ...query.params, ...added },
  };
}

/** Who may see some devices only is answered from the rows of these, and never from those of all. */
function fleetRows(
  level: RollupLevel,
  final: boolean,
  where: string,
  changed: readonly number[] | undefined,
): string {
  if (changed) return fleetSource(level, final, where, changed);
  return `(select * from ${sourceOf(`telemetry_${level}`, final, where)} where ${where})`;
}

/** Which buckets of a query the fleet's own rows do not have as they are now. */
export function compileChangedQuery(
  tenantId: string,
  query: TenantQuery,
  level: RollupLevel,
  fleet: FleetKnown,
  place: KnownOfStore["place"],
): CompiledQuery {
  const { metric = "", where = [], params } = query;
  const unseen = unseenByFleet(fleet);
  const changed: TenantQuery = {
    ...{ table: `telemetry_${level}`, metric, limit: MAX_CHANGED + 1 },
    select: "toUnixTimestamp(ts) as at",
    where: [...where, ...unseen.where],
    groupBy: "at",
    params: { ...params, ...unseen.params },
  };
  return compileTenantQuery(tenantId, changed, { place });
}

/** Which layouts the wide rows have that a query of one metric looks at, but for those of `known`. */
export function compileLayoutsQuery(
  tenantId: string,
  query: TenantQuery,
  known: readonly string[],
): CompiledQuery {
  const { where = [], params } = query;
  return compileTenantQuery(tenantId, {
    table: "telemetry_wide",
    select: "toString(layout) as layout",
    where: [...where.map(ofAnyMetric), "layout not in {knownLayouts:Array(String)}"],
    groupBy: "layout",
    params: { ...params, knownLayouts: known },
    limit: MAX_LAYOUTS,
  });
}

/** A condition on columns that rows of every metric have, wide ones too. */
function ofAnyMetric(condition: string): string {
  const tokens = tokenizeSql(condition) ?? [];
  const isColumn = (index: number) => tokens[index - 1]?.text !== "{";
  assert(
    !tokens.some(({ text }, index) => /^(metric|value)$/i.test(text) && isColumn(index)),
    "a query of one metric has no other conditions on metrics and values",
  );
  return `(${checked(condition)})`;
}

/** Spans name no device: they are nobody's who is confined to some. */
function confinedTo(table: Readable): string {
  return table === "spans" ? "1 = 0" : "device_id in {confined:Array(String)}";
}

function stageSql(stage: QueryStage, source: string): string {
  const conditions = stage.where ?? [];
  const parts = [
    `select ${checked(stage.select)}`,
    `from ${source}`,
    conditions.length > 0 &&
      `where ${conditions.map((condition) => `(${checked(condition)})`).join(" and ")}`,
    stage.groupBy && `group by ${checked(stage.groupBy)}`,
    stage.having && `having ${checked(stage.having)}`,
    stage.orderBy && `order by ${checked(stage.orderBy)}`,
    stage.limitBy && `limit ${checked(stage.limitBy)}`,
  ];
  return parts.filter(Boolean).join("\n");
}

/** Words by which a fragment could leave its place in the statement, or reach another table. */
const STRUCTURAL_WORDS =
  /^(select|from|join|union|except|intersect|settings|format|into|with|where|prewhere|limit|global|dictget\w*|joinget\w*)$/i;

const checkedFragments = new Set<string>();
const MAX_CHECKED_FRAGMENTS = 10_000;

function checked(fragment: string): string {
  if (checkedFragments.has(fragment)) return fragment;
  const tokens = tokenizeSql(fragment);
  assert(tokens, "a fragment of SQL closes its quotes");
  let depth = 0;
  for (const [index, { kind, text }] of tokens.entries()) {
    // A bound parameter may have any name: it is a value wherever it stands.
    const isParameter = tokens[index - 1]?.text === "{";
    const structural = kind === "word" && !isParameter && STRUCTURAL_WORDS.test(text);
    assert(!structural, `no ${text} in a fragment of SQL`);
    if (kind !== "symbol") continue;
    if (text === "(") depth += 1;
    if (text === ")") depth -= 1;
    assert(depth >= 0 && text !== ";" && text !== "$", "a fragment of SQL stays in its place");
  }
  assert(depth === 0, "a fragment of SQL closes its parentheses");
  if (checkedFragments.size < MAX_CHECKED_FRAGMENTS) checkedFragments.add(fragment);
  return fragment;
}
