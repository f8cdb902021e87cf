import type { LogLevel } from "../../protocol/index.ts";
import { type CommandHandler, RESTARTING } from "./commands.ts";

export interface BuiltInDeps {
  now(): number;
  setLogLevel(level: LogLevel): Promise<void>;
  diagnostics(): Promise<Record<string, unknown>>;
  /** Restarts the machine on behalf of a command. */
  reboot(commandId: string): Promise<void>;
  /** Renews the certificate now; rejects with the step that failed. */
  rotate(): Promise<{ serial: string; notAfter: string }>;
  /** Takes a signed configuration over; rejects with what is wrong with it. */
  applyConfiguration(envelope: unknown): Promise<{ version: number }>;
}

const LEVELS: readonly string[] = ["trace", "debug", "info", "warn", "error", "fatal"];

/** Commands that every agent knows. */
export function builtInCommands(deps: BuiltInDeps): Record<string, CommandHandler> {
  return {
    ping: async () => ({ pong: true, ts: deps.now() }),
    "set-log-level": async (args) => {
      const level = (args as { level?: unknown } | null)?.level;
      if (typeof level !== "string" || !LEVELS.includes(level)) {
        throw new Error(`level must be one of ${LEVELS.join(", ")}`);
      }
      await deps.setLogLevel(level as LogLevel);
      return { level };
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
