import fs from "node:fs";
import type { Command } from "commander";
import { messageOf } from "../../kernel/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { facts, table } from "../output.ts";
import { auditExport } from "./audit-export.ts";

interface ListOptions extends CommonOptions {
  platform?: boolean;
  action?: string;
  actor?: string;
  target?: string;
  outcome?: "done" | "refused";
  from?: string;
  to?: string;
  limit: number;
}

interface VerifyOptions extends CommonOptions {
  platform?: boolean;
  save?: string;
  against?: string;
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
    .option("--from <time>", "not older, ISO 8601")
    .option("--to <time>", "older, ISO 8601")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 50)
    .action(async (options: ListOptions) => {
      const session = cli.session(options);
      const { action, actor, target, outcome, from, to, limit } = options;
      const query = { action, actor, target, outcome, from, to };
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
    example: "vautn audit verify --against last.json --save last.json",
    data: true,
    tenant: true,
  })
    .option("--platform", "the platform's own log")
    .option("--save <file>", "write the end of the chain: keep it where the platform cannot write")
    .option("--against <file>", "an end that was kept: the chain must still lead through it")
    .action(async (options: VerifyOptions) => {
      const session = cli.session(options);
      const operation = options.platform ? "verifyPlatformAudit" : "verifyAudit";
      const log = options.platform ? "(platform)" : session.tenant;
      const query = options.against === undefined ? {} : readCheckpoint(options.against, log);
      const proof = await session.call(operation, { query });
      cli.print(options, proof, () =>
        facts([
          ["entries", proof.entries],
          ["intact", proof.intact ? "yes" : `no: entry ${proof.firstBroken} is ${proof.reason}`],
        ]),
      );
      if (!proof.intact) throw new CliError("the audit log has been tampered with");
      if (options.save === undefined || !proof.head || proof.head.seq === 0) return;
      const kept = { log, ...proof.head, verifiedAt: new Date().toISOString() };
      fs.writeFileSync(options.save, `${JSON.stringify(kept, null, 2)}\n`);
      cli.note(`kept in ${options.save}. Next time: vautn audit verify --against ${options.save}`);
    });

  auditExport(audit, cli);
}

function readCheckpoint(file: string, log: string): { seq: number; hash: string } {
  let kept: { log?: unknown; seq?: unknown; hash?: unknown };
  try {
    kept = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    throw misuse(`${file} cannot be read: ${messageOf(error)}`);
  }
  const { seq, hash } = kept;
  if (typeof seq !== "number" || typeof hash !== "string") {
    throw misuse(`${file} is not what vautn audit verify --save writes`);
  }
  if (kept.log !== log) throw misuse(`${file} is of the audit log of ${String(kept.log)}`);
  return { seq, hash };
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
