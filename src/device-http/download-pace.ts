import { AppError, type Clock, type Random } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { type PaceLimits, Scope } from "./pace-scope.ts";

export interface DownloadRequest {
  tenantId: string;
  deviceId: string;
  tenant: PaceLimits;
  /** The rollout that the device downloads for, where that sets a pace. */
  rollout?: { id: string; limits: PaceLimits } | undefined;
}

/** A download that was let in. */
export interface Ticket {
  /** Whether `take` ever waits. */
  isPaced: boolean;
  /** Resolves when so many bytes may be sent. */
  take(sizeBytes: number): Promise<void>;
  leave(): void;
}

/** From this share of the platform's places on, tenants get their fair part and no more. */
const FAIR_FROM = 0.75;

const refusals = counter("vautn_download_refusals_total", "Downloads that were told to wait", [
  "scope",
]);

/**
 * Lets downloads in and hands out bytes: for the whole process, for each tenant and each rollout.
 * Whoever is not let in is told when to come back, at random within the time that those who wait
 * need by the rate at which downloads end: so a storm becomes a stream.
 */
export class DownloadPace {
  readonly #deps: { clock: Clock; random: Random };
  readonly #platform: Scope;
  readonly #scopes = new Map<string, Scope>();
  readonly #byTenant = new Map<string, number>();

  constructor(deps: { clock: Clock; random: Random }, platform: PaceLimits) {
    this.#deps = deps;
    this.#platform = new Scope(deps, platform);
  }

  /** Refusals: `rate-limited` (tenant, rollout), `unavailable` (platform), with when to come back. */
  enter(request: DownloadRequest): Ticket {
    const { tenantId, rollout } = request;
    const waiter = `${tenantId}/${request.deviceId}`;
    const scopes: { name: string; key: string; scope: Scope }[] = [];
    if (rollout) {
      const key = `rollout/${tenantId}/${rollout.id}`;
      scopes.push({ name: "rollout", key, scope: this.#scope(key, rollout.limits) });
    }
    const key = `tenant/${tenantId}`;
    scopes.push({ name: "tenant", key, scope: this.#scope(key, request.tenant) });
    for (const { name, scope } of scopes) {
      if (!scope.isFull()) continue;
      throw this.#refuse("rate-limited", name, scope, waiter);
    }
    if (this.#platform.isFull() || this.#isUnfair(tenantId)) {
      throw this.#refuse("unavailable", "platform", this.#platform, waiter);
    }
    const all = [...scopes.map(({ scope }) => scope), this.#platform];
    for (const scope of all) scope.enter(waiter);
    this.#byTenant.set(tenantId, (this.#byTenant.get(tenantId) ?? 0) + 1);
    return this.#ticket(request, all);
  }

  #ticket({ tenantId, deviceId }: DownloadRequest, scopes: Scope[]): Ticket {
    const left = new AbortController();
    return {
      isPaced: scopes.some((scope) => scope.isPaced),
      take: async (sizeBytes) => {
        for (const scope of scopes) {
          // Within a tenant, devices take turns; on the platform, tenants do.
          const party = scope === this.#platform ? tenantId : deviceId;
          await scope.take(sizeBytes, party, left.signal);
        }
      },
      leave: () => {
        if (left.signal.aborted) return;
        left.abort(new Error("the download has ended"));
        for (const scope of scopes) scope.leave();
        const count = (this.#byTenant.get(tenantId) ?? 1) - 1;
        if (count === 0) this.#byTenant.delete(tenantId);
        else this.#byTenant.set(tenantId, count);
        this.#forgetIdle();
      },
    };
  }

  #scope(key: string, limits: PaceLimits): Scope {
    let scope = this.#scopes.get(key);
    if (scope) scope.limits = limits;
    else {
      scope = new Scope(this.#deps, limits);
      this.#scopes.set(key, scope);
    }
    return scope;
  }

  /** Whether others want places while this tenant has its part of them already. */
  #isUnfair(tenantId: string): boolean {
    const { concurrent } = this.#platform.limits;
    if (this.#platform.active < FAIR_FROM * concurrent) return false;
    const wanting = new Set([...this.#byTenant.keys(), ...this.#platform.waitingTenants()]);
    wanting.add(tenantId);
    return (this.#byTenant.get(tenantId) ?? 0) >= concurrent / wanting.size;
  }

  #refuse(code: "rate-limited" | "unavailable", name: string, scope: Scope, waiter: string) {
    refusals.inc({ scope: name });
    const retryAfterSeconds = scope.wait(waiter, this.#deps.random);
    return new AppError(code, `there are enough downloads under way for the ${name}`, {
      retryAfterSeconds,
    });
  }

  #forgetIdle(): void {
    for (const [key, scope] of this.#scopes) {
      if (scope.active === 0 && !scope.hasWaiting()) this.#scopes.delete(key);
    }
  }
}
