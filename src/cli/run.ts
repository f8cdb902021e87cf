import fs from "node:fs";
import { Command, CommanderError } from "commander";
import { ApiRefusal } from "../client/index.ts";
import { isAppError, messageOf } from "../kernel/index.ts";
import { Cli } from "./cli.ts";
import { CliError, EXIT, misuse, nextStepOf } from "./cli-error.ts";
import { registerCommands } from "./commands/index.ts";
import type { PlatformActions } from "./commands/platform.ts";
import { type CliIo, processIo } from "./io.ts";
import { printable } from "./printable.ts";

/**
 * Runs one command; resolves with the exit status: 0 done, 1 failed, 2 used wrongly. `actions` start
 * what the command line itself has no part in.
 */
export async function runCli(
  argv: readonly string[],
  actions: PlatformActions,
  io: CliIo = processIo(),
): Promise<number> {
  const outcome = { status: EXIT.done as number };
  const program = createProgram(new Cli(io), actions, outcome);
  try {
    if (argv[0] === "help") {
      commandNamed(program, argv.slice(1)).outputHelp();
      return EXIT.done;
    }
    await program.parseAsync([...argv], { from: "user" });
    return outcome.status;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help that was asked for is an answer; help for want of a command is not.
      return error.exitCode === 0 ? EXIT.done : EXIT.misuse;
    }
    if ((error as Error | null)?.name === "AbortError" && io.interrupted.aborted) return EXIT.done;
    return report(io, error);
  }
}

/** The command that `help device list` asks about. */
function commandNamed(program: Command, names: readonly string[]): Command {
  let found = program;
  for (const name of names.filter((each) => !each.startsWith("-"))) {
    const next = found.commands.find(
      (command) => command.name() === name || command.aliases().includes(name),
    );
    if (!next) {
      throw misuse(`${found.name()} has no command "${name}"`, `see ${pathOf(found)} --help`);
    }
    found = next;
  }
  return found;
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

export function createProgram(
  cli: Cli,
  actions: PlatformActions,
  outcome: { status: number },
): Command {
  const version = versionOf();
  const program = new Command("vautn")
    .description(
      "Runs fleets of devices: identity, firmware, rollouts, telemetry, for many tenants",
    )
    .version(version)
    // So that `firmware build --version` is the command's option and not the program's.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.io.out(text),
      writeErr: (text) => cli.io.err(text),
      // As every other error is written.
      outputError: (text, write) => write(text.replace(/^error: /, "vautn: ")),
    })
    .showSuggestionAfterError()
    .showHelpAfterError("  next: add --help to see how it is called")
    .addHelpText(
      "after",
      "\nExample:\n  vautn up\n\nVAUTN_URL, VAUTN_API_KEY, VAUTN_TENANT and VAUTN_CA override what login stored.",
    );
  registerCommands(program, cli, actions, outcome, version);
  return program;
}

function versionOf(): string {
  const manifest = new URL("../../package.json", import.meta.url);
  return (JSON.parse(fs.readFileSync(manifest, "utf8")) as { version: string }).version;
}

function report(io: CliIo, error: unknown): number {
  io.err(`vautn: ${printable(messageOf(error))}\n`);
  if (error instanceof ApiRefusal) {
    const trace = error.traceId ? `  trace: ${error.traceId}` : "";
    io.err(`  code: ${error.code}${trace}\n`);
  } else if (isAppError(error)) io.err(`  code: ${error.code}\n`);
  const next = nextStepOf(error);
  if (next) io.err(`  next: ${next}\n`);
  if (error instanceof CliError) return error.exitStatus;
  if (io.environment.VAUTN_DEBUG && error instanceof Error) io.err(`${error.stack}\n`);
  return EXIT.failed;
}
