import type { ClickHouseClient } from "@clickhouse/client";
import { DERIVE_SETTINGS } from "./engine-settings.ts";
import { readRows } from "./read-rows.ts";
import { ROLLUP_LEVELS, type RollupLevel } from "./readable.ts";
import {
  type FleetState,
  NOTHING_YET,
  type Progress,
  readProgress,
  type Span,
  spansOf,
  WIDTH_MS,
  writeProgress,
} from "./rollup-progress.ts";

export interface FleetRollupResult {
  /** Statements that computed buckets. */
  spans: number;
  /** False where buckets of long ago are left for the next time. */
  complete: boolean;
}

export interface FleetRollupOptions {
  /** What is live, or what came late as well: of one late point a bucket of all devices is read. */
  part: "recent" | "all";
  /** See `rollUp`. */
  isMoving?: boolean;
  /** How long buckets of long ago may take, in milliseconds. */
  forMs?: number;
}

const MINUTE_MS = 60_000;
/** Buckets that are younger follow the devices' own at once. */
const RECENT_MS: Record<RollupLevel, number> = {
  "1m": 3 * WIDTH_MS["1h"],
  "1h": 26 * WIDTH_MS["1h"],
  "1d": 3 * WIDTH_MS["1d"],
};
/** Rows of devices that one statement takes together: what waits for the same session waits for seconds. */
const MAX_ROWS = 2_000_000;

/**
 * Computes anew the rollups of whole fleets, of all tenants, whose devices' rollups have changed. What is
 * recent comes first, and by itself; `all` then goes back day by day and notes how far it has come. What
 * has not been done yet is known from that (`FleetState`), and readers take it from the devices' own rows:
 * nobody waits for this, and a pass that was killed is made again.
 */
export async function rollUpFleets(
  client: ClickHouseClient,
  { part, isMoving = false, forMs = Number.POSITIVE_INFINITY }: FleetRollupOptions,
): Promise<FleetRollupResult> {
  const total: FleetRollupResult = { spans: 0, complete: true };
  const deadline = performance.now() + forMs;
  const progress = await readProgress(client);
  for (const level of ROLLUP_LEVELS) {
    const pass = new FleetPass(client, level, progress, isMoving);
    total.spans += await pass.recent();
    if (part === "recent") continue;
    const late = await pass.late(deadline);
    total.spans += late.spans;
    total.complete &&= late.complete;
  }
  return total;
}

const CHANGED = "pass > {after:UInt64} and pass <= {until:UInt64}";
const WITHIN = "ts >= toDateTime({from:Int64} / 1000) and ts < toDateTime({to:Int64} / 1000)";
/** What clocks in the future could bring lies before it. */
const FOREVER = 4_000_000_000_000;

class FleetPass {
  readonly #client: ClickHouseClient;
  readonly #level: RollupLevel;
  readonly #progress: Progress;
  readonly #isMoving: boolean;
  /** The pass of the devices' rollups up to which this goes. */
  readonly #until: number;

  constructor(client: ClickHouseClient, level: RollupLevel, progress: Progress, isMoving: boolean) {
    this.#client = client;
    this.#level = level;
    this.#progress = progress;
    this.#isMoving = isMoving;
    this.#until = progress.get(level)?.pass ?? 0;
  }

  async recent(): Promise<number> {
    const known = this.#progress.get(`fleet-${this.#level}`);
    const after = known?.sourcePass ?? 0;
    if (this.#until <= after) return 0;
    const from = known?.receivedUntil ?? this.#recentFrom();
    const span = { from, to: FOREVER };
    const spans = await this.#compute({ after, until: this.#until }, span);
    await this.#note(`fleet-${this.#level}`, { sourcePass: this.#until, receivedUntil: from });
    return spans;
  }

  /** What lies before the recent ones, newest day first; `recent` has gone as far as this goes. */
  async late(deadline: number): Promise<FleetRollupResult> {
    const [level, late, cursor] = [
      this.#level,
      `late-${this.#level}`,
      `back-${this.#level}`,
    ] as const;
    const recent = this.#progress.get(`fleet-${level}`);
    if (!recent) return { spans: 0, complete: true };
    const after = this.#progress.get(late)?.sourcePass ?? 0;
    const begun = this.#progress.get(cursor);
    const isResumed = begun !== undefined && begun.sourcePass > after;
    const until = isResumed ? begun.sourcePass : recent.sourcePass;
    const before = isResumed ? begun.receivedUntil : recent.receivedUntil;
    if (until <= after) return { spans: 0, complete: true };
    const window = { after, until };
    const changed = `(select ts from telemetry_${level}
      where ${CHANGED} and ts < toDateTime(${before} / 1000))`;
    let spans = 0;
    for (const day of await spansOf(this.#client, changed, window, WIDTH_MS[level])) {
      const span = { from: day.from, to: Math.min(day.to, before) };
      let isOver = false;
      spans += await this.#compute(window, span, async (from) => {
        await this.#note(cursor, { sourcePass: until, receivedUntil: from });
        isOver = performance.now() >= deadline;
        return !isOver;
      });
      if (isOver) return { spans, complete: false };
    }
    await this.#note(late, { sourcePass: until, receivedUntil: 0 });
    // All up to there is done: only now may the border between the two move on.
    if (!isResumed) {
      const receivedUntil = Math.max(recent.receivedUntil, this.#recentFrom());
      await this.#note(`fleet-${level}`, { sourcePass: recent.sourcePass, receivedUntil });
    }
    return { spans, complete: !isResumed };
  }

  #recentFrom(): number {
    return Math.floor((Date.now() - RECENT_MS[this.#level]) / MINUTE_MS) * MINUTE_MS;
  }

  async #note(of: FleetState, state: { sourcePass: number; receivedUntil: number }) {
    const known = this.#progress.get(of) ?? NOTHING_YET;
    const next = { pass: Math.max(Date.now(), known.pass + 1), ...state };
    this.#progress.set(of, next);
    await writeProgress(this.#client, of, next);
  }

  /** Buckets of a span that have changed, in pieces, newest first; how many statements. */
  async #compute(
    window: { after: number; until: number },
    span: Span,
    doneFrom: (moment: number) => Promise<boolean> = async () => true,
  ): Promise<number> {
    const table = `telemetry_${this.#level}`;
    const width = WIDTH_MS[this.#level];
    const [changed] = await readRows<{ first: number; last: number; n: number }>(
      this.#client,
      `select toInt64(toUnixTimestamp(min(ts))) * 1000 as first,
         toInt64(toUnixTimestamp(max(ts))) * 1000 as last, count() as n
       from ${table} where ${CHANGED} and ${WITHIN}`,
      { ...window, ...span },
    );
    if (!changed || changed.n === 0) return 0;
    const [from, to] = [changed.first, changed.last + width];
    const [rows] = await readRows<{ n: number }>(
      this.#client,
      `select count() as n from ${table} where ${WITHIN}`,
      { from, to },
    );
    const pieces = Math.min((to - from) / width, Math.ceil((rows?.n ?? 0) / MAX_ROWS));
    const pieceMs = Math.ceil((to - from) / width / Math.max(1, pieces)) * width;
    let spans = 0;
    for (let end = to; end > from; end -= pieceMs) {
      const piece = { from: Math.max(from, end - pieceMs), to: end };
      await this.#insert(window, piece);
      spans += 1;
      if (!(await doneFrom(piece.from))) break;
    }
    return spans;
  }

  async #insert(window: { after: number; until: number }, span: Span): Promise<void> {
    const table = `telemetry_${this.#level}`;
    const changed = `from ${table} where ${CHANGED} and ${WITHIN}`;
    const rows = `${table} FINAL WHERE ${WITHIN}
      and tenant_id in (select distinct tenant_id ${changed})
      and (tenant_id, metric, ts) in (select distinct tenant_id, metric, ts ${changed})`;
    const moment = "tenant_id, device_id, metric, ts";
    const once = `(SELECT * FROM ${rows} ORDER BY ${moment}, pass DESC LIMIT 1 BY ${moment})`;
    // Of two workers the one counts that goes further; with equal passes both have seen the same.
    const pass = window.until;
    await this.#client.command({
      query: `INSERT INTO telemetry_fleet_${this.#level}
          (tenant_id, metric, ts, count, min, max, sum, last, last_ts, sketch, pass)
        SELECT tenant_id, metric, ts, sum(count), min(min), max(max), sum(sum), argMax(last, last_ts),
          max(last_ts), quantilesDDMergeState(0.005, 0.5)(sketch), {pass:UInt64}
        FROM ${this.#isMoving ? once : rows}
        GROUP BY tenant_id, metric, ts`,
      query_params: { ...window, ...span, pass },
      clickhouse_settings: DERIVE_SETTINGS,
    });
  }
}
