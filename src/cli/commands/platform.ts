import type { Command } from "commander";
import { type Cli, leaf, wholeNumber } from "../cli.ts";

export interface UpOptions {
  data?: string;
  roles?: string;
  upstream?: string;
  identity?: string;
  demo?: number;
  fleet?: boolean;
}

/** What starts the platform and the demo: handed in by the program, which knows how. */
export interface PlatformActions {
  up(options: UpOptions, environment: NodeJS.ProcessEnv): Promise<number>;
  demo(
    options: { once?: boolean; devices?: number; data?: string },
    environment: NodeJS.ProcessEnv,
  ): Promise<number>;
}

export function platformCommands(
  program: Command,
  cli: Cli,
  actions: PlatformActions,
  outcome: { status: number },
): void {
  leaf(program, {
    usage: "up",
    summary: "run the platform, with its stores unless the environment names others",
    example: "vautn up --data /var/lib/vautn",
  })
    .option("--data <directory>", "folder of all that is kept (default ./data)")
    .option(
      "--roles <roles>",
      "comma-separated: gateway, device-http, api, worker (default all); or cache",
    )
    .option("--upstream <url>", "with --roles=cache: the platform's devices' HTTPS")
    .option("--identity <directory>", "with --roles=cache: as vautn device enroll wrote it")
    .option(
      "--demo <devices>",
      "run simulated devices too; made at the first start, back at every later one",
      wholeNumber("--demo", 1, 2_000),
    )
    .option("--no-fleet", "leave the simulated devices of the data folder switched off")
    .action(async (options: UpOptions) => {
      outcome.status = await actions.up(options, cli.io.environment);
    });

  leaf(program, {
    usage: "demo",
    summary: "two tenants, a fleet, a good rollout and a bad one, told step by step",
    example: "vautn demo --once",
  })
    .option("--once", "end when the story is told: status 0 when it came out right")
    .option("--devices <count>", "devices in all", wholeNumber("--devices", 20, 2_000))
    .option("--data <directory>", "folder of all that is kept (default ./data)")
    .action(async (options: { once?: boolean; devices?: number; data?: string }) => {
      outcome.status = await actions.demo(options, cli.io.environment);
    });
}
