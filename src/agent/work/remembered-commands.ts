import type { RememberedCommand } from "../agent-state.ts";

/** Commands that are being carried out, or whose result is not acknowledged. */
export const MAX_OPEN_COMMANDS = 100;
/** Ended ones. A gateway has at most 16 unacknowledged, so no older one can come again. */
const MAX_ENDED = 256;
/** What is kept of a result that the platform has, in case that it asks once more. */
const MAX_RESULT_LENGTH = 1_024;

export function isOpenCommand(command: RememberedCommand): boolean {
  return command.result === null || !command.delivered;
}

/**
 * What stays on disk so that no id is carried out twice: everything open, and of the rest what has
 * not expired. An expired id needs no memory, because it is refused for that; `trustedNow` never
 * runs back, so it stays expired.
 */
export function rememberedCommands(
  commands: readonly RememberedCommand[],
  trustedNow: number,
): RememberedCommand[] {
  const ended = commands.filter(
    (command) => !isOpenCommand(command) && command.expiresAt > trustedNow,
  );
  const kept = new Set(ended.slice(-MAX_ENDED));
  return commands.flatMap((command) => {
    if (isOpenCommand(command)) return [command];
    return kept.has(command) ? [shortened(command)] : [];
  });
}

function shortened(command: RememberedCommand): RememberedCommand {
  const { result } = command;
  if (!result || JSON.stringify(result).length <= MAX_RESULT_LENGTH) return command;
  const error = result.error?.slice(0, MAX_RESULT_LENGTH);
  return {
    ...command,
    result: { status: result.status, ...(error === undefined ? {} : { error }) },
  };
}
