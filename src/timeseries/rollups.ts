import type { ClickHouseClient } from "@clickhouse/client";
import { DERIVE_SETTINGS } from "./engine-settings.ts";
import { placeOf, takeLatest } from "./latest.ts";
import { readRows } from "./read-rows.ts";
import { MAX_KNOWN_LAYOUTS, pointsOfLayouts, ROLLUP_LEVELS, type RollupLevel } from "./readable.ts";
import {
  NOTHING_YET,
  type Progress,
  type RollupProgress,
  readProgress,
  spansOf,
  WIDTH_MS,
  writeProgress,
} from "./rollup-progress.ts";

/** What one pass has done. */
export interface RollupResult {
  /** Points that had come in since the last pass. */
  points: number;
  /** Statements that computed buckets; each is one span of time of one level. */
  spans: number;
  /** False where more waits than one pass takes. */
  complete: boolean;
}

/** Points of one pass: what an engine that was away for days takes in one go. */
const MAX_POINTS = 2_000_000;
/** The window in which they are looked for is widened so, until it holds as many. */
const FIRST_WINDOW_MS = 60_000;
const WIDENED_BY = 8;
/** An insert becomes visible a little after the moment that it carries. */
const SETTLED_MS = 1_000;

const BUCKETS: Record<RollupLevel, string> = {
  "1m": "toStartOfMinute",
  "1h": "toStartOfHour",
  "1d": "toStartOfDay",
};

/** The engine gives the storage class. */
const COLUMNS = `tenant_id, device_id, metric, ts, count, min, max, sum, first, last,
  first_ts, last_ts, sketch, pass`;
const MINUTE_COLUMNS = `${COLUMNS}, last_seq`;

/**
 * A value as the sketch takes it, which refuses a bucket whose numbers are too many powers apart: one
 * device that sent 1e300 would hold up everybody's rollups.
 */
const SKETCHED = "if(abs(value) < 1e-9, 0, sign(value) * least(abs(value), 1e15))";

/** The order of points, as one number: of two tuples the engine finds the greater in ten times as long. */
const PLACE = placeOf("ts", "seq");

const FROM_POINTS = `count(), min(value), max(value), sum(value), argMin(value, ${PLACE}),
  argMax(value, ${PLACE}), min(ts), max(ts), quantilesDDState(0.005, 0.5)(${SKETCHED})`;

const FROM_BUCKETS = `sum(count), min(min), max(max), sum(sum), argMin(first, first_ts),
  argMax(last, last_ts), min(first_ts), max(last_ts), quantilesDDMergeState(0.005, 0.5)(sketch)`;

/** Of the rows of one moment the one that counts, wherever they lie. */
const ONE_OF_EACH = (version: string) => {
  const moment = "tenant_id, device_id, metric, ts";
  return `ORDER BY ${moment}, ${version} DESC LIMIT 1 BY ${moment}`;
};

/**
 * Computes anew every bucket that a point has come into since the last time, from what the tables hold
 * now, for all tenants. What has been done is noted last: a pass that was killed is made again, and
 * changes nothing by that. Two that run at once do the same work twice and no harm, for the greater pass
 * counts and its watermark is not the later one's.
 *
 * `isMoving`: the rows of some tenant may lie in partitions of two storage classes, where FINAL, which
 * looks at one partition at a time, leaves what has been replaced, and what has been copied, beside it.
 */
export async function rollUp(
  client: ClickHouseClient,
  levels: readonly RollupLevel[],
  { isMoving = false }: { isMoving?: boolean } = {},
): Promise<RollupResult> {
  const total: RollupResult = { points: 0, spans: 0, complete: true };
  const progress = await readProgress(client);
  for (const level of ROLLUP_LEVELS) {
    if (!levels.includes(level)) continue;
    const known = progress.get(level) ?? NOTHING_YET;
    const pass = Math.max(Date.now(), known.pass + 1);
    const done = await (level === "1m"
      ? rollUpPoints(client, known, { pass, isMoving })
      : rollUpLevel(client, level, known, { pass, isMoving, progress }));
    if (done) {
      progress.set(level, { pass, ...done.next });
      await writeProgress(client, level, { pass, ...done.next });
      total.points += done.points;
      total.spans += done.spans;
      total.complete &&= done.complete;
    }
    if (level === "1m") total.spans += await followLatest(client, progress);
  }
  return total;
}

async function followLatest(client: ClickHouseClient, progress: Progress): Promise<number> {
  const minutes = progress.get("1m") ?? NOTHING_YET;
  const known = progress.get("latest") ?? NOTHING_YET;
  if (minutes.pass <= known.sourcePass) return 0;
  const spans = await takeLatest(client, { after: known.sourcePass, until: minutes.pass });
  const next = { ...minutes, pass: Math.max(Date.now(), known.pass + 1), sourcePass: minutes.pass };
  await writeProgress(client, "latest", next);
  return spans;
}

type Done = RollupResult & { next: Omit<RollupProgress, "pass"> };

async function rollUpPoints(
  client: ClickHouseClient,
  { receivedUntil }: RollupProgress,
  { pass, isMoving }: { pass: number; isMoving: boolean },
): Promise<Done | undefined> {
  const settled = await settledUntil(client);
  if (settled <= receivedUntil) return undefined;
  const { until, points } = await boundedWindow(client, receivedUntil, settled);
  if (points === 0) return undefined;
  const window = { after: receivedUntil, until };
  const received = `received_at > fromUnixTimestamp64Milli({after:Int64})
    and received_at <= fromUnixTimestamp64Milli({until:Int64})`;
  const spans = await spansOf(client, RECEIVED, window, WIDTH_MS["1m"]);
  for (const span of spans) {
    const within = `ts >= fromUnixTimestamp64Milli({from:Int64})
      and ts < fromUnixTimestamp64Milli({to:Int64})`;
    const changed = (columns: string) =>
      ["telemetry", "telemetry_wide"]
        .map((table) => `select distinct ${columns} from ${table} where ${received} and ${within}`)
        .join(" union distinct ");
    const minute = "tenant_id, device_id, toStartOfMinute(ts)";
    // Of the devices the engine knows where they lie: the rows of all others are not even looked at.
    const isDirty = `(tenant_id, device_id) in (${changed("tenant_id, device_id")})
      and (${minute}) in (${changed(minute)})`;
    const layouts = await readRows<{ layout: string }>(
      client,
      `select distinct toString(layout) as layout from telemetry_wide
       where ${within} and (tenant_id, device_id) in (${changed("tenant_id, device_id")})
       limit ${MAX_KNOWN_LAYOUTS + 1}`,
      { ...window, ...span },
    );
    const points = pointsOfLayouts(
      layouts.map(({ layout }) => layout),
      `${within} and ${isDirty}`,
    );
    await client.command({
      query: `INSERT INTO telemetry_1m (${MINUTE_COLUMNS})
        SELECT tenant_id, device_id, metric, toStartOfMinute(ts), ${FROM_POINTS}, {pass:UInt64},
          toUInt64(max(${PLACE}))
        FROM ${isMoving ? `(SELECT * FROM ${points.source} ${ONE_OF_EACH("seq")})` : points.source}
        GROUP BY tenant_id, device_id, metric, toStartOfMinute(ts)`,
      query_params: { ...window, ...span, ...points.params, pass },
      clickhouse_settings: DERIVE_SETTINGS,
    });
  }
  const complete = until >= settled;
  return {
    ...{ points, spans: spans.length, complete },
    next: { receivedUntil: until, sourcePass: 0 },
  };
}

async function rollUpLevel(
  client: ClickHouseClient,
  level: RollupLevel,
  { sourcePass }: RollupProgress,
  { pass, isMoving, progress }: { pass: number; isMoving: boolean; progress: Progress },
): Promise<Done | undefined> {
  const below = ROLLUP_LEVELS[ROLLUP_LEVELS.indexOf(level) - 1] as RollupLevel;
  const until = progress.get(below)?.pass ?? 0;
  if (until <= sourcePass) return undefined;
  const table = `telemetry_${below}`;
  const window = { after: sourcePass, until };
  const changed = "pass > {after:UInt64} and pass <= {until:UInt64}";
  const source = `(select ts from ${table} where ${changed})`;
  const spans = await spansOf(client, source, window, WIDTH_MS[level]);
  const bucket = `${BUCKETS[level]}(ts)`;
  for (const span of spans) {
    // ts is in whole seconds here; a span is one of whole buckets.
    const within = "ts >= toDateTime({from:Int64} / 1000) and ts < toDateTime({to:Int64} / 1000)";
    const changedRows = `from ${table} where ${changed} and ${within}`;
    const rows = `${table} FINAL
        WHERE ${within}
          and (tenant_id, device_id) in (select distinct tenant_id, device_id ${changedRows})
          and (tenant_id, device_id, metric, ${bucket}) in
            (select distinct tenant_id, device_id, metric, ${bucket} ${changedRows})`;
    await client.command({
      query: `INSERT INTO telemetry_${level} (${COLUMNS})
        SELECT tenant_id, device_id, metric, ${bucket}, ${FROM_BUCKETS}, {pass:UInt64}
        FROM ${isMoving ? `(SELECT * FROM ${rows} ${ONE_OF_EACH("pass")})` : rows}
        GROUP BY tenant_id, device_id, metric, ${bucket}`,
      query_params: { ...window, ...span, pass },
      clickhouse_settings: DERIVE_SETTINGS,
    });
  }
  return {
    ...{ points: 0, spans: spans.length, complete: true },
    next: { receivedUntil: 0, sourcePass: until },
  };
}

/** The moment up to which every row is visible that carries it: no insert that runs began before it. */
async function settledUntil(client: ClickHouseClient): Promise<number> {
  const [row] = await readRows<{ now: number; oldest: number | null }>(
    client,
    `select toUnixTimestamp64Milli(now64(3)) as now,
       (select maxOrNull(elapsed) from system.processes where query_kind = 'Insert') as oldest`,
    {},
  );
  if (!row) return 0;
  return Math.floor(row.now - Math.max(SETTLED_MS, (row.oldest ?? 0) * 1_000 + 1));
}

/** The longest piece of the window that one pass takes. */
async function boundedWindow(
  client: ClickHouseClient,
  after: number,
  settled: number,
): Promise<{ until: number; points: number }> {
  let from = after;
  if (after === 0) {
    const [oldest] = await readRows<{ at: number | null }>(
      client,
      `select toUnixTimestamp64Milli(minOrNull(received_at)) as at from ${RECEIVED}`,
      { after, until: settled },
    );
    if (!oldest?.at) return { until: settled, points: 0 };
    from = oldest.at - 1;
  }
  // What lies beyond is not even counted.
  for (let width = FIRST_WINDOW_MS; ; width *= WIDENED_BY) {
    const until = Math.min(settled, from + width);
    const [count] = await readRows<{ points: number }>(
      client,
      `select count() as points from ${RECEIVED}`,
      { after, until },
    );
    const points = count?.points ?? 0;
    if (points > MAX_POINTS) return firstPoints(client, after, until);
    if (until >= settled) return { until, points };
  }
}

/** The first points of a window, as many as one pass takes, or all of one moment where it has more. */
async function firstPoints(
  client: ClickHouseClient,
  after: number,
  until: number,
): Promise<{ until: number; points: number }> {
  const [found] = await readRows<{ at: number; points: number }>(
    client,
    `select toUnixTimestamp64Milli(at) as at, points from
       (select at, sum(n) over (order by at) as points, row_number() over (order by at) as place
        from (select received_at as at, count() as n from ${RECEIVED} group by at))
     where points <= {most:UInt64} or place = 1 order by at desc limit 1`,
    { after, until, most: MAX_POINTS },
  );
  return found ? { until: found.at, points: found.points } : { until, points: 0 };
}

const IN_WINDOW = `received_at > fromUnixTimestamp64Milli({after:Int64})
  and received_at <= fromUnixTimestamp64Milli({until:Int64})`;
const RECEIVED = `(select received_at, ts from telemetry where ${IN_WINDOW}
  union all select received_at, ts from telemetry_wide where ${IN_WINDOW})`;
