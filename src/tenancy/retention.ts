import type { Database } from "../db/index.ts";
import { unconfined } from "../kernel/confinement.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import {
  isMetricPattern,
  keptDaysFault,
  MAX_RETENTION_RULES,
  type RetentionPolicy,
  type RetentionRule,
} from "../protocol/index.ts";
import type { Actor } from "./actor.ts";
import type { Audit } from "./audit.ts";
import * as store from "./retention-store.ts";
import { keptBySettings, type TenantSettings } from "./settings.ts";

/** How long a tenant keeps its telemetry, by metric. */
export interface Retention {
  /** Up to five seconds old. */
  policy(tenantId: string): Promise<RetentionPolicy>;
  rules(tenantId: string): Promise<RetentionRule[]>;
  /** Replaces all rules by what `change` makes of them, which may throw. */
  change(
    tenantId: string,
    change: (before: RetentionRule[]) => readonly RetentionRule[],
    actor: Actor,
  ): Promise<RetentionRule[]>;
}

interface RetentionDeps {
  db: Database;
  clock: Clock;
  audit: Audit;
  settings(tenantId: string): Promise<TenantSettings>;
}

const RULES_TTL_MS = 5_000;
const MAX_TENANTS = 10_000;

export function createRetention({ db, clock, audit, settings }: RetentionDeps): Retention {
  const known = new TtlCache<RetentionRule[]>({
    ...{ clock, ttlMs: RULES_TTL_MS, maxEntries: MAX_TENANTS },
  });
  const rules = (tenantId: string) => db.tenant(tenantId, store.listRules);
  return {
    rules,

    async policy(tenantId) {
      const all = keptBySettings(await settings(tenantId));
      // Which rules there are concerns the tenant as a whole; what they leave out, nobody is shown.
      const load = () => unconfined(() => rules(tenantId));
      return { all, rules: await known.load(tenantId, load) };
    },

    async change(tenantId, change, actor) {
      const changed = await db.tenant(tenantId, async (tx) => {
        // One at a time: who changes rules reads them first.
        await store.lockRules(tx, tenantId);
        const before = await store.listRules(tx);
        const after = change(before);
        checkRules(after);
        await store.replaceRules(tx, tenantId, after);
        await audit.record(tx, tenantId, {
          ...{ actor, action: "telemetry-retention.change", targetKind: "tenant" },
          ...{ targetId: tenantId, outcome: "done" as const, details: { before, after } },
        });
        return store.listRules(tx);
      });
      known.delete(tenantId);
      return changed;
    },
  };
}

function checkRules(rules: readonly RetentionRule[]): void {
  const errors: { field: string; message: string }[] = [];
  if (rules.length > MAX_RETENTION_RULES) {
    errors.push({ field: "rules", message: `at most ${MAX_RETENTION_RULES} of them` });
  }
  const patterns = new Set<string>();
  for (const [index, { pattern, ...kept }] of rules.slice(0, MAX_RETENTION_RULES).entries()) {
    const field = `rules/${index}`;
    if (!isMetricPattern(pattern)) {
      errors.push({ field, message: "pattern: a metric's name, with * for any text" });
    }
    if (patterns.has(pattern)) errors.push({ field, message: `${pattern} has a rule already` });
    patterns.add(pattern);
    const fault = keptDaysFault(kept);
    if (fault) errors.push({ field, message: fault });
  }
  if (errors.length > 0) {
    const all = errors.map(({ field, message }) => `${field}: ${message}`).join("; ");
    throw new AppError("invalid-content", `rules of retention are not valid: ${all}`, { errors });
  }
}
