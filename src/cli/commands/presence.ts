import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { table } from "../output.ts";

type SetOptions = CommonOptions & { interval: number; missed: number; sleep?: string[] };
type Rules = Operations["listPresenceRules"]["answer"];

/** How often the devices of a product speak, and when their silence counts. */
export function presenceCommands(program: Command, cli: Cli): void {
  const presence = group(
    program,
    "presence",
    "heartbeat rules of single products",
    "vautn presence set meter --interval 300",
  );

  leaf(presence, {
    usage: "list",
    summary: "products with a rule of their own; the tenant's settings hold for the rest",
    example: "vautn presence list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    print(cli, options, await cli.session(options).call("listPresenceRules"));
  });

  leaf(presence, {
    usage: "set <product>",
    summary: "say how often a product's devices speak and when they sleep",
    example: "vautn presence set meter --interval 300 --sleep 22:00-06:00",
    data: true,
    tenant: true,
  })
    .requiredOption(
      "--interval <seconds>",
      "time between heartbeats",
      wholeNumber("--interval", 1, 86_400),
    )
    .option("--missed <count>", "offline after so many", wholeNumber("--missed", 2, 1_000), 3)
    .option("--sleep <from-to>", "daily sleep, UTC, e.g. 22:00-06:00 (several times)", several)
    .action(async (product: string, options: SetOptions) => {
      const body = {
        product,
        heartbeatIntervalSeconds: options.interval,
        offlineAfterMissed: options.missed,
        sleep: (options.sleep ?? []).map(windowOf),
      };
      print(cli, options, await cli.session(options).call("setPresenceRule", { body }));
    });

  leaf(presence, {
    usage: "reset <product>",
    summary: "let the tenant's settings hold for a product again",
    example: "vautn presence reset meter",
    tenant: true,
  }).action(async (product: string, options: CommonOptions) => {
    await cli.session(options).call("deletePresenceRule", { params: { product } });
    cli.note(`${product} keeps to the tenant's settings again`);
  });
}

function print(cli: Cli, options: CommonOptions, rules: Rules): void {
  cli.printList(
    options,
    rules,
    (items) =>
      table(
        ["PRODUCT", "INTERVAL", "OFFLINE AFTER", "SLEEPS (UTC)", "BY"],
        items.map(({ product, heartbeatIntervalSeconds, offlineAfterMissed, sleep, updatedBy }) => [
          product,
          `${heartbeatIntervalSeconds} s`,
          `${offlineAfterMissed} missed`,
          sleep.map(({ from, to }) => `${from}-${to}`).join(", "),
          updatedBy,
        ]),
      ),
    "No product has a rule of its own. Next: vautn presence set PRODUCT --interval 300",
  );
}

function windowOf(text: string): { from: string; to: string } {
  const [, from, to] = /^(\d\d:\d\d)-(\d\d:\d\d)$/.exec(text) ?? [];
  if (!from || !to) throw misuse(`--sleep takes FROM-TO, e.g. 22:00-06:00, not "${text}"`);
  return { from, to };
}
