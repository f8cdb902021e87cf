import { type Clock, isAppError, LIMITS, messageOf } from "../kernel/index.ts";
import {
  CommandMessage,
  type CommandResult,
  checkMessage,
  type LogLevel,
} from "../protocol/index.ts";
import type { RememberedCommand, StateStore } from "./agent-state.ts";
import type { PublishOptions } from "./ports.ts";
import { PublishRefused } from "./publish-refused.ts";

/** What a handler may use. */
export interface CommandContext {
  id: string;
  traceparent: string | null;
  log(level: LogLevel, message: string): void;
}

/**
 * Carries a command out. What it returns becomes the output; an error becomes the failure. A
 * handler that restarts the machine returns `"restarting"`: the result follows the boot.
 */
export type CommandHandler = (args: unknown, context: CommandContext) => Promise<unknown>;

export const RESTARTING = Symbol("restarting");

export interface CommandsDeps {
  clock: Clock;
  state: StateStore;
  /** Name -> handler; a name that is not here is refused. */
  handlers: Readonly<Record<string, CommandHandler>>;
  allowed: readonly string[];
  bootId: string;
  life: AbortSignal;
  publish(topic: string, payload: string, options?: PublishOptions): Promise<void>;
  log(level: LogLevel, message: string, traceparent: string | null): void;
}

const MAX_ID_LENGTH = 64;

/** Takes commands, each once, refuses late and unknown ones, and brings the results home. */
export class Commands {
  readonly #deps: CommandsDeps;
  #reporting: Promise<void> = Promise.resolve();

  constructor(deps: CommandsDeps) {
    this.#deps = deps;
  }

  /** After a boot: commands that the restart ended get their result. */
  async start(restartedBy: string | null): Promise<void> {
    const { state, bootId } = this.#deps;
    const open = state.current.commands.filter((command) => command.result === null);
    for (const command of open) {
      const result: CommandResult =
        command.id === restartedBy
          ? { status: "succeeded", output: { bootId } }
          : { status: "failed", error: "the device restarted while it was carried out" };
      await this.#remember({ ...command, result });
    }
  }

  /** Takes a command; resolves when it is on disk. It is carried out afterwards. */
  async receive(message: unknown): Promise<void> {
    const { clock, state, log } = this.#deps;
    try {
      checkMessage(CommandMessage, message);
    } catch (error) {
      if (!isAppError(error, "message-invalid")) throw error;
      log("warn", `a command was malformed: ${error.message}`, null);
      return;
    }
    const { id, name, args, expiresAt, traceparent } = message as CommandMessage;
    if (id.length > MAX_ID_LENGTH || /[/+#]/.test(id)) {
      log("warn", "a command had an id that is none", null);
      return;
    }
    const known = state.current.commands.find((command) => command.id === id);
    if (known) {
      await this.#remember({ ...known, delivered: false });
      this.connected();
      return;
    }
    const command = { id, name, expiresAt, traceparent, result: null, delivered: false };
    const refusal = this.#refusal(name, expiresAt, clock.now());
    if (refusal) {
      log("warn", `command ${name} refused: ${refusal}`, traceparent);
      await this.#remember({ ...command, result: { status: "rejected", error: refusal } });
      this.connected();
      return;
    }
    await this.#remember(command);
    this.#carryOut(command, args).catch((error) => {
      if (this.#deps.life.aborted) return;
      log("error", `command ${name}: ${messageOf(error)}`, traceparent);
    });
  }

  /** Sends the results that the platform has not acknowledged. */
  connected(): void {
    this.#reporting = this.#reporting
      .then(() => this.#report())
      .catch((error) => {
        this.#deps.log("debug", `a command's result waits: ${messageOf(error)}`, null);
      });
  }

  #refusal(name: string, expiresAt: number, now: number): string | undefined {
    if (expiresAt <= now) return "expired";
    if (!this.#deps.allowed.includes(name)) return `this device does not allow "${name}"`;
    if (!Object.hasOwn(this.#deps.handlers, name)) return `this device has no command "${name}"`;
    return undefined;
  }

  async #carryOut(command: RememberedCommand, args: unknown): Promise<void> {
    const { handlers, log } = this.#deps;
    const { name, traceparent } = command;
    const handler = handlers[name] as CommandHandler;
    log("info", `command ${name} begins`, traceparent);
    let result: CommandResult;
    try {
      const output = await handler(args, {
        id: command.id,
        traceparent,
        log: (level, message) => log(level, message, traceparent),
      });
      if (output === RESTARTING) return;
      result = { status: "succeeded", ...boundedOutput(output) };
    } catch (error) {
      result = { status: "failed", error: messageOf(error).slice(0, 4096) };
    }
    log("info", `command ${name} ${result.status}`, traceparent);
    await this.#remember({ ...command, result });
    this.connected();
  }

  async #remember(command: RememberedCommand): Promise<void> {
    await this.#deps.state.update((state) => {
      const others = state.commands.filter((other) => other.id !== command.id);
      return { ...state, commands: [...others, command] };
    });
  }

  async #report(): Promise<void> {
    const { state, publish, log } = this.#deps;
    for (const command of state.current.commands) {
      if (!command.result || command.delivered) continue;
      try {
        await publish(`commands/${command.id}/result`, JSON.stringify(command.result), {
          traceparent: command.traceparent,
        });
      } catch (error) {
        if (!(error instanceof PublishRefused)) throw error;
        log("warn", `the platform refused a command's result: ${error.message}`, null);
      }
      await this.#remember({ ...command, delivered: true });
    }
  }
}

function boundedOutput(output: unknown): { output?: unknown } {
  if (output === undefined) return {};
  const text = JSON.stringify(output);
  if (text.length <= LIMITS.commandResultBytes / 2) return { output };
  return { output: { truncated: true, text: text.slice(0, LIMITS.commandResultBytes / 2) } };
}
