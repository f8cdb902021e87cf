import type { Command } from "commander";
import { misuse } from "./cli-error.ts";
import { effectiveContext } from "./context.ts";
import type { CliIo } from "./io.ts";
import { Session } from "./session.ts";

export interface LeafOptions {
  /** Name and arguments, as commander writes them. */
  usage: string;
  summary: string;
  example: string;
  /** Prints data, and so takes --json. */
  data?: boolean;
  /** Works within a tenant, and so takes --tenant. */
  tenant?: boolean;
}

export interface CommonOptions {
  json?: boolean;
  tenant?: string;
}

/** What every command is given: the terminal, and ways to print and to reach the platform. */
export class Cli {
  readonly io: CliIo;

  constructor(io: CliIo) {
    this.io = io;
  }

  session(options: CommonOptions = {}): Session {
    return new Session(this.io.environment, options.tenant);
  }

  /** The tenant that the context names, for what works without the platform. */
  contextTenant(): string | undefined {
    return effectiveContext(this.io.environment).tenant;
  }

  /** Data as JSON where that was asked for, else as people read it. */
  print(options: CommonOptions, data: unknown, render: () => string): void {
    this.io.out(options.json ? `${JSON.stringify(data, null, 2)}\n` : render());
  }

  /** A list, or what to do where it is empty. */
  printList<Item>(
    options: CommonOptions,
    page: { items: Item[]; nextCursor?: string | null },
    render: (items: Item[]) => string,
    emptyHint: string,
  ): void {
    this.print(options, page, () =>
      page.items.length === 0 ? `${emptyHint}\n` : render(page.items),
    );
    if (page.nextCursor && !options.json) this.note("there are more: raise --limit");
  }

  /** A remark beside the data: on standard error, so that a pipe holds the data alone. */
  note(text: string): void {
    this.io.err(`${text}\n`);
  }
}

/** Adds a command with its example and the options that all of its kind have. */
export function leaf(parent: Command, options: LeafOptions): Command {
  const command = parent.command(options.usage).description(options.summary);
  if (options.tenant) command.option("-t, --tenant <id>", "tenant (default: VAUTN_TENANT)");
  if (options.data) command.option("--json", "print JSON");
  return command.addHelpText("after", `\nExample:\n  ${options.example}`);
}

/** A command that only holds others. */
export function group(parent: Command, name: string, summary: string, example: string): Command {
  return parent.command(name).description(summary).addHelpText("after", `\nExample:\n  ${example}`);
}

/** Parses an option that is a whole number within bounds. */
export function wholeNumber(name: string, minimum: number, maximum: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^-?\d+$/.test(text) && value >= minimum && value <= maximum) return value;
    throw misuse(`${name} takes a whole number from ${minimum} to ${maximum}, not "${text}"`);
  };
}

/** Gathers an option that may be given several times. */
export function several(value: string, earlier: string[] = []): string[] {
  return [...earlier, value];
}

/** `key=value` options as one object. */
export function pairs(
  entries: readonly string[] | undefined,
  name: string,
): Record<string, string> {
  const result: Record<string, string> = {};
  for (const entry of entries ?? []) {
    const at = entry.indexOf("=");
    if (at < 1) throw misuse(`${name} takes KEY=VALUE, not "${entry}"`);
    result[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return result;
}

export function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw misuse(`${name} is not JSON: ${(error as Error).message}`);
  }
}
