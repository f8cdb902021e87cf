import { type Clock, isAppError, LIMITS, messageOf, sleep } from "../../kernel/index.ts";
import {
  CommandMessage,
  type CommandResult,
  checkMessage,
  type LogLevel,
  type LogSpan,
} from "../../protocol/index.ts";
import type { RememberedCommand, StateStore } from "../agent-state.ts";
import { PublishRefused } from "../connection/publish-refused.ts";
import type { PublishOptions } from "../ports.ts";
import { CommandVoice } from "./command-voice.ts";
import { isOpenCommand, MAX_OPEN_COMMANDS } from "./remembered-commands.ts";

/** What a handler may use. */
export interface CommandContext {
  id: string;
  traceparent: string | null;
  /** Ends with the time that the platform gives the command, and with the agent. */
  signal: AbortSignal;
  log(level: LogLevel, message: string): void;
  /** How far it is, 0 to 1; people see it while the command runs. */
  progress(fraction: number): void;
  /** Output while it runs; of much of it only the end is kept. */
  write(text: string): void;
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
  log(level: LogLevel, message: string, traceparent: string | null, span?: LogSpan): void;
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
    const { state, bootId, log } = this.#deps;
    const open = state.current.commands.filter((command) => command.result === null);
    for (const command of open) {
      const result: CommandResult =
        command.id === restartedBy
          ? { status: "succeeded", output: { bootId } }
          : { status: "failed", error: "the device restarted while it was carried out" };
      await this.#remember({ ...command, result });
      const { name, traceparent } = command;
      const message = `command ${name} ${result.status} by the restart`;
      log("info", message, traceparent, this.#spanOf(command, result));
    }
  }

  /** Takes a command; resolves when it is on disk. It is carried out afterwards. */
  async receive(message: unknown): Promise<void> {
    const { state, log } = this.#deps;
    try {
      checkMessage(CommandMessage, message);
    } catch (error) {
      if (!isAppError(error, "message-invalid")) throw error;
      log("warn", `a command was malformed: ${error.message}`, null);
      return;
    }
    const { id, name, expiresAt, traceparent } = message as CommandMessage;
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
    const beganAt = state.trustedNow();
    const command = { id, name, expiresAt, traceparent, result: null, delivered: false, beganAt };
    if (state.current.commands.filter(isOpenCommand).length >= MAX_OPEN_COMMANDS) {
      // Not begun, and so not remembered: memory is what there is too little of.
      const result = { status: "rejected", error: "this device has too much to do" } as const;
      await this.#publish(command, result).catch(() => {});
      return;
    }
    const refusal = this.#refusal(name, expiresAt, state.trustedNow());
    if (refusal) {
      log("warn", `command ${name} refused: ${refusal}`, traceparent);
      await this.#remember({ ...command, result: { status: "rejected", error: refusal } });
      this.connected();
      return;
    }
    await this.#remember(command);
    this.#carryOut(command, message as CommandMessage).catch((error) => {
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

  async #carryOut(command: RememberedCommand, message: CommandMessage): Promise<void> {
    const { clock, life, log } = this.#deps;
    const { name, traceparent } = command;
    log("info", `command ${name} begins`, traceparent);
    if (message.acceptedSeconds !== undefined || message.runningSeconds !== undefined) {
      // The platform waits for this word; without a deadline it would be traffic for nothing.
      this.#publish(command, { status: "running" }).catch(() => {});
    }
    const voice = new CommandVoice({
      clock,
      life,
      publish: (result) => this.#publish(command, result),
    });
    const result = await this.#run(command, message, voice);
    if (result === RESTARTING) return;
    log("info", `command ${name} ${result.status}`, traceparent, this.#spanOf(command, result));
    await this.#remember({ ...command, result: { ...result, ...(await voice.end()) } });
    this.connected();
  }

  /** Undefined for what an agent of before took on. */
  #spanOf(command: RememberedCommand, { error }: CommandResult): LogSpan | undefined {
    if (command.beganAt === undefined) return undefined;
    const durationMs = this.#deps.state.trustedNow() - command.beganAt;
    return { name: `command ${command.name}`, durationMs, error };
  }

  async #run(
    command: RememberedCommand,
    { args, runningSeconds }: CommandMessage,
    voice: CommandVoice,
  ): Promise<CommandResult | typeof RESTARTING> {
    const { clock, handlers, life, log } = this.#deps;
    const { id, name, traceparent } = command;
    const handler = handlers[name] as CommandHandler;
    const late = new AbortController();
    const done = new AbortController();
    const tooLong =
      runningSeconds === undefined
        ? new Promise<never>(() => {})
        : sleep(clock, runningSeconds * 1_000, done.signal).then(() => {
            late.abort();
            throw new Error(`it was not done within ${runningSeconds} s`);
          });
    try {
      const running = handler(args, {
        id,
        traceparent,
        signal: AbortSignal.any([life, late.signal]),
        log: (level, text) => log(level, text, traceparent),
        progress: (fraction) => voice.progress(fraction),
        write: (text) => voice.write(text),
      });
      const output = await Promise.race([running, tooLong]);
      return output === RESTARTING ? RESTARTING : { status: "succeeded", ...boundedOutput(output) };
    } catch (error) {
      return { status: "failed", error: messageOf(error).slice(0, 4096) };
    } finally {
      done.abort();
    }
  }

  #publish({ id, traceparent }: RememberedCommand, result: CommandResult): Promise<void> {
    const topic = `commands/${id}/result`;
    return this.#deps.publish(topic, JSON.stringify(result), { traceparent });
  }

  async #remember(command: RememberedCommand): Promise<void> {
    await this.#deps.state.update((state) => {
      const others = state.commands.filter((other) => other.id !== command.id);
      return { ...state, commands: [...others, command] };
    });
  }

  async #report(): Promise<void> {
    const { state, log } = this.#deps;
    for (const command of state.current.commands) {
      if (!command.result || command.delivered) continue;
      try {
        await this.#publish(command, command.result);
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
