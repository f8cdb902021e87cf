import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { ago, facts, table } from "../output.ts";
import { printable } from "../printable.ts";
import { rolloutId } from "./rollouts.ts";

/** What the gate and people decided, and the gate's word once more from what it saw then. */
export function verdictCommands(rollout: Command, cli: Cli): void {
  leaf(rollout, {
    usage: "verdicts <rollout>",
    summary: "what was decided, by which rule and why, newest first",
    example: "vautn rollout verdicts 0199… --json",
    data: true,
    tenant: true,
  })
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (name: string, options: CommonOptions & { limit: number }) => {
      const session = cli.session(options);
      const params = { rollout: await rolloutId(session, name) };
      const page = await session.collect("listRolloutVerdicts", { params }, options.limit);
      const render = (items: typeof page.items) =>
        table(
          ["NO", "WHEN", "DECISION", "RULE", "BY", "WHY"],
          items.map((item) => [
            item.seq,
            ago(item.at),
            item.decision,
            item.rule,
            item.decidedBy,
            printable(item.sentence),
          ]),
        );
      cli.printList(options, page, render, "Nothing has been decided yet.");
    });

  leaf(rollout, {
    usage: "replay <rollout> <number>",
    summary: "have the gate judge again on what it saw then; status 1 when it says otherwise",
    example: "vautn rollout replay 0199… 7",
    data: true,
    tenant: true,
  }).action(async (name: string, number: string, options: CommonOptions) => {
    const session = cli.session(options);
    const rollout = await rolloutId(session, name);
    const seq = wholeNumber("the verdict's number", 1, 1_000_000_000)(number);
    const input = { params: { rollout, seq } };
    const replay = await session.call("replayRolloutVerdict", input);
    const { verdict, replayed, agrees } = replay;
    cli.print(options, replay, () =>
      facts([
        ["then", `${verdict.decision} by ${verdict.rule}: ${printable(verdict.sentence)}`],
        ["now", `${replayed.decision} by ${replayed.rule}: ${printable(replayed.sentence)}`],
        ["the same", agrees ? "yes, to the last number" : "NO"],
      ]),
    );
    if (!agrees) throw new CliError("the gate says something else than it did then");
  });
}
