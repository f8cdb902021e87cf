import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, type Timer } from "../kernel/index.ts";
import { SYSTEM_ACTOR } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { newsOf, QUOTA_NAMES, QUOTAS, type QuotaName, quotaState } from "./quotas.ts";
import type { TenantSettings } from "./settings.ts";
import * as store from "./usage-store.ts";

/** What a process has counted reaches the others within this time; a limit is overrun by so much. */
const FLUSH_EVERY_MS = 2_000;
const MAX_TENANTS = 10_000;
const KEPT_DAYS = 400;
const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

export interface QuotaUse {
  quota: QuotaName;
  used: number;
  /** 0: none. */
  limit: number;
  state: "ok" | "warning" | "reached";
}

/** That a tenant has come near a limit, or to it; told once a day for each. */
export interface QuotaNews extends QuotaUse {
  percent: 80 | 100;
}

type NewsListener = (tenantId: string, news: QuotaNews) => Promise<unknown>;

interface State {
  day: string;
  /** Of the whole day and all processes, as of the last flush. */
  known: Map<QuotaName, number>;
  sums: Map<QuotaName, number>;
  peaks: Map<QuotaName, number>;
  limits: Partial<Record<QuotaName, number>>;
  minute: { at: number; requests: number };
  /** Asked or counted since the last flush. */
  isTouched: boolean;
}

interface Deps {
  db: Database;
  clock: Clock;
  audit: Audit;
  settings(tenantId: string): Promise<TenantSettings>;
}

/** Counts in memory what tenants use, and says where a limit is reached. */
export class Usage {
  readonly #deps: Deps;
  readonly #states = new Map<string, State>();
  readonly #listeners: NewsListener[] = [];
  #today = { number: -1, text: "" };
  #timer: Timer | undefined;
  #flushing: Promise<void> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Called once a day for each quota that a tenant comes near, and once where it is reached. */
  onNews(listener: NewsListener): void {
    this.#listeners.push(listener);
  }

  /** Adds to a sum, or says how many there are of something at this moment. */
  count(tenantId: string, quota: QuotaName, amount = 1): void {
    const state = this.#stateOf(tenantId);
    const { sums, peaks } = state;
    if (QUOTAS[quota].period === "day") sums.set(quota, (sums.get(quota) ?? 0) + amount);
    else peaks.set(quota, Math.max(peaks.get(quota) ?? 0, amount));
  }

  /** Throws `quota-exceeded` where what flows has reached its limit of the day. */
  assertWithin(tenantId: string, ...quotas: readonly QuotaName[]): void {
    const state = this.#stateOf(tenantId);
    for (const quota of quotas) {
      const limit = state.limits[quota] ?? 0;
      if (limit === 0) continue;
      const used = (state.known.get(quota) ?? 0) + (state.sums.get(quota) ?? 0);
      if (used >= limit) throw exceeded(quota, used, limit);
    }
  }

  /** Counts a request of the API; throws `quota-exceeded` where the minute has had too many. */
  takeRequest(tenantId: string): void {
    const state = this.#stateOf(tenantId);
    const now = this.#deps.clock.now();
    const at = Math.floor(now / MINUTE_MS);
    if (state.minute.at !== at) state.minute = { at, requests: 0 };
    state.minute.requests += 1;
    const { requests } = state.minute;
    this.count(tenantId, "apiRequests", requests);
    const limit = state.limits.apiRequests ?? 0;
    if (limit === 0 || requests <= limit) return;
    const retryAfterSeconds = Math.ceil(((at + 1) * MINUTE_MS - now) / 1_000);
    throw exceeded("apiRequests", requests, limit, { retryAfterSeconds });
  }

  /**
   * What says, within the transaction that takes it, whether there is room for so many bytes more: it
   * throws `quota-exceeded` where there is none, and lets one at a time ask until its transaction ends.
   */
  async roomOf(tenantId: string): Promise<(tx: Tx, moreBytes: number) => Promise<void>> {
    const { maxStorageBytes: limit } = await this.#deps.settings(tenantId);
    return async (tx, moreBytes) => {
      if (limit === 0) return;
      await store.lockStanding(tx, tenantId);
      const { storage } = await store.readStanding(tx);
      if (storage + moreBytes > limit) throw exceeded("storage", storage, limit, { moreBytes });
    };
  }

  /** What has been used today, each against its limit. */
  async today(tenantId: string): Promise<QuotaUse[]> {
    await this.#flushOne(tenantId, true);
    const settings = await this.#deps.settings(tenantId);
    const rows = await this.#deps.db.tenant(tenantId, (tx) => store.readUsage(tx, this.#day()));
    const amounts = new Map(rows.map(({ quota, amount }) => [quota, amount]));
    return QUOTA_NAMES.map((quota) => use(quota, amounts.get(quota) ?? 0, settings));
  }

  /** Measures what stands, whether this process has anything to do with the tenant or not. */
  async measure(tenantId: string): Promise<void> {
    await this.#flushOne(tenantId, true);
    const before = new Date(this.#deps.clock.now() - KEPT_DAYS * DAY_MS).toISOString();
    await this.#deps.db.tenant(tenantId, (tx) => store.forgetUsage(tx, before.slice(0, 10)));
  }

  /** Begins to tell the other processes, and to hear of them. */
  start(onError: (error: unknown) => void): void {
    const again = () => {
      this.#flushing = this.flush()
        .catch(onError)
        .finally(() => {
          this.#flushing = undefined;
          if (this.#timer) this.#timer = this.#deps.clock.after(FLUSH_EVERY_MS, again);
        });
    };
    this.#timer = this.#deps.clock.after(FLUSH_EVERY_MS, again);
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#flushing;
    await this.flush();
  }

  /** Writes what has been counted. What cannot be written now is kept, and written later. */
  async flush(): Promise<void> {
    const failures: unknown[] = [];
    for (const [tenantId, state] of [...this.#states]) {
      if (!state.isTouched) continue;
      await this.#flushOne(tenantId, false).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, "use was not written");
  }

  async #flushOne(tenantId: string, measures: boolean): Promise<void> {
    const { db, settings } = this.#deps;
    const state = this.#stateOf(tenantId);
    const { day, sums, peaks } = state;
    state.isTouched = false;
    state.sums = new Map();
    state.peaks = new Map();
    try {
      const limits = await settings(tenantId);
      const { rows, news } = await db.tenant(tenantId, async (tx) => {
        const standing = measures ? await store.readStanding(tx) : {};
        const added = {
          sums: Object.fromEntries([...sums].map(([quota, sum]) => [quota, Math.round(sum)])),
          peaks: { ...Object.fromEntries(peaks), ...standing },
        };
        const rows = await store.addUsage(tx, tenantId, day, added);
        return { rows, news: await this.#newsIn(tx, tenantId, day, rows, limits) };
      });
      for (const { quota, amount } of rows) state.known.set(quota as QuotaName, amount);
      for (const quota of QUOTA_NAMES) state.limits[quota] = limits[QUOTAS[quota].setting];
      for (const item of news) {
        for (const listener of this.#listeners) await listener(tenantId, item);
      }
    } catch (error) {
      // A tenant that is gone has nothing to count; for the others it is added again.
      if ((error as AppError).code === "not-found") {
        this.#states.delete(tenantId);
        return;
      }
      for (const [quota, sum] of sums) state.sums.set(quota, (state.sums.get(quota) ?? 0) + sum);
      state.isTouched = true;
      throw error;
    }
  }

  async #newsIn(
    tx: Parameters<typeof store.readUsage>[0],
    tenantId: string,
    day: string,
    rows: readonly store.UsageRow[],
    settings: TenantSettings,
  ): Promise<QuotaNews[]> {
    const news: QuotaNews[] = [];
    for (const { quota, amount, warned } of rows) {
      if (!Object.hasOwn(QUOTAS, quota)) continue;
      const found = use(quota as QuotaName, amount, settings);
      const percent = newsOf(amount, found.limit, warned);
      if (percent === null || !(await store.noteWarned(tx, day, quota, percent))) continue;
      news.push({ ...found, percent });
      await this.#deps.audit.record(tx, tenantId, {
        actor: SYSTEM_ACTOR,
        action: percent === 100 ? "quota.reach" : "quota.warn",
        targetKind: "quota",
        targetId: quota,
        outcome: "done",
        details: { used: amount, limit: found.limit },
      });
    }
    return news;
  }

  #stateOf(tenantId: string): State {
    const day = this.#day();
    let state = this.#states.get(tenantId);
    if (!state || state.day !== day) {
      if (!state && this.#states.size >= MAX_TENANTS) this.#evict();
      const { limits = {}, minute = { at: 0, requests: 0 } } = state ?? {};
      state = {
        ...{ day, known: new Map(), sums: new Map(), peaks: new Map() },
        ...{ limits, minute, isTouched: true },
      };
      this.#states.set(tenantId, state);
    }
    state.isTouched = true;
    return state;
  }

  /** Of those with nothing to write the first; of all, where there is none such, the first too. */
  #evict(): void {
    const idle = [...this.#states].find(([, { isTouched }]) => !isTouched);
    const first = idle?.[0] ?? this.#states.keys().next().value;
    if (first !== undefined) this.#states.delete(first);
  }

  /** Asked for with each message, and another one but once a day. */
  #day(): string {
    const number = Math.floor(this.#deps.clock.now() / DAY_MS);
    if (number !== this.#today.number) {
      this.#today = { number, text: new Date(number * DAY_MS).toISOString().slice(0, 10) };
    }
    return this.#today.text;
  }
}

function use(quota: QuotaName, used: number, settings: TenantSettings): QuotaUse {
  const limit = settings[QUOTAS[quota].setting];
  return { quota, used, limit, state: quotaState(used, limit) };
}

function exceeded(
  quota: QuotaName,
  used: number,
  limit: number,
  more: Record<string, unknown> = {},
): AppError {
  const { title, refusal } = QUOTAS[quota];
  const message = `${title}: the limit of ${limit} is reached; ${refusal}`;
  return new AppError("quota-exceeded", message, { quota, used, limit, ...more });
}
