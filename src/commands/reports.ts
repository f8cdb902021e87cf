import type { Tx } from "../db/index.ts";
import { isUuid } from "../kernel/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import type {
  CommandResult,
  DeviceIdentity,
  CommandStatus as ReportedStatus,
} from "../protocol/index.ts";
import { insertAttempts } from "./attempts-store.ts";
import { unknownCommand } from "./commands-errors.ts";
import * as store from "./commands-store.ts";
import { effectOfResult, isFinalStatus } from "./lifecycle.ts";
import { storableResult } from "./new-command.ts";
import type { CommandStatus } from "./types.ts";

/** A device's report about its command, in a form that the store takes. */
export interface Report {
  commandId: string;
  deviceId: string;
  status: ReportedStatus;
  output: string | null;
  error: string | null;
  progress: number | null;
  stream: { seq: number; text: string } | null;
  /** The whole of it, as JSON text, for what comes after an end that the platform has set. */
  whole(): string;
}

/** Throws `message-invalid`, or `not-found` for what is no command's id. */
export function readReport(peer: DeviceIdentity, commandId: string, result: CommandResult): Report {
  if (!isUuid(commandId)) unknownCommand(commandId);
  const { stream, progress = null } = result;
  return {
    commandId: commandId.toLowerCase(),
    deviceId: peer.deviceId,
    status: result.status as ReportedStatus,
    ...storableResult(result),
    progress,
    stream: stream ? { seq: stream.seq, text: storableText(stream.text) } : null,
    whole: () => storableJson(result),
  };
}

/**
 * Takes reports of a tenant's devices in their order, see `Commands.recordResult`: one look and one
 * change for all of them. Answers for each whether it was about a command of its device.
 */
export async function recordReports(
  tx: Tx,
  reports: readonly Report[],
  nowMs: number,
): Promise<boolean[]> {
  const now = new Date(nowMs);
  const ids = [...new Set(reports.map(({ commandId }) => commandId))];
  const rows = await store.lockReported(tx, ids);
  const states = new Map<string, store.ReportedState>();
  const ended: { row: store.ReportedRow; status: CommandStatus }[] = [];
  const further: (() => Promise<void>)[] = [];
  const known = reports.map((report) => {
    const row = rows.get(report.commandId);
    if (row?.device_id !== report.deviceId) return false;
    const effect = effectOfResult(row.status, report.status);
    if (effect === "record-late") {
      further.push(() => store.setLateResult(tx, row.id, report.whole(), now));
    } else if (effect !== "ignore") {
      states.set(row.id, advance(row, report, now));
      const { stream } = report;
      if (stream) further.push(() => store.appendStream(tx, row.id, stream));
      if (effect === "finish") ended.push({ row, status: row.status });
    }
    return true;
  });
  await store.setReported(tx, [...states.values()]);
  for (const one of further) await one();
  await insertAttempts(tx, ended, nowMs);
  return known;
}

/** Brings the row where the report says that it is; the next report about it finds it there. */
function advance(row: store.ReportedRow, report: Report, now: Date): store.ReportedState {
  row.status = report.status;
  row.progress = report.progress ?? row.progress;
  // A result proves the delivery, even where the acknowledgement was lost.
  row.delivered_at ??= now;
  row.accepted_at ??= now;
  const isFinished = isFinalStatus(row.status);
  const runsUntil =
    row.run_seconds === null ? null : new Date(row.accepted_at.getTime() + row.run_seconds * 1_000);
  return {
    id: row.id,
    status: row.status,
    output: report.output,
    error: report.error,
    progress: row.progress,
    deliveredAt: row.delivered_at,
    acceptedAt: row.accepted_at,
    deadlineAt: isFinished ? null : runsUntil,
    finishedAt: isFinished ? now : null,
  };
}
