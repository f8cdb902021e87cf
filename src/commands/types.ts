import type { CommandMessage, CommandStatus as ReportedStatus } from "../protocol/index.ts";

/**
 * From `queued` by way of `delivered` to the device's own words, or to an end that we set. Before
 * it stands `waiting`: for the pace of its batch, or for the delay before another attempt.
 */
export type CommandStatus =
  | "waiting"
  | "queued"
  | "delivered"
  | ReportedStatus
  | "expired"
  | "timed-out"
  | "replaced"
  | "cancelled";

/** A command as people see it; times are ISO 8601. */
export interface CommandView {
  id: string;
  deviceId: string;
  batchId: string | null;
  name: string;
  args: unknown;
  status: CommandStatus;
  priority: number;
  coalesceKey: string | null;
  /** 1 for the first; each attempt is a command of its own. */
  attempt: number;
  maxAttempts: number;
  retryDelaySeconds: number;
  retryOn: readonly string[];
  /** How long each phase may take, in seconds; null where it may take until the expiry. */
  deadlines: { [Phase in keyof Deadlines]-?: number | null };
  retryOf: string | null;
  retriedBy: string | null;
  replacedBy: string | null;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
  deliveredAt: string | null;
  acceptedAt: string | null;
  finishedAt: string | null;
  /** 0 to 1, as the device says. */
  progress: number | null;
  output: unknown;
  error: string | null;
  /** The end of what the device has written meanwhile; null in lists. */
  stream: string | null;
  streamCut: boolean;
  /** What the device said after the end: it changes nothing. */
  lateResult: unknown;
  traceparent: string | null;
}

/** How long each phase may take, in seconds. */
export interface Deadlines {
  /** From the queue to the device's acknowledgement. */
  deliveredSeconds?: number;
  /** From there to the device's first word about it. */
  acceptedSeconds?: number;
  /** From there to its last. */
  runningSeconds?: number;
}

export type RetryCause = "failed" | "timed-out";

export interface RetryPolicy {
  /** The first one counts. */
  attempts: number;
  delaySeconds: number;
  on: readonly RetryCause[];
}

/** How quickly a batch goes out; each bound holds by itself. */
export interface Pace {
  /** Commands that may be under way at once. */
  concurrency?: number;
  /** Commands that are released together, `intervalSeconds` apart. */
  batchSize?: number;
  intervalSeconds?: number;
}

/** For whom: devices by id, a group, or all that a fleet query finds; one of them. */
export interface NewCommand {
  deviceIds?: readonly string[];
  query?: string;
  group?: string;
  name: string;
  args: unknown;
  ttlSeconds: number;
  /** -100 to 100; higher is delivered first. */
  priority?: number;
  /** Takes the place of the device's undelivered commands of the same key. */
  coalesceKey?: string;
  deadlines?: Deadlines;
  retry?: RetryPolicy;
  pace?: Pace;
}

/** A command as the gateway gets it: what the device is sent, and its place in the queue. */
export interface QueuedCommand extends CommandMessage {
  seq: number;
}

export interface CommandPage {
  items: CommandView[];
  nextCursor: string | null;
}

/** A command that has come to an end by itself. */
export interface EndedCommand {
  id: string;
  deviceId: string;
  name: string;
}

export type BatchState = "running" | "paused" | "cancelled" | "done";

/** One order to many devices, and how far it has come. */
export interface BatchView {
  id: string;
  name: string;
  targetKind: "devices" | "group" | "query";
  target: string;
  state: BatchState;
  devices: number;
  /** Devices by the state of their last attempt. */
  counts: Record<CommandStatus, number>;
  concurrency: number | null;
  batchSize: number | null;
  intervalSeconds: number | null;
  ttlSeconds: number;
  createdAt: string;
  createdBy: string;
  traceparent: string | null;
}

export interface BatchPage {
  items: BatchView[];
  nextCursor: string | null;
}
