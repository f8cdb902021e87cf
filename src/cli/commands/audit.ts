import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { facts, table } from "../output.ts";

interface ListOptions extends CommonOptions {
  platform?: boolean;
  action?: string;
  actor?: string;
  target?: string;
  outcome?: "done" | "refused";
  limit: number;
}

export function auditCommands(program: Command, cli: Cli): void {
  const audit = group(program, "audit", "what was done and refused", "vautn audit list");

  leaf(audit, {
    usage: "list",
    summary: "entries of the audit log, newest first",
    example: "vautn audit list --outcome refused",
    data: true,
    tenant: true,
  })
    .option("--platform", "the platform's own log")
    .option("--action <action>", "e.g. device.revoke")
    .option("--actor <id>", "by one actor")
    .option("--target <id>", "on one thing")
    .option("--outcome <outcome>", "done or refused")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 50)
    .action(async (options: ListOptions) => {
      const session = cli.session(options);
      const { action, actor, target, outcome, limit } = options;
      const query = { action, actor, target, outcome };
      const page = options.platform
        ? await session.collect("listPlatformAudit", { query }, limit)
        : await session.collect("listAudit", { query }, limit);
      const render = (items: typeof page.items) =>
        table(
          ["TIME", "ACTOR", "ACTION", "TARGET", "OUTCOME", "WHY", "TRACE"],
          items.map((entry) => [
            entry.at,
            entry.actor.name,
            entry.action,
            entry.targetId,
            entry.outcome,
            whyOf(entry),
            entry.traceId,
          ]),
        );
      cli.printList(options, page, render, "No entry matches.");
    });

  leaf(audit, {
    usage: "verify",
    summary: "recompute the chain of the audit log; status 1 when it is broken",
    example: "vautn audit verify",
    data: true,
    tenant: true,
  })
    .option("--platform", "the platform's own log")
    .action(async (options: CommonOptions & { platform?: boolean }) => {
      const session = cli.session(options);
      const operation = options.platform ? "verifyPlatformAudit" : "verifyAudit";
      const proof = await session.call(operation);
      cli.print(options, proof, () =>
        facts([
          ["entries", proof.entries],
          ["intact", proof.intact ? "yes" : `no: entry ${proof.firstBroken} is ${proof.reason}`],
        ]),
      );
      if (!proof.intact) throw new CliError("the audit log has been tampered with");
    });
}

const MAX_WHY = 100;

/** Why something was refused: at which step, the reason as a word, and the sentence that was told. */
function whyOf({ outcome, details }: { outcome: string; details: Record<string, unknown> }) {
  if (outcome !== "refused") return "";
  const textOf = (name: string) => (details[name] === undefined ? "" : String(details[name]));
  const word = textOf("reason") || textOf("code");
  const step = textOf("step") === "" ? "" : ` at ${textOf("step")}`;
  const why = [word + step, textOf("message")].filter(Boolean).join(": ");
  return why.length > MAX_WHY ? `${why.slice(0, MAX_WHY - 1)}…` : why;
}
