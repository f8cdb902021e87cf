import type { Command } from "commander";
import type { ConformanceResult } from "../../conformance/index.ts";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { table } from "../output.ts";

interface Options extends CommonOptions {
  command?: string;
  manual?: boolean;
  folder?: string;
  only?: string;
  patience: number;
  log?: boolean;
}

const MARKS = { passed: "passed", failed: "FAILED", skipped: "skipped" } as const;

/** The protocol's test kit, for whoever writes a device program of their own. */
export function conformanceCommand(program: Command, cli: Cli): void {
  leaf(program, {
    usage: "conformance",
    summary: "test a device program against the protocol: enrolment, rotation, updates, fallback",
    example: 'vautn conformance --command "./my-agent --config {folder}/device.json"',
    data: true,
  })
    .option("--command <line>", "starts the device program; {folder} is where its files lie")
    .option("--manual", "start nothing: the device comes by itself")
    .option("--folder <folder>", "make the files there, and keep them")
    .option("--only <names>", "cases or groups, between commas: E,L,C,T,R,U or U4,R1")
    .option(
      "--patience <seconds>",
      "for each thing that is asked of the device",
      wholeNumber("--patience", 1, 3_600),
      30,
    )
    .option("--log", "print what the device program wrote, at the end")
    .action(async (options: Options) => {
      if ((options.command === undefined) === !options.manual) {
        throw misuse("it is not said what is tested", "give --command LINE, or --manual");
      }
      const { CONFORMANCE_CASES, runConformance } = await import("../../conformance/index.ts");
      const only = options.only?.split(",").map((name) => name.trim());
      const known = CONFORMANCE_CASES.flatMap(({ id }) => [id, id.replace(/\d+$/, "")]);
      const unknown = only?.find((name) => !known.includes(name));
      if (unknown !== undefined)
        throw misuse(`${unknown} is no case`, "see docs/protocol/device.md");
      const { results, log } = await runConformance({
        ...{ command: options.command, folder: options.folder, only },
        environment: cli.io.environment,
        patienceMs: options.patience * 1_000,
        onReady: (folder) => cli.note(`the device's files lie in ${folder}`),
        onResult: ({ id, outcome, title }) =>
          cli.note(`${id.padEnd(4)} ${MARKS[outcome]}  ${title}`),
      });
      const failed = results.filter(({ outcome }) => outcome !== "passed").length;
      const figures = { passed: results.length - failed, failed, results };
      cli.print(options, figures, () => report(results));
      if (options.log) cli.note(log);
      if (failed > 0) {
        throw new CliError(`${failed} of ${results.length} requirements are not met`, {
          next: "each is explained in docs/protocol/device.md",
        });
      }
    });
}

function report(results: readonly ConformanceResult[]): string {
  return table(
    ["CASE", "RESULT", "SECONDS", "REQUIREMENT", "WHAT WAS SEEN"],
    results.map(({ id, outcome, seconds, title, detail }) => [
      id,
      MARKS[outcome],
      String(seconds),
      title,
      detail,
    ]),
  );
}
