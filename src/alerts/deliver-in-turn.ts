import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import { type DeliveryOutcome, type DeliveryTable, releaseDeliveries } from "./delivery-log.ts";

/** What one turn of a tenant takes, over all its receivers. */
export const DUE_AT_ONCE = 50;
/** What it takes for one of them. */
export const DUE_PER_RECEIVER = 10;
/**
 * From when on in a turn no second message is begun: what comes up meanwhile for others would wait for the
 * last one of a receiver that takes its time.
 */
const TURN_MS = 5_000;
/** The longest attempt of all, a letter's. */
export const MAX_ATTEMPT_MS = 60_000;
/** Longer than a turn and the attempt that it ends with: a message whose worker died comes up after it. */
export const LEASE_MS = 120_000;
/** Whoever begins so late would be at it when the lease ends. */
const TOO_LATE_MS = LEASE_MS - MAX_ATTEMPT_MS - 10_000;
/** Until the next of a receiver is tried where the one before it was given up. */
const AFTER_SILENCE_MS = 30_000;

export interface Turn<Message extends { id: string }> {
  table: DeliveryTable;
  /** When the messages were claimed, and until when they are. */
  claimed: { at: number; lease: Date };
  /** Each receiver's messages in their order: an end must not arrive before its beginning. */
  receivers: Iterable<readonly Message[]>;
  attempt(message: Message): Promise<DeliveryOutcome>;
}

/**
 * Sends each receiver its messages, one after the other, and all receivers side by side. What was claimed and
 * not begun is given back: where nobody answers, since each message would take as long to fail; where
 * answers take long, since a turn has an end, and leases must not run out before it.
 */
export async function deliverInTurn<Message extends { id: string }>(
  { db, clock }: { db: Database; clock: Clock },
  tenantId: string,
  { table, claimed, receivers, attempt }: Turn<Message>,
): Promise<void> {
  const results = await Promise.allSettled([...receivers].map(tell));
  const failed = results.filter((result) => result.status === "rejected");
  if (failed.length > 0) throw new AggregateError(failed.map(({ reason }) => reason));

  async function tell(messages: readonly Message[]): Promise<void> {
    for (const [index, message] of messages.entries()) {
      const spentMs = clock.now() - claimed.at;
      if (spentMs >= (index === 0 ? TOO_LATE_MS : TURN_MS)) {
        return giveBack(messages.slice(index), clock.now());
      }
      const { lastStatus, lastError, nextAttemptAt } = await attempt(message);
      if (lastError === null || lastStatus !== null) continue;
      const dueAt = nextAttemptAt?.getTime() ?? clock.now() + AFTER_SILENCE_MS;
      return giveBack(messages.slice(index + 1), dueAt);
    }
  }

  async function giveBack(messages: readonly Message[], dueAt: number): Promise<void> {
    if (messages.length === 0) return;
    const mine = { ids: messages.map(({ id }) => id), lease: claimed.lease };
    await db.tenant(tenantId, (tx) =>
      releaseDeliveries(tx, table, tenantId, mine, new Date(dueAt)),
    );
  }
}
