import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { describe, expect, it } from "vitest";
import { Cli } from "../../src/cli/cli.ts";
import { processIo } from "../../src/cli/io.ts";
import { createProgram } from "../../src/cli/run.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");
/** Stands for what a template fills in. */
const FILLED_IN = "filled-in";
/** A command as it stands in a page, a message or an example, up to where the text goes on. */
const SHOWN = /\bvautn ((?:[a-z][a-z-]*)(?: (?:[^\s`"'<>|;(),…]+|'[^']*'|"[^"]*"))*)/g;

const program = createProgram(
  new Cli(processIo()),
  { up: async () => 0, demo: async () => 0 },
  { status: 0 },
);

const files = execFileSync("git", ["ls-files", "README.md", "docs", "web/src", "src/cli"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => /\.(md|tsx?)$/.test(file))
  .filter((file) => fs.readFileSync(path.join(ROOT, file), "utf8").includes("vautn "));

/** What the command line would refuse in it; nothing where it would run. */
function refusalOf(words: readonly string[]): string | undefined {
  let command: Command = program;
  let rest = [...words];
  for (let next = findCommand(command, rest); next; next = findCommand(command, rest)) {
    command = next;
    rest = rest.slice(1);
  }
  if (command === program) return "no such command";
  const { operands, unknown } = command.parseOptions(rest);
  const strange = unknown.find((word) => word.startsWith("-"));
  if (strange && strange !== "--help") return `unknown option ${strange}`;
  const isGroup = command.commands.length > 0 && command.options.length === 0;
  if (isGroup && operands.length > 0 && operands[0] !== FILLED_IN)
    return `unknown command ${operands[0]}`;
  const given = rest.filter((word) => word.startsWith("-"));
  const missing = command.options.find(
    ({ mandatory, short, long }) =>
      mandatory && !given.includes(long ?? "") && !given.includes(short ?? ""),
  );
  // In a sentence the command's name may stand for it; where options are given they are all there.
  return missing && given.length > 0 && !given.includes("--help")
    ? `${missing.long} is missing`
    : undefined;
}

function findCommand(parent: Command, [word]: readonly string[]): Command | undefined {
  return parent.commands.find(
    (command) => command.name() === word || command.aliases().includes(word ?? ""),
  );
}

describe("every command that people are shown", () => {
  it.each(files)("is one that can be pasted: %s", (file) => {
    const text = fs
      .readFileSync(path.join(ROOT, file), "utf8")
      .replaceAll(/\$\{[^}]*\}/g, FILLED_IN)
      // A line that goes on, of a shell's or of ours.
      .replaceAll(/ \\\n\s*/g, " ")
      .replaceAll(/" \+\n\s*"/g, "");
    const refused = [...text.matchAll(SHOWN)].flatMap(([, shown = ""]) => {
      const words = shown.match(/'[^']*'|"[^"]*"|\S+/g) ?? [];
      const refusal = refusalOf(words);
      return refusal ? [`vautn ${shown}: ${refusal}`] : [];
    });
    expect(refused).toEqual([]);
  });
});
