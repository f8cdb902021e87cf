import type { CommandBatch, Command as DeviceCommand } from "../client/index.ts";
import { ago, facts, table } from "./output.ts";
import { printable } from "./printable.ts";
import { countsText } from "./rollout-view.ts";

const FINAL: readonly string[] = [
  "succeeded",
  "failed",
  "rejected",
  "expired",
  "timed-out",
  "replaced",
  "cancelled",
];
const BAR_WIDTH = 30;

export function isFinal(status: string): boolean {
  return FINAL.includes(status);
}

export function commandTable(items: DeviceCommand[]): string {
  return table(
    ["COMMAND", "NAME", "DEVICE", "STATUS", "SENT", "OUTPUT"],
    items.map((item) => [
      item.id,
      item.name,
      item.deviceId,
      item.attempt > 1 ? `${item.status} (attempt ${item.attempt})` : item.status,
      ago(item.createdAt),
      item.error ?? outcomeOf(item),
    ]),
  );
}

function outcomeOf(item: DeviceCommand): string {
  if (item.replacedBy) return `by ${item.replacedBy}`;
  if (item.status === "expired") {
    return item.deliveredAt ? "expired before it was finished" : "expired before it was delivered";
  }
  return shorten(item.output);
}

/** Everything about one command. */
export function describeCommand(item: DeviceCommand): string {
  const trace = item.traceparent?.split("-")[1];
  const isRunning = item.status === "running" && item.progress !== null;
  const progress = isRunning ? `, ${Math.round((item.progress ?? 0) * 100)} %` : "";
  const parts = [
    facts([
      ["command", item.id],
      ["name", item.name],
      ["device", item.deviceId],
      ["status", `${item.status}${item.error ? `: ${item.error}` : ""}${progress}`],
      ["attempt", attemptText(item)],
      ["batch", item.batchId],
      ["priority", item.priority],
      ["key", item.coalesceKey],
      ["arguments", JSON.stringify(item.args)],
      ["sent", `${ago(item.createdAt)} by ${item.createdBy}`],
      ["expires", item.expiresAt],
      ["deadlines", deadlinesText(item)],
      ["delivered", ago(item.deliveredAt)],
      ["accepted", ago(item.acceptedAt)],
      ["finished", ago(item.finishedAt)],
      ["attempt before", item.retryOf],
      ["next attempt", item.retriedBy],
      ["replaced by", item.replacedBy],
      ["trace", trace],
    ]),
  ];
  if (item.stream) {
    const cut = item.streamCut ? " (its end)" : "";
    parts.push(`written while it ran${cut}:\n${printable(item.stream)}\n`);
  }
  if (item.output !== null && item.output !== undefined) {
    parts.push(`output:\n${printable(JSON.stringify(item.output, null, 2))}\n`);
  }
  if (item.lateResult !== null && item.lateResult !== undefined) {
    parts.push(`said after its end:\n${printable(JSON.stringify(item.lateResult, null, 2))}\n`);
  }
  return parts.join("\n");
}

function attemptText({ attempt, maxAttempts, retryDelaySeconds, retryOn }: DeviceCommand): string {
  const text = `${attempt} of ${maxAttempts}`;
  if (maxAttempts === 1) return text;
  return `${text}, another ${retryDelaySeconds} s after it ${retryOn.join(" or ")}`;
}

function deadlinesText({ deadlines }: DeviceCommand): string | null {
  const parts = Object.entries({
    delivered: deadlines.deliveredSeconds,
    accepted: deadlines.acceptedSeconds,
    finished: deadlines.runningSeconds,
  }).flatMap(([phase, seconds]) => (seconds === null ? [] : [`${phase} within ${seconds} s`]));
  return parts.length === 0 ? null : parts.join(", ");
}

export function batchTable(items: CommandBatch[]): string {
  return table(
    ["BATCH", "NAME", "FOR", "STATE", "DONE", "COUNTS", "SENT"],
    items.map((batch) => [
      batch.id,
      batch.name,
      targetText(batch),
      batch.state,
      `${ended(batch)}/${batch.devices}`,
      countsText(batch.counts),
      ago(batch.createdAt),
    ]),
  );
}

/** A batch with its bar and its counts. */
export function describeBatch(batch: CommandBatch): string {
  const done = ended(batch);
  const share = batch.devices === 0 ? 1 : done / batch.devices;
  const filled = Math.round(share * BAR_WIDTH);
  const bar = "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
  const shown = facts([
    ["batch", batch.id],
    ["name", batch.name],
    ["for", targetText(batch)],
    ["state", batch.state],
    ["pace", paceText(batch)],
    ["sent", `${ago(batch.createdAt)} by ${batch.createdBy}`],
  ]);
  const counts = table(
    ["STATE", "DEVICES"],
    Object.entries(batch.counts).filter(([, count]) => count > 0),
  );
  return `${shown}\n${bar} ${done}/${batch.devices}\n\n${counts}`;
}

/** Devices whose command has come to its end. */
export function ended({ counts }: CommandBatch): number {
  return FINAL.reduce((sum, status) => sum + (counts[status as keyof typeof counts] ?? 0), 0);
}

function targetText({ targetKind, target, devices }: CommandBatch): string {
  if (targetKind === "devices") return `${devices} devices`;
  return targetKind === "group" ? `group ${target}` : target || "every device";
}

function paceText({ concurrency, batchSize, intervalSeconds }: CommandBatch): string {
  const parts = [
    ...(concurrency === null ? [] : [`${concurrency} at once`]),
    ...(batchSize === null ? [] : [`${batchSize} every ${intervalSeconds} s`]),
  ];
  return parts.length === 0 ? "all at once" : parts.join(", ");
}

function shorten(output: unknown): string {
  const text = output === null || output === undefined ? "" : JSON.stringify(output);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
