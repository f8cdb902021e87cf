import type { Clock } from "./clock.ts";

export interface RecentUse {
  add(tenantId: string, seconds: number): void;
  /** What of it still counts: half of it after a half-life, and nothing after fifteen. */
  of(tenantId: string): number;
  /** The same of a tenant that has used more than all the others together; 0 for anybody else. */
  ofTheGreedy(tenantId: string): number;
  /** The same of all others together. */
  ofOthers(tenantId: string): number;
}

const MAX_TENANTS = 1_000;
/** So little makes no difference to anybody. */
const FORGOTTEN_SECONDS = 0.001;

/** How much of something each tenant has used of late, in this process. */
export function createRecentUse(clock: Pick<Clock, "now">, halfLifeMs = 60_000): RecentUse {
  const uses = new Map<string, { seconds: number; at: number }>();
  const left = ({ seconds, at }: { seconds: number; at: number }) =>
    seconds * 2 ** (-Math.max(0, clock.now() - at) / halfLifeMs);
  const of = (tenantId: string) => {
    const use = uses.get(tenantId);
    return use ? left(use) : 0;
  };
  const ofOthers = (tenantId: string) =>
    [...uses].reduce((sum, [id, use]) => (id === tenantId ? sum : sum + left(use)), 0);
  return {
    of,
    ofOthers,
    ofTheGreedy(tenantId) {
      const own = of(tenantId);
      return own > ofOthers(tenantId) ? own : 0;
    },
    add(tenantId, seconds) {
      const sum = of(tenantId) + Math.max(0, seconds);
      uses.delete(tenantId);
      uses.set(tenantId, { seconds: sum, at: clock.now() });
      for (const [id, use] of uses) {
        if (uses.size <= MAX_TENANTS && left(use) > FORGOTTEN_SECONDS) break;
        uses.delete(id);
      }
    },
  };
}
