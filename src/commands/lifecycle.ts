import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import type { CommandResult } from "../protocol/index.ts";
import type { CommandStatus, NewCommand } from "./types.ts";

/** Devices that one call may address. */
export const MAX_TARGETS = 10_000;
export const MAX_TTL_SECONDS = 30 * 86_400;
const COMMAND_NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const ERROR_LENGTH = 4_096;

/** How far along a command is; a report that would take it back is an echo of an old one. */
const PROGRESS: Record<CommandStatus, number> = {
  queued: 0,
  delivered: 1,
  accepted: 2,
  running: 3,
  succeeded: 4,
  failed: 4,
  rejected: 4,
  expired: 4,
  cancelled: 4,
};
const FINAL = 4;

export function isFinalStatus(status: CommandStatus): boolean {
  return PROGRESS[status] === FINAL;
}

/** What a device's report does to its command. */
export type ResultEffect = "advance" | "finish" | "record-late" | "ignore";

/**
 * The effect of a report on a command in state `current`. Reports may come twice and in any order:
 * only progress counts. After an end that the platform has set, the report is kept and no more.
 */
export function effectOfResult(current: CommandStatus, reported: CommandStatus): ResultEffect {
  if (current === "expired" || current === "cancelled") return "record-late";
  if (PROGRESS[reported] <= PROGRESS[current]) return "ignore";
  return isFinalStatus(reported) ? "finish" : "advance";
}

/** Throws `invalid-request` naming the field; returns the arguments as they are stored. */
export function checkNewCommand(command: NewCommand): string {
  if ((command.deviceIds === undefined) === (command.query === undefined)) {
    throw invalid("deviceIds", "or query: exactly one of them says who is meant");
  }
  if (command.deviceIds && command.deviceIds.length === 0) throw invalid("deviceIds", "is empty");
  if (command.deviceIds && command.deviceIds.length > MAX_TARGETS) {
    throw invalid("deviceIds", `holds more than ${MAX_TARGETS} devices`);
  }
  if (!COMMAND_NAME.test(command.name)) throw invalid("name", "is no command name");
  const { ttlSeconds } = command;
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
    throw invalid("ttlSeconds", `must be a whole number from 1 to ${MAX_TTL_SECONDS}`);
  }
  const args = storableJson(command.args ?? {});
  if (Buffer.byteLength(args) > LIMITS.commandArgsBytes) {
    throw new AppError("payload-too-large", "the arguments are too large", {
      limit: LIMITS.commandArgsBytes,
    });
  }
  return args;
}

/** A result as it is stored; throws `message-invalid` when it is too large. */
export function storableResult(result: CommandResult): {
  output: string | null;
  error: string | null;
} {
  const output = result.output === undefined ? null : storableJson(result.output);
  if (output !== null && Buffer.byteLength(output) > LIMITS.commandResultBytes) {
    throw new AppError("message-invalid", "the command's output is too large", {
      limit: LIMITS.commandResultBytes,
    });
  }
  const error = result.error === undefined ? null : storableText(result.error, ERROR_LENGTH);
  return { output, error };
}

function invalid(field: string, why: string): AppError {
  return new AppError("invalid-request", `${field} ${why}`, { field });
}
