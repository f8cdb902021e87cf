import fs from "node:fs";
import type { Command } from "commander";
import { messageOf } from "../../kernel/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { momentOption } from "../moments.ts";
import { facts, table } from "../output.ts";
import { auditExport } from "./audit-export.ts";
import { checkOffline } from "./audit-offline.ts";
import { auditStreamCommands } from "./audit-streams.ts";

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
  export?: string;
  checkpoints?: string;
  key?: string[];
}

export function auditCommands(program: Command, cli: Cli): void {
  const audit = group(program, "audit", "what was done and refused", "vautn audit list");
  auditStreamCommands(audit, cli);

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
    .option("--from <time>", "not older: ISO 8601, or such as 7d", momentOption("--from", "before"))
    .option("--to <time>", "older: ISO 8601, or such as 1d", momentOption("--to", "before"))
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
    .option(
      "--export <file>",
      "verify what was exported as JSON Lines, without asking the platform",
    )
    .option("--checkpoints <file>", "with --export: what vautn audit checkpoints wrote")
    .option(
      "--key <hex...>",
      "with --checkpoints: the key that must have signed them, and those that it replaced",
    )
    .action(async (options: VerifyOptions) => {
      if (options.export !== undefined)
        return verifyExport(cli, { ...options, file: options.export });
      const session = cli.session(options);
      const operation = options.platform ? "verifyPlatformAudit" : "verifyAudit";
      const log = options.platform ? "(platform)" : session.tenant;
      const kept = options.against === undefined ? undefined : readKept(options.against, log);
      const query = kept ? { seq: kept.seq, hash: kept.hash } : {};
      const proof = await session.call(operation, { query });
      const { signed } = proof;
      cli.print(options, proof, () => facts(provedFacts(proof)));
      if (!proof.intact) throw tampered();
      if (kept?.keyId !== undefined && signed?.keyId !== kept.keyId) {
        throw new CliError("the audit log is signed by another key than when it was kept", {
          next: "Was the platform's master key replaced? If not, somebody else has signed.",
        });
      }
      if (options.save === undefined || !proof.head || proof.head.seq === 0) return;
      const verifiedAt = new Date().toISOString();
      const end = { log, ...proof.head, ...(signed ? { keyId: signed.keyId } : {}), verifiedAt };
      fs.writeFileSync(options.save, `${JSON.stringify(end, null, 2)}\n`);
      cli.note(`kept in ${options.save}. Next time: vautn audit verify --against ${options.save}`);
    });

  leaf(audit, {
    usage: "checkpoints",
    summary: "the signed ends of the audit log, to be kept where the platform cannot write",
    example: "vautn audit checkpoints --out checkpoints.json",
    data: true,
    tenant: true,
  })
    .option("--platform", "the platform's own log")
    .option("--out <file>", "file to write")
    .action(async (options: CommonOptions & { platform?: boolean; out?: string }) => {
      const session = cli.session(options);
      const operation = options.platform ? "listPlatformAuditCheckpoints" : "listAuditCheckpoints";
      const { key, replacedKeys } = await session.call(operation, { query: { limit: 1 } });
      const page = await session.collect(operation, { query: {} }, MAX_CHECKPOINTS);
      if (options.out !== undefined) {
        fs.writeFileSync(
          options.out,
          `${JSON.stringify({ key, replacedKeys, items: page.items })}\n`,
        );
        const verify = `vautn audit verify --export FILE --checkpoints ${options.out}`;
        cli.note(`${page.items.length} checkpoints: ${options.out}. Next: ${verify}`);
        return;
      }
      const render = (items: typeof page.items) =>
        table(
          ["NUMBER", "UP TO ENTRY", "SIGNED AT", "KEY"],
          items.map(({ signed, signatures }) => [
            signed.number,
            signed.seq,
            new Date(signed.at).toISOString(),
            signatures[0]?.keyid.slice(0, 16),
          ]),
        );
      cli.printList(
        options,
        page,
        render,
        "Nothing is signed yet: the platform does so every hour.",
      );
    });

  auditExport(audit, cli);
}

const MAX_CHECKPOINTS = 1_000_000;

type Proof = import("../../client/index.ts").Operations["verifyAudit"]["answer"];

function provedFacts(proof: Proof): [string, string | number][] {
  const { signed } = proof;
  return [
    ["entries", proof.entries],
    ["intact", proof.intact ? "yes" : `no: entry ${proof.firstBroken}, ${proof.reason}`],
    ["signed", signed ? `up to entry ${signed.seq}, ${signed.at}` : "nothing yet"],
    ...(signed ? [["key", signed.keyId] satisfies [string, string]] : []),
    ...(proof.forgottenUpTo === undefined
      ? []
      : [["deleted by age", `up to entry ${proof.forgottenUpTo}`] satisfies [string, string]]),
  ];
}

function tampered(): CliError {
  return new CliError("the audit log has been tampered with");
}

async function verifyExport(cli: Cli, options: VerifyOptions & { file: string }): Promise<void> {
  const { platform, file, checkpoints, key, against } = options;
  const log = platform ? "_platform" : (options.tenant ?? cli.contextTenant());
  if (log === undefined) throw misuse("say whose log that is: --tenant ID or --platform");
  const kept = against === undefined ? undefined : readKept(against, platform ? "(platform)" : log);
  const proof = await checkOffline({ log, file, checkpoints, key, kept });
  cli.print(options, proof, () =>
    facts([
      ["entries", proof.entries],
      ["from entry", proof.from],
      ["intact", proof.intact ? "yes" : `no: entry ${proof.firstBroken}, ${proof.reason}`],
      ["signed", proof.signedUpTo === undefined ? "not checked" : `up to ${proof.signedUpTo}`],
    ]),
  );
  if (!proof.intact) throw tampered();
}

function readKept(file: string, log: string): { seq: number; hash: string; keyId?: string } {
  let kept: { log?: unknown; seq?: unknown; hash?: unknown; keyId?: unknown };
  try {
    kept = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    throw misuse(`${file} cannot be read: ${messageOf(error)}`);
  }
  const { seq, hash, keyId } = kept;
  if (typeof seq !== "number" || typeof hash !== "string") {
    throw misuse(`${file} is not what vautn audit verify --save writes`);
  }
  if (kept.log !== log) throw misuse(`${file} is of the audit log of ${String(kept.log)}`);
  return { seq, hash, ...(typeof keyId === "string" ? { keyId } : {}) };
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
