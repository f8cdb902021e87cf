import type { ClickHouseClient } from "@clickhouse/client";
import { WRITE_SETTINGS } from "./engine-settings.ts";
import { readRows } from "./read-rows.ts";
import type { RollupLevel } from "./readable.ts";

export interface RollupProgress {
  pass: number;
  /** Level 1m: what was received up to then, milliseconds since the epoch, is in the buckets. */
  receivedUntil: number;
  /** Other levels: the pass of the level below that they have seen. */
  sourcePass: number;
}

/**
 * How far the rollups of whole fleets have come: all buckets are made of what the devices' rollups were at
 * the pass `sourcePass` of `late-…`, those from the moment `receivedUntil` on at that of `fleet-…`, and also
 * at that of `back-…`, which is on its way back.
 */
export type FleetState = `${"fleet" | "late" | "back"}-${RollupLevel}`;
/** What is followed: rollups, and the newest point of each series, which is made of those by the minute. */
type Followed = RollupLevel | "latest" | FleetState;
export type Progress = Map<Followed, RollupProgress>;
export const NOTHING_YET: RollupProgress = { pass: 0, receivedUntil: 0, sourcePass: 0 };

export const WIDTH_MS: Record<RollupLevel, number> = {
  "1m": 60_000,
  "1h": 3_600_000,
  "1d": 86_400_000,
};

/** Days of one pass that are computed one by one; more are taken by the month. */
const MAX_DAYS = 120;

export interface Span {
  from: number;
  to: number;
}

/**
 * When something has changed, by the day, newest first: what is live does not wait for what is late. A span
 * holds whole buckets of `widthMs`, and no more of the day than it takes.
 */
export async function spansOf(
  client: ClickHouseClient,
  source: string,
  window: { after: number; until: number },
  widthMs: number,
): Promise<Span[]> {
  const days = await readRows<{ first: number; last: number }>(
    client,
    `select toUnixTimestamp(min(ts)) as first, toUnixTimestamp(max(ts)) as last
     from ${source} group by toStartOfDay(ts) as day order by day desc`,
    window,
  );
  if (days.length <= MAX_DAYS) {
    return days.map(({ first, last }) => ({
      from: floorTo(first * 1_000, widthMs),
      to: floorTo(last * 1_000, widthMs) + widthMs,
    }));
  }
  const months = new Map<number, Span>();
  for (const { first } of days) {
    const date = new Date(first * 1_000);
    const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
    const from = Date.UTC(year, month);
    months.set(from, { from, to: Date.UTC(year, month + 1) });
  }
  return [...months.values()];
}

function floorTo(moment: number, widthMs: number): number {
  return Math.floor(moment / widthMs) * widthMs;
}

export async function readProgress(client: ClickHouseClient): Promise<Progress> {
  const rows = await readRows<RollupProgress & { level: Followed }>(
    client,
    `select level, pass, toUnixTimestamp64Milli(received_until) as receivedUntil,
       source_pass as sourcePass
     from rollup_progress final`,
    {},
  );
  return new Map(rows.map(({ level, ...progress }) => [level, progress]));
}

const KNOWN_FOR_MS = 1_000;

/** The progress at most a second old: what a reader then takes for not seen yet it reads from the rows below. */
export class KnownProgress {
  readonly #client: ClickHouseClient;
  #known: Promise<Progress> | undefined;
  #readAt = 0;

  constructor(client: ClickHouseClient) {
    this.#client = client;
  }

  read(): Promise<Progress> {
    const now = performance.now();
    if (this.#known && now - this.#readAt < KNOWN_FOR_MS) return this.#known;
    this.#readAt = now;
    const reading = readProgress(this.#client);
    this.#known = reading;
    reading.catch(() => {
      if (this.#known === reading) this.forget();
    });
    return reading;
  }

  /** After a pass of this process. */
  forget(): void {
    this.#known = undefined;
  }
}

export async function writeProgress(
  client: ClickHouseClient,
  level: Followed,
  progress: RollupProgress,
): Promise<void> {
  await client.insert({
    table: "rollup_progress",
    columns: ["level", "pass", "received_until", "source_pass"],
    values: [[level, progress.pass, progress.receivedUntil, progress.sourcePass]],
    format: "JSONCompactEachRow",
    clickhouse_settings: WRITE_SETTINGS,
  });
}
