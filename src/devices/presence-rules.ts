import { AppError } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { Actor } from "../tenancy/index.ts";
import type { DevicesDeps } from "./deps.ts";
import { deleteRule, listRules, MAX_RULES, putRule } from "./presence-rules-store.ts";
import type { PresenceRule, PresenceRules, ProductPresence } from "./types.ts";

/** How often the devices of each product speak, and when they sleep. */
export interface PresencePolicies {
  /** Cached for up to five seconds. */
  rules(tenantId: string): Promise<PresenceRules>;
  list(tenantId: string): Promise<ProductPresence[]>;
  /** Holds from each device's next heartbeat or deadline on. */
  put(tenantId: string, product: string, rule: PresenceRule, actor: Actor): Promise<void>;
  /** Its devices keep to the tenant's settings again; `not-found` where there is no such rule. */
  remove(tenantId: string, product: string, actor: Actor): Promise<void>;
}

const CACHE_MS = 5_000;
const MAX_TENANTS = 10_000;
const MAX_WINDOWS = 8;
const TIME_OF_DAY = /^([01]\d|2[0-3]):[0-5]\d$/;

export function createPresencePolicies({ db, clock, tenancy }: DevicesDeps): PresencePolicies {
  const cache = new TtlCache<ReadonlyMap<string, PresenceRule>>({
    ...{ clock, ttlMs: CACHE_MS, maxEntries: MAX_TENANTS },
  });
  const list = (tenantId: string) => db.tenant(tenantId, listRules);

  return {
    async rules(tenantId) {
      const { heartbeatIntervalSeconds, offlineAfterMissed } = await tenancy.settings(tenantId);
      const products = await cache.load(tenantId, async () => {
        return new Map((await list(tenantId)).map((rule) => [rule.product, rule]));
      });
      return { usual: { heartbeatIntervalSeconds, offlineAfterMissed, sleep: [] }, products };
    },

    list,

    async put(tenantId, product, rule, actor) {
      checkRule(product, rule);
      await db.tenant(tenantId, async (tx) => {
        const by = { name: actor.name, at: new Date(clock.now()) };
        if (!(await putRule(tx, tenantId, product, rule, by))) {
          throw new AppError("quota-exceeded", `at most ${MAX_RULES} products have a rule`);
        }
        await tenancy.audit.record(tx, tenantId, {
          ...{ actor, action: "presence.set", targetKind: "product", targetId: product },
          outcome: "done",
          details: { ...rule },
        });
      });
      cache.delete(tenantId);
    },

    async remove(tenantId, product, actor) {
      await db.tenant(tenantId, async (tx) => {
        if (!(await deleteRule(tx, product))) {
          throw new AppError("not-found", `there is no presence rule for ${product}`);
        }
        await tenancy.audit.record(tx, tenantId, {
          ...{ actor, action: "presence.reset", targetKind: "product", targetId: product },
          outcome: "done",
          details: {},
        });
      });
      cache.delete(tenantId);
    },
  };
}

/** Windows that together leave no time awake would let a dead device pass for sleeping for ever. */
function checkRule(product: string, { heartbeatIntervalSeconds, sleep, ...rule }: PresenceRule) {
  const wrong = (message: string) => new AppError("invalid-content", message, { product });
  if (!Number.isInteger(heartbeatIntervalSeconds) || !within(heartbeatIntervalSeconds, 1, 86_400)) {
    throw wrong("heartbeatIntervalSeconds is a whole number from 1 to 86400");
  }
  if (!Number.isInteger(rule.offlineAfterMissed) || !within(rule.offlineAfterMissed, 2, 1_000)) {
    throw wrong("offlineAfterMissed is a whole number from 2 to 1000");
  }
  if (sleep.length > MAX_WINDOWS) throw wrong(`at most ${MAX_WINDOWS} sleep windows`);
  for (const { from, to } of sleep) {
    if (!TIME_OF_DAY.test(from) || !TIME_OF_DAY.test(to) || from === to) {
      throw wrong(`"${from}" to "${to}" is no sleep window: write 22:00 to 06:00 (UTC)`);
    }
  }
  if (Array.from({ length: 1_440 }, (_, minute) => minute).every((at) => sleepsAt(at, sleep))) {
    throw wrong("the sleep windows leave no time in which the devices are awake");
  }
}

function sleepsAt(minute: number, sleep: PresenceRule["sleep"]): boolean {
  return sleep.some(({ from, to }) => {
    const [begin, end] = [from, to].map((time) => {
      const [hours = 0, minutes = 0] = time.split(":").map(Number);
      return 60 * hours + minutes;
    }) as [number, number];
    return begin < end ? minute >= begin && minute < end : minute >= begin || minute < end;
  });
}

function within(value: number, minimum: number, maximum: number): boolean {
  return value >= minimum && value <= maximum;
}
