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
import { effectOfResult } from "./lifecycle.ts";
import { storableResult } from "./new-command.ts";

/** Takes a device's report about its command; see `Commands.recordResult`. */
export async function recordReport(
  tx: Tx,
  peer: DeviceIdentity,
  commandId: string,
  result: CommandResult,
  nowMs: number,
): Promise<void> {
  const stored = storableResult(result);
  const row = isUuid(commandId) ? await store.lockCommand(tx, commandId, peer.deviceId) : undefined;
  if (!row) unknownCommand(commandId);
  const status = result.status as ReportedStatus;
  const effect = effectOfResult(row.status, status);
  const now = new Date(nowMs);
  if (effect === "record-late") {
    await store.setLateResult(tx, commandId, storableJson(result), now);
    return;
  }
  if (effect === "ignore") return;
  const { stream, progress = null } = result;
  await store.setResult(tx, row, {
    status,
    ...stored,
    progress,
    now,
    finished: effect === "finish",
  });
  if (stream) {
    const text = storableText(stream.text);
    await store.appendStream(tx, commandId, { seq: stream.seq, text });
  }
  if (effect === "finish") await insertAttempts(tx, [{ row, status }], nowMs);
}
