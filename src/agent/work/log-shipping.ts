import { type ChildProcess, spawn } from "node:child_process";
import { open, stat } from "node:fs/promises";
import { type Clock, messageOf, type Timer } from "../../kernel/index.ts";
import type { LogLevel } from "../../protocol/index.ts";
import type { ApplicationContext } from "../ports.ts";

export interface LogShippingOptions {
  clock: Clock;
  /** Units whose journal is followed; all of it where the list is empty; nothing where absent. */
  journalUnits?: readonly string[] | undefined;
  /** Files whose new lines are taken. */
  files?: readonly string[] | undefined;
  journalctl?: string;
}

/** More than this in a second is counted, and not sent. */
const MAX_LINES_PER_SECOND = 50;
const LOOK_MS = 1_000;
const RESTART_MS = 30_000;
const MAX_LINE_CHARACTERS = 8_192;
/** What a file may have grown between two looks; before that is skipped. */
const MAX_GROWTH_BYTES = 256 * 1024;

/** syslog(3) priorities, as journald keeps them. */
const LEVELS: readonly LogLevel[] = [
  ...(["fatal", "fatal", "fatal", "error", "warn"] as const),
  ...(["info", "info", "debug"] as const),
];

/**
 * Lines of the machine's journal and of log files on their way to the platform. Which levels leave the
 * device is set from afar (`set-log-level`); a flood is cut down to what a line can carry.
 */
export class LogShipping {
  readonly #options: LogShippingOptions;
  readonly #timers = new Set<Timer>();
  #journal: ChildProcess | undefined;
  #context: ApplicationContext | undefined;
  #second = 0;
  #lines = 0;
  #left = 0;
  #stopped = false;

  constructor(options: LogShippingOptions) {
    this.#options = options;
  }

  start(context: ApplicationContext): void {
    this.#context = context;
    if (this.#options.journalUnits) this.#followJournal();
    for (const file of this.#options.files ?? []) this.#follow(file);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#journal?.kill();
  }

  #followJournal(): void {
    const { journalUnits = [], journalctl = "journalctl" } = this.#options;
    const units = journalUnits.flatMap((unit) => ["--unit", unit]);
    const child = spawn(journalctl, ["--follow", "--lines=0", "--output=json", ...units], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    this.#journal = child;
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARACTERS * 4);
      for (const line of lines) this.#takeEntry(line);
    });
    let ended = false;
    const again = (reason: string) => {
      if (this.#stopped || ended) return;
      ended = true;
      this.#context?.log("warn", `the journal cannot be followed: ${reason}`);
      this.#after(RESTART_MS, () => this.#followJournal());
    };
    child.once("error", (error) => again(messageOf(error)));
    child.once("exit", (status) => again(`journalctl ended with ${status}`));
  }

  /** systemd.journal-fields(7). */
  #takeEntry(line: string): void {
    let entry: Record<string, unknown>;
    try {
      entry = JSON.parse(line) as Record<string, unknown>;
    } catch {
      return;
    }
    const { MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, _SYSTEMD_UNIT } = entry;
    if (typeof MESSAGE !== "string") return;
    const unit = _SYSTEMD_UNIT ?? SYSLOG_IDENTIFIER;
    const level = LEVELS[Number(PRIORITY ?? 6)] ?? "info";
    this.#send(level, MESSAGE, typeof unit === "string" ? { unit } : {});
  }

  #follow(file: string, from?: { at: number; inode: number; rest: string }): void {
    this.#look(file, from)
      .catch((error) => {
        if (!from) this.#context?.log("debug", `${file}: ${messageOf(error)}`);
        return from;
      })
      .then((next) => {
        if (!this.#stopped) this.#after(LOOK_MS, () => this.#follow(file, next));
      });
  }

  async #look(file: string, from?: { at: number; inode: number; rest: string }) {
    const { size, ino: inode } = await stat(file);
    if (!from) return { at: size, inode, rest: "" };
    // Turned over, or cut: from the beginning of what is there now.
    const isNew = inode !== from.inode || size < from.at;
    const at = Math.max(isNew ? 0 : from.at, size - MAX_GROWTH_BYTES);
    if (size === at) return { at, inode, rest: isNew ? "" : from.rest };
    const handle = await open(file, "r");
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - at), 0, size - at, at);
      const text = (isNew ? "" : from.rest) + buffer.toString("utf8", 0, bytesRead);
      const lines = text.split("\n");
      const rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARACTERS);
      for (const line of lines) if (line.trim()) this.#send(levelIn(line), line, { file });
      return { at: at + bytesRead, inode, rest };
    } finally {
      await handle.close();
    }
  }

  #send(level: LogLevel, message: string, attributes: Record<string, unknown>): void {
    const second = Math.floor(this.#options.clock.now() / 1_000);
    if (second !== this.#second) {
      const left = this.#left;
      this.#second = second;
      this.#lines = 0;
      this.#left = 0;
      if (left > 0) this.#context?.log("warn", `${left} lines of the machine's log were left out`);
    }
    this.#lines += 1;
    if (this.#lines > MAX_LINES_PER_SECOND) this.#left += 1;
    else {
      const text = message.slice(0, MAX_LINE_CHARACTERS);
      this.#context?.log(level, text, attributes, "machine-log");
    }
  }

  #after(delayMs: number, work: () => void): void {
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      if (!this.#stopped) work();
    });
    this.#timers.add(timer);
  }
}

/** Files say their level in words, if at all. */
function levelIn(line: string): LogLevel {
  const word = /\b(FATAL|CRIT|ERR(?:OR)?|WARN(?:ING)?|DEBUG|TRACE)\b/i.exec(line)?.[1] ?? "";
  if (/^(fatal|crit)/i.test(word)) return "fatal";
  if (/^err/i.test(word)) return "error";
  if (/^warn/i.test(word)) return "warn";
  if (/^debug/i.test(word)) return "debug";
  return /^trace/i.test(word) ? "trace" : "info";
}
