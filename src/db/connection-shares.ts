import { AsyncLocalStorage } from "node:async_hooks";
import { AppError } from "../kernel/index.ts";

export interface ConnectionShares {
  /** Runs `work`, which takes a connection of the pool, as soon as the tenant may have one more. */
  run<T>(tenantId: string, work: () => Promise<T>): Promise<T>;
}

interface Waiting {
  begin(): void;
}

/** Of each pool a tenant may hold so much; what is left is there for the others at once. */
const SHARE = 0.75;
/** A pool so small has no parts. */
const SMALL_POOL = 4;
/** Beyond it nobody would be served in time. */
const MAX_WAITING_PER_TENANT = 10_000;

/**
 * Keeps one tenant from holding every connection of a pool: whoever asks the database for much waits
 * behind their own requests. A transaction within another one is let in at once: what it is part of
 * has been, and would wait for itself.
 */
export function createConnectionShares(
  maxConnections: number,
  patienceMs: number,
): ConnectionShares {
  const share = maxConnections <= SMALL_POOL ? maxConnections : Math.floor(maxConnections * SHARE);
  /** The transaction that a call is part of, while it lasts: what it has set going goes on without it. */
  const within = new AsyncLocalStorage<{ isOpen: boolean }>();
  const held = new Map<string, number>();
  const queues = new Map<string, Set<Waiting>>();

  function release(tenantId: string): void {
    const next = queues.get(tenantId)?.values().next().value;
    if (next) {
      next.begin();
      return;
    }
    const left = (held.get(tenantId) ?? 1) - 1;
    if (left > 0) held.set(tenantId, left);
    else held.delete(tenantId);
  }

  /** Resolves with a place that somebody else of the tenant has given up. */
  function place(tenantId: string): Promise<void> {
    const queue = queues.get(tenantId) ?? new Set();
    queues.set(tenantId, queue);
    if (queue.size >= MAX_WAITING_PER_TENANT) return Promise.reject(tooBusy(tenantId));
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        queue.delete(waiting);
        if (queue.size === 0) queues.delete(tenantId);
      };
      const waiting: Waiting = {
        begin() {
          leave();
          resolve();
        },
      };
      const timer = setTimeout(() => {
        leave();
        reject(tooBusy(tenantId));
      }, patienceMs);
      queue.add(waiting);
    });
  }

  return {
    async run(tenantId, work) {
      if (within.getStore()?.isOpen) return work();
      const holds = held.get(tenantId) ?? 0;
      if (holds >= share) await place(tenantId);
      else held.set(tenantId, holds + 1);
      const transaction = { isOpen: true };
      try {
        return await within.run(transaction, work);
      } finally {
        transaction.isOpen = false;
        release(tenantId);
      }
    },
  };
}

function tooBusy(tenantId: string): AppError {
  const message = "this tenant asks the database for more than its share: try again in a moment";
  return new AppError("unavailable", message, { tenant: tenantId });
}
