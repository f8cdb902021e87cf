import { confinementIn } from "../kernel/confinement.ts";
import { assert } from "../kernel/index.ts";
import { isTenantId } from "../protocol/index.ts";
import { isReadable, type Readable, sourceOf } from "./readable.ts";
import { tokenizeSql } from "./sql-tokens.ts";

/**
 * A read of one tenant's rows in one table. The fragments of SQL are constants of our code; what comes
 * from outside goes into `params` and stands in the fragments as `{name:Type}`.
 */
export interface TenantQuery extends QueryStage {
  table: Readable;
  limit: number;
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

/**
 * The statement and its parameters; the tenant is always the first condition, and the devices that
 * the call is confined to are the second, where it is. `latestAfter` is due where `latest` is read: what
 * came after that moment is read from the points.
 */
export function compileTenantQuery(
  tenantId: string,
  query: TenantQuery,
  latestAfter?: number,
): { sql: string; params: Record<string, unknown> } {
  assert(isTenantId(tenantId) || tenantId === PLATFORM_TENANT, "a query names its tenant");
  assert(isReadable(query.table), "a query reads one of our tables");
  assert(Number.isInteger(query.limit) && query.limit > 0, "a query has a limit");
  assert(query.limit <= MAX_LIMIT, "the limit is bounded");
  for (const own of ["tenant", "confined", "latestAfter"]) {
    assert(!(own in (query.params ?? {})), `the parameter ${own} belongs to the builder`);
  }
  const confinement = confinementIn(tenantId);
  const own = confinement ? `${TENANT} and ${confinedTo(query.table)}` : TENANT;
  let sql = stageSql(
    { ...query, where: [own, ...(query.where ?? [])] },
    sourceOf(query.table, query.final ?? false, own),
  );
  const stages = query.stages ?? [];
  assert(stages.length <= MAX_STAGES, "the stages are bounded");
  for (const stage of stages) sql = stageSql(stage, `(\n${sql}\n)`);
  return {
    sql: `${sql}\nlimit ${query.limit}`,
    params: {
      ...query.params,
      tenant: tenantId,
      ...(latestAfter === undefined ? {} : { latestAfter }),
      ...(confinement ? { confined: [...confinement.deviceIds] } : {}),
    },
  };
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
