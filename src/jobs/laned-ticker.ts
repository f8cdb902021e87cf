import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { createTenantLanes } from "./tenant-lanes.ts";
import { startTicker, type Ticker } from "./ticker.ts";

export interface LanedJob {
  name: string;
  everyMs: number;
  /** How many tenants' work is under way at once. */
  atOnce: number;
  /** The tenants that have something due. */
  due(): Promise<string[]>;
  /** True where there is more. */
  work(tenantId: string): Promise<boolean>;
}

/** A job that waits for others' answers: of one tenant's no other's work has to know. */
export function startLanedTicker(job: LanedJob, deps: { clock: Clock; logger: Logger }): Ticker {
  const { name, everyMs, atOnce, due, work } = job;
  const lanes = createTenantLanes({
    ...{ name, atOnce, work, clock: deps.clock, logger: deps.logger },
    ended: (hasMore) => hasMore && ticker.wake(),
  });
  const ticker = startTicker({ name, everyMs, run: async () => lanes.begin(await due()) }, deps);
  return {
    wake: ticker.wake,
    async stop() {
      await ticker.stop();
      await lanes.idle();
    },
  };
}
