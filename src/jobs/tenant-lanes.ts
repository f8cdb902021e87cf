import { type Clock, messageOf } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";

export interface TenantLanes {
  /**
   * Begins the work of those whose work is not under way, as many as there are lanes for, and does not
   * wait for it. What has failed since the last call is thrown.
   */
  begin(tenants: readonly string[]): void;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

export interface TenantLanesOptions {
  name: string;
  /** How many tenants' work is under way at once. */
  atOnce: number;
  work(tenantId: string): Promise<unknown>;
  /** Called when a lane is free again; `hasMore`: the work said so, or somebody found no lane. */
  ended?(hasMore: boolean): void;
  clock: Pick<Clock, "now">;
  logger: Logger;
}

const FIRST_REST_MS = 1_000;
const MAX_REST_MS = 30_000;

/**
 * Work for tenants side by side, never twice at once for one of them: who has much to do keeps nobody
 * waiting who has little. Where the lanes do not suffice, whoever was served longest ago comes first. Whose work fails rests for
 * a while, longer each time; nobody else does.
 */
export function createTenantLanes(options: TenantLanesOptions): TenantLanes {
  const { name, atOnce, work, ended, clock, logger } = options;
  const underWay = new Map<string, Promise<void>>();
  let servedAt = new Map<string, number>();
  /** Of those whose work has failed: how often in a row, and until when they rest. */
  let resting = new Map<string, { times: number; until: number }>();
  let failures: unknown[] = [];
  let someWait = false;

  async function run(tenantId: string): Promise<void> {
    let hasMore = false;
    try {
      hasMore = (await work(tenantId)) === true;
      resting.delete(tenantId);
    } catch (error) {
      logger.warn({ tenantId, job: name, err: error }, "a job failed for a tenant");
      if (failures.length < atOnce) failures.push(error);
      const times = (resting.get(tenantId)?.times ?? 0) + 1;
      const restMs = Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** (times - 1));
      resting.set(tenantId, { times, until: clock.now() + restMs });
    }
    servedAt.set(tenantId, clock.now());
    underWay.delete(tenantId);
    ended?.(hasMore || someWait);
  }

  return {
    begin(tenants) {
      // Who has nothing to do any more is forgotten: the map is never larger than the list.
      const served = (tenantId: string) => servedAt.get(tenantId) ?? 0;
      servedAt = new Map(
        tenants.filter((id) => servedAt.has(id)).map((id) => [id, served(id)] as const),
      );
      resting = new Map([...resting].filter(([id]) => tenants.includes(id)));
      const rests = (tenantId: string) => (resting.get(tenantId)?.until ?? 0) > clock.now();
      const waiting = tenants
        .filter((tenantId) => !underWay.has(tenantId) && !rests(tenantId))
        .sort((left, right) => served(left) - served(right));
      const free = Math.max(0, atOnce - underWay.size);
      for (const tenantId of waiting.slice(0, free)) underWay.set(tenantId, run(tenantId));
      someWait = waiting.length > free;
      const failed = failures;
      failures = [];
      if (failed.length > 0) throw new AggregateError(failed, `${name}: ${messageOf(failed[0])}`);
    },
    async idle() {
      while (underWay.size > 0) await Promise.all(underWay.values());
    },
  };
}
