import type { CommandMessage } from "../protocol/index.ts";
import type { NewCommand } from "./types.ts";

/** Where a command stands in the queue of its device. */
export interface QueuePlace {
  seq: number;
  /** The last that waited for delivery before it; null where none did. */
  ahead: number | null;
}

/**
 * A command that has just been queued, as the bus brings it to the gateway that holds the device:
 * so that a delivery need not wait for a look into the queue. The row is the truth; who may not
 * send it at once, or hears of it too late, looks there.
 */
export interface FreshCommand extends QueuePlace {
  command: CommandMessage;
  /** Milliseconds since the epoch; from then on the row must be asked. */
  until: number;
}

/** Larger arguments are read from the queue, and not carried through every process. */
const MAX_ARGS_LENGTH = 16 * 1024;
/** A row that was cancelled or replaced meanwhile is news by then. */
const FRESH_MS = 2_000;

/** What the bus is told of a new command; nothing of it where it must be read from the queue. */
export function freshCommand(
  { id, args, traceparent }: { id: string; args: string; traceparent: string | null },
  { name, ttlSeconds, deadlines = {} }: NewCommand,
  place: QueuePlace,
  now: number,
): FreshCommand | undefined {
  if (args.length > MAX_ARGS_LENGTH) return undefined;
  const { acceptedSeconds, runningSeconds, deliveredSeconds } = deadlines;
  const expiresAt = now + ttlSeconds * 1_000;
  return {
    ...place,
    command: {
      id,
      name,
      args: JSON.parse(args),
      expiresAt,
      traceparent,
      ...(acceptedSeconds === undefined ? {} : { acceptedSeconds }),
      ...(runningSeconds === undefined ? {} : { runningSeconds }),
    },
    until: Math.min(expiresAt, now + FRESH_MS, now + (deliveredSeconds ?? ttlSeconds) * 1_000),
  };
}

/** What a message of the bus brings; undefined where it only says that something waits. */
export function readFreshCommand(message: Record<string, unknown>): FreshCommand | undefined {
  return (message as { fresh?: FreshCommand }).fresh;
}
