/** How a device of a campaign stands. */
export type CampaignDeviceState =
  | "waiting"
  | "scheduled"
  | "rotating"
  | "succeeded"
  | "failed"
  | "skipped"
  | "cancelled";

/** What is known of a device that was told to rotate. Times are milliseconds since the epoch. */
export interface RotationFacts {
  sentAt: number;
  /** Whether a certificate that was issued since then is in use for good. */
  renewed: boolean;
  command: { status: string; error: string | null } | null;
  /** The last step that failed since then. */
  failure: { step: string; message: string } | null;
  /** The last step that is known since then. */
  step: string | null;
}

export type RotationVerdict =
  | { state: "rotating" }
  | { state: "succeeded" }
  | { state: "failed"; step: string; error: string };

/** Ends of a command after which nothing more is to be expected of it. */
const ENDS: Readonly<Record<string, string>> = {
  failed: "the device could not carry it out",
  rejected: "the device does not know how, or refused",
  expired: "the device was not reached in time",
  cancelled: "the command was cancelled",
};

/**
 * Whether a device's rotation is done, by what the registry knows: a new certificate in use is a
 * success whatever the device says, and what it says is none without one.
 */
export function judgeRotation(
  facts: RotationFacts,
  deadlineMs: number,
  nowMs: number,
): RotationVerdict {
  if (facts.renewed) return { state: "succeeded" };
  const { command, failure, step } = facts;
  const at = failure?.step ?? step ?? "command";
  const end = command === null ? "the command is gone" : ENDS[command.status];
  if (end !== undefined) {
    const error = failure?.message ?? command?.error ?? end;
    return { state: "failed", step: at, error };
  }
  if (nowMs < facts.sentAt + deadlineMs) return { state: "rotating" };
  return { state: "failed", step: at, error: failure?.message ?? "not done by the deadline" };
}

/** When each of `count` devices is to be told, scattered over the jitter. */
export function dueTimes(
  count: number,
  jitterSeconds: number,
  nowMs: number,
  random: { next(): number },
): number[] {
  return Array.from({ length: count }, () =>
    Math.floor(nowMs + random.next() * jitterSeconds * 1_000),
  );
}

/** Devices that may be taken up now, so that no more than `concurrency` rotate at a time. */
export function freeSlots(concurrency: number, underWay: number): number {
  return Math.max(0, concurrency - underWay);
}
