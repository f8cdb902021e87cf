import type { Job } from "./ticker.ts";

export interface RollupJobsDeps {
  timeseries: {
    rollUp(
      levels: readonly ("1m" | "1h" | "1d")[],
      state: { isMoving: boolean },
    ): Promise<{ complete: boolean }>;
  };
  tenancy: { tenants: { moving(): Promise<readonly unknown[]> } };
}

/** A coarse bucket is computed from many fine ones: the less often, the less each point costs. */
const EVERY_MS = { minutes: 10_000, hours: 120_000, days: 600_000 };
/** Passes of one run; what is left waits for the next one. */
const MAX_PASSES = 50;

/** Keeps the rollups of telemetry up to date, late points included. */
export function rollupJobs({ timeseries, tenancy }: RollupJobsDeps): Job[] {
  const rollUp = async (level: "1m" | "1h" | "1d") =>
    timeseries.rollUp([level], { isMoving: (await tenancy.tenants.moving()).length > 0 });
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
  ];
}
