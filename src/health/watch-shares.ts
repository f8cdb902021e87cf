import { createHash } from "node:crypto";
import type { WatchLeases } from "./watch-leases-store.ts";

/** A worker that has not been heard for so long is dead: the others follow its tenants. */
const LEASE_MS = 30_000;
const MAX_OWNERS = 20_000;

/**
 * Which tenants are this worker's to follow. Each tenant is wanted by one of the living, and by another
 * one only where that one comes or goes (rendezvous hashing); a lease keeps two from following it at
 * once while they do not yet agree on who lives.
 */
export class WatchShares {
  readonly #leases: WatchLeases;
  readonly #name: string;
  /** Until when each is ours. */
  readonly #held = new Map<string, number>();
  /** Who wants each, as long as the same workers live. */
  readonly #owners = new Map<string, string | undefined>();
  #living = "";

  constructor(leases: WatchLeases, name: string) {
    this.#leases = leases;
    this.#name = name;
  }

  /** Those of `tenantIds` that are ours now; the others that were are to be given up. */
  async divide(tenantIds: readonly string[], nowMs: number): Promise<Set<string>> {
    const now = new Date(nowMs);
    const since = new Date(nowMs - LEASE_MS);
    const living = await this.#leases.attend(this.#name, now, since);
    const wanted = tenantIds.filter((tenantId) => this.#ownerOf(tenantId, living) === this.#name);
    const due = wanted.filter((id) => (this.#held.get(id) ?? 0) < nowMs + LEASE_MS / 2);
    const until = nowMs + LEASE_MS;
    const taken = new Set(
      due.length > 0 ? await this.#leases.take(this.#name, due, now, new Date(until)) : [],
    );
    for (const id of due) {
      if (taken.has(id)) this.#held.set(id, until);
      else this.#held.delete(id);
    }
    return new Set(wanted.filter((id) => (this.#held.get(id) ?? 0) > nowMs));
  }

  #ownerOf(tenantId: string, living: readonly string[]): string | undefined {
    const key = living.join(" ");
    if (key !== this.#living || this.#owners.size > MAX_OWNERS) this.#owners.clear();
    this.#living = key;
    if (!this.#owners.has(tenantId)) this.#owners.set(tenantId, ownerOf(tenantId, living));
    return this.#owners.get(tenantId);
  }

  /** After its state has been kept: whoever wants it goes on from there. */
  async giveUp(tenantId: string): Promise<void> {
    if (this.#held.delete(tenantId)) await this.#leases.release(this.#name, [tenantId]);
  }

  /** Whether what we know of it is still the newest that anybody knows. */
  holds(tenantId: string, nowMs: number): boolean {
    return (this.#held.get(tenantId) ?? 0) > nowMs;
  }

  leave(): Promise<void> {
    this.#held.clear();
    return this.#leases.leave(this.#name);
  }
}

/** The worker with the greatest hash of both names. */
export function ownerOf(tenantId: string, workers: readonly string[]): string | undefined {
  let owner: string | undefined;
  let greatest = "";
  for (const worker of workers) {
    const hash = createHash("sha256").update(`${worker}\0${tenantId}`).digest("hex");
    if (hash > greatest) [owner, greatest] = [worker, hash];
  }
  return owner;
}
