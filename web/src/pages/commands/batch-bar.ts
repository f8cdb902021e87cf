import type { CommandBatchView, CommandStatus } from "../../api/index.ts";
import { humanize } from "../../components/format.ts";
import type { BarPart } from "../../components/stacked-bar.tsx";
import { commandTone } from "../../theme/tones.ts";

/** Ends first, then the steps on the way to them. */
export const COMMAND_STATES: readonly CommandStatus[] = [
  "succeeded",
  "failed",
  "rejected",
  "timed-out",
  "expired",
  "replaced",
  "cancelled",
  "running",
  "accepted",
  "delivered",
  "queued",
  "waiting",
];

/** States of the same tone next to each other differ in their fullness. */
const OPACITY: Partial<Record<CommandStatus, number>> = {
  rejected: 0.7,
  expired: 0.7,
  accepted: 0.75,
  delivered: 0.5,
  cancelled: 0.8,
  queued: 0.6,
  waiting: 0.35,
};

export function barOfBatch({ counts }: CommandBatchView): BarPart[] {
  return COMMAND_STATES.filter((state) => counts[state] > 0).map((state) => ({
    label: humanize(state),
    value: counts[state],
    tone: commandTone(state),
    opacity: OPACITY[state] ?? 1,
  }));
}

export function targetText({ targetKind, target, devices }: CommandBatchView): string {
  if (targetKind === "devices") return `${devices} devices by name`;
  return targetKind === "group" ? `the group ${target}` : target || "every device";
}

export function paceText(batch: CommandBatchView): string {
  const parts = [
    batch.concurrency !== null && `${batch.concurrency} at once`,
    batch.batchSize !== null && `${batch.batchSize} every ${batch.intervalSeconds} s`,
  ].filter(Boolean);
  return parts.join(", ") || "all at once";
}
