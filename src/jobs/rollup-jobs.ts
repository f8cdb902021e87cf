import type { Clock } from "../kernel/index.ts";
import type { Job } from "./ticker.ts";

export interface RollupJobsDeps {
  timeseries: {
    rollUp(
      levels: readonly ("1m" | "1h" | "1d")[],
      state: { isMoving: boolean },
    ): Promise<{ complete: boolean }>;
    rollUpFleets(options: {
      part: "recent" | "all";
      isMoving: boolean;
      forMs: number;
    }): Promise<{ complete: boolean }>;
  };
  clock: Pick<Clock, "now">;
  tenancy: { tenants: { moving(): Promise<readonly unknown[]> } };
}

/** A coarse bucket is computed from many fine ones: the less often, the less each point costs. */
const EVERY_MS = { minutes: 10_000, hours: 120_000, days: 600_000, fleets: 60_000 };
/**
 * A late point of one device has a bucket of all devices computed anew: so often at most, and for so long at
 * a time, for what is live waits meanwhile.
 */
const LATE_EVERY_MS = 900_000;
const LATE_FOR_MS = 10_000;
/** Passes of one run; what is left waits for the next one. */
const MAX_PASSES = 50;

/** Keeps the rollups of telemetry up to date, late points included. */
export function rollupJobs({ timeseries, tenancy, clock }: RollupJobsDeps): Job[] {
  const isMoving = async () => (await tenancy.tenants.moving()).length > 0;
  const rollUp = async (level: "1m" | "1h" | "1d") =>
    timeseries.rollUp([level], { isMoving: await isMoving() });
  let lateIsDue = 0;
  const rollUpFleets = async () => {
    const part = clock.now() >= lateIsDue ? "all" : "recent";
    const options = { part, isMoving: await isMoving(), forMs: LATE_FOR_MS } as const;
    const { complete } = await timeseries.rollUpFleets(options);
    if (part === "all" && complete) lateIsDue = clock.now() + LATE_EVERY_MS;
  };
  let tail: Promise<unknown> = Promise.resolve();
  // One after the other: two at once would only compute the same buckets twice.
  const inTurn = (work: () => Promise<void>) => {
    const turn = tail.then(work);
    tail = turn.catch(() => {});
    return turn;
  };
  return [
    {
      name: "rollups-by-minute",
      everyMs: EVERY_MS.minutes,
      run: () =>
        inTurn(async () => {
          for (let pass = 0; pass < MAX_PASSES; pass += 1) {
            if ((await rollUp("1m")).complete) return;
          }
        }),
    },
    {
      name: "rollups-by-hour",
      everyMs: EVERY_MS.hours,
      run: () => inTurn(async () => void (await rollUp("1h"))),
    },
    {
      name: "rollups-by-day",
      everyMs: EVERY_MS.days,
      run: () => inTurn(async () => void (await rollUp("1d"))),
    },
    { name: "rollups-of-fleets", everyMs: EVERY_MS.fleets, run: () => inTurn(rollUpFleets) },
  ];
}
