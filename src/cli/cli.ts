import { Command, CommanderError } from "commander";
import { messageOf } from "../kernel/index.ts";
import type { CommandEnvironment } from "./command-context.ts";
import { accessCommands } from "./commands/access.ts";
import { deviceCommands } from "./commands/devices.ts";
import { firmwareCommands } from "./commands/firmware.ts";
import { localCommands } from "./commands/local.ts";
import { lookingCommands } from "./commands/looking.ts";
import { rolloutCommands } from "./commands/rollouts.ts";
import { UsageError } from "./context.ts";
import { standardOutput } from "./output.ts";

/** Commands whose work lies elsewhere; each resolves with the exit status. */
export interface CliActions {
  up(options: { data?: string; roles?: string }, environment: NodeJS.ProcessEnv): Promise<number>;
  demo(
    options: { once?: boolean; devices?: number; data?: string },
    environment: NodeJS.ProcessEnv,
  ): Promise<number>;
}

/** Runs one command; resolves with the exit status: 0 done, 1 failed, 2 misuse. */
export async function runCli(
  argv: readonly string[],
  actions: CliActions,
  env: CommandEnvironment = { environment: process.env, output: standardOutput },
): Promise<number> {
  let status = 0;
  const program = new Command("vautn")
    .description("runs fleets of IoT devices")
    .exitOverride()
    .showHelpAfterError("(add --help for the options)")
    .enablePositionalOptions();

  program
    .command("up")
    .description(
      "run the platform: embedded stores unless DATABASE_URL, CLICKHOUSE_URL say otherwise",
    )
    .option("--data <folder>", "folder of all that is kept (default ./data)")
    .option("--roles <roles>", "gateway,device-http,api,worker (default all)")
    .action(async (options) => {
      status = await actions.up(options, env.environment);
    });
  program
    .command("demo")
    .description("two tenants, 200 devices, a good firmware and a bad one")
    .option("--once", "end after the summary: 0 when the story came out right, 1 when not")
    .option("--devices <count>", "devices", Number, 200)
    .option("--data <folder>", "folder of all that is kept (default ./data)")
    .action(async (options) => {
      status = await actions.demo(options, env.environment);
    });
  for (const add of [
    accessCommands,
    deviceCommands,
    firmwareCommands,
    rolloutCommands,
    lookingCommands,
    localCommands,
  ]) {
    add(program, env);
  }

  try {
    if (argv.length === 0) program.help();
    await program.parseAsync([...argv], { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    env.output.note(`vautn: ${messageOf(error)}`);
    return error instanceof UsageError ? 2 : 1;
  }
}
