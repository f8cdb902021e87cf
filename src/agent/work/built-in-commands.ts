import type { LogLevel } from "../../protocol/index.ts";
import { type CommandHandler, RESTARTING } from "./commands.ts";

export interface BuiltInDeps {
  now(): number;
  /** For so many seconds, or for good. */
  setLogLevel(level: LogLevel, forSeconds: number | undefined): Promise<void>;
  diagnostics(): Promise<Record<string, unknown>>;
  /** Restarts the machine on behalf of a command. */
  reboot(commandId: string): Promise<void>;
  /** Renews the certificate now; rejects with the step that failed. */
  rotate(): Promise<{ serial: string; notAfter: string }>;
  /** Takes a signed configuration over; rejects with what is wrong with it. */
  applyConfiguration(envelope: unknown): Promise<{ version: number }>;
}

const LEVELS: readonly string[] = ["trace", "debug", "info", "warn", "error", "fatal"];

/** A level that is meant for longer is meant for good. */
const MAX_LEVEL_SECONDS = 7 * 86_400;

function isDuration(value: unknown): value is number {
  return (
    Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_LEVEL_SECONDS
  );
}

/** Commands that every agent knows. */
export function builtInCommands(deps: BuiltInDeps): Record<string, CommandHandler> {
  return {
    ping: async () => ({ pong: true, ts: deps.now() }),
    "set-log-level": async (args) => {
      const { level, forSeconds } = (args ?? {}) as { level?: unknown; forSeconds?: unknown };
      if (typeof level !== "string" || !LEVELS.includes(level)) {
        throw new Error(`level must be one of ${LEVELS.join(", ")}`);
      }
      if (forSeconds !== undefined && !isDuration(forSeconds)) {
        throw new Error(`forSeconds must be a whole number from 1 to ${MAX_LEVEL_SECONDS}`);
      }
      await deps.setLogLevel(level as LogLevel, forSeconds);
      return { level, ...(forSeconds === undefined ? {} : { forSeconds }) };
    },
    "collect-diagnostics": () => deps.diagnostics(),
    "rotate-certificate": () => deps.rotate(),
    "apply-configuration": (args) =>
      deps.applyConfiguration((args as { configuration?: unknown } | null)?.configuration),
    reboot: async (_args, context) => {
      await deps.reboot(context.id);
      return RESTARTING;
    },
  };
}
