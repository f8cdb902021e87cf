import { AppError, LIMITS } from "../kernel/index.ts";
import { storableJson, storableText } from "../kernel/storable.ts";
import type { CommandResult } from "../protocol/index.ts";
import { RELEASE_CHUNK } from "./pacing.ts";
import type { NewCommand } from "./types.ts";

/** Devices that one call may address. */
export const MAX_TARGETS = 50_000;
export const MAX_TTL_SECONDS = 30 * 86_400;
const MAX_ATTEMPTS = 10;
const MAX_RETRY_SECONDS = 86_400;
const MAX_PRIORITY = 100;
const COMMAND_NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
const COALESCE_KEY = /^[\x21-\x7e]{1,128}$/;
const ERROR_LENGTH = 4_096;

/** Throws `invalid-request` naming the field; returns the arguments as they are stored. */
export function checkNewCommand(command: NewCommand): string {
  const { deviceIds, query, group } = command;
  if ([deviceIds, query, group].filter((target) => target !== undefined).length !== 1) {
    throw invalid("deviceIds", "or query or group: exactly one of them says who is meant");
  }
  if (deviceIds?.length === 0) throw invalid("deviceIds", "is empty");
  if (deviceIds && deviceIds.length > MAX_TARGETS) {
    throw invalid("deviceIds", `holds more than ${MAX_TARGETS} devices`);
  }
  if (!COMMAND_NAME.test(command.name)) throw invalid("name", "is no command name");
  checkNumber("ttlSeconds", command.ttlSeconds, 1, MAX_TTL_SECONDS);
  checkNumber("priority", command.priority, -MAX_PRIORITY, MAX_PRIORITY);
  if (command.coalesceKey !== undefined && !COALESCE_KEY.test(command.coalesceKey)) {
    throw invalid("coalesceKey", "is no key");
  }
  checkPolicies(command);
  const args = storableJson(command.args ?? {});
  if (Buffer.byteLength(args) > LIMITS.commandArgsBytes) {
    throw new AppError("payload-too-large", "the arguments are too large", {
      limit: LIMITS.commandArgsBytes,
    });
  }
  return args;
}

function checkPolicies({ deadlines = {}, retry, pace = {} }: NewCommand): void {
  for (const [name, seconds] of Object.entries(deadlines)) {
    checkNumber(`deadlines.${name}`, seconds, 1, MAX_TTL_SECONDS);
  }
  checkNumber("retry.attempts", retry?.attempts, 1, MAX_ATTEMPTS);
  checkNumber("retry.delaySeconds", retry?.delaySeconds, 0, MAX_RETRY_SECONDS);
  checkNumber("pace.concurrency", pace.concurrency, 1, MAX_TARGETS);
  checkNumber("pace.batchSize", pace.batchSize, 1, RELEASE_CHUNK);
  checkNumber("pace.intervalSeconds", pace.intervalSeconds, 1, 86_400);
  if ((pace.batchSize === undefined) !== (pace.intervalSeconds === undefined)) {
    throw invalid("pace.batchSize", "and pace.intervalSeconds belong together");
  }
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

function checkNumber(field: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined) return;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalid(field, `must be a whole number from ${least} to ${most}`);
  }
}

function invalid(field: string, why: string): AppError {
  return new AppError("invalid-request", `${field} ${why}`, { field });
}
