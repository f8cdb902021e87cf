import type { ShareKey } from "../firmware/index.ts";
import { AppError, type Clock, type Random } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import type { DownloadShares } from "./download-shares.ts";
import { Scope } from "./pace-scope.ts";
import type { PaceLimits } from "./share-out.ts";

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
 * Lets downloads in and hands out bytes: for the whole process, for each tenant and each rollout. The
 * limits of tenants and rollouts hold for all processes together where there are `shares`.
 * Whoever is not let in is told when to come back, at random within the time that those who wait
 * need by the rate at which downloads end: so a storm becomes a stream.
 */
export class DownloadPace {
  readonly #deps: { clock: Clock; random: Random };
  readonly #platform: Scope;
  readonly #shares: DownloadShares | undefined;
  readonly #scopes = new Map<string, Scope>();
  readonly #byTenant = new Map<string, number>();

  constructor(
    deps: { clock: Clock; random: Random },
    platform: PaceLimits,
    shares?: DownloadShares,
  ) {
    this.#deps = deps;
    this.#platform = new Scope(deps, platform);
    this.#shares = shares;
  }

  /** As `enter`, once this process knows its part of the limits that hold for several. */
  async admit(request: DownloadRequest): Promise<Ticket> {
    const shares = this.#shares;
    if (shares) {
      const short = this.#scopesOf(request)
        .map(({ scope }) => scope)
        .filter((scope) => scope.isFull() && scope.mayAskForMore());
      await Promise.all(short.map((scope) => shares.ask(scope)));
    }
    return this.enter(request);
  }

  /** Downloads of a tenant that are under way, in all processes. */
  underWay(tenantId: string): number {
    const scope = this.#scopes.get(`tenant/${tenantId}`);
    return scope ? scope.active + (this.#shares?.elsewhere(scope) ?? 0) : 0;
  }

  /** Refusals: `rate-limited` (tenant, rollout), `unavailable` (platform), with when to come back. */
  enter(request: DownloadRequest): Ticket {
    const { tenantId } = request;
    const waiter = `${tenantId}/${request.deviceId}`;
    const scopes = this.#scopesOf(request);
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

  #scopesOf({ tenantId, tenant, rollout }: DownloadRequest): { name: string; scope: Scope }[] {
    const ofTenant = this.#scope(`tenant/${tenantId}`, tenant, { tenantId, rolloutId: "" });
    if (!rollout) return [{ name: "tenant", scope: ofTenant }];
    const key = { tenantId, rolloutId: rollout.id };
    const ofRollout = this.#scope(`rollout/${tenantId}/${rollout.id}`, rollout.limits, key);
    return [
      { name: "rollout", scope: ofRollout },
      { name: "tenant", scope: ofTenant },
    ];
  }

  #scope(name: string, limits: PaceLimits, key: ShareKey): Scope {
    let scope = this.#scopes.get(name);
    if (scope) scope.limits = limits;
    else {
      scope = new Scope(this.#deps, limits, this.#shares && key);
      this.#scopes.set(name, scope);
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
      if (scope.isIdle() && !this.#shares?.isHeld(scope)) this.#scopes.delete(key);
    }
  }
}
