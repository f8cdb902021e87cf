import type { Command } from "commander";
import { type Cli, leaf } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { table } from "../output.ts";
import { differences, exportRollout, readSpec, type SpecOptions } from "../rollout-file.ts";
import { rolloutId } from "./rollouts.ts";

/** Rollouts as files: their schema, what a running one differs by, and a running one as a file. */
export function rolloutFileCommands(rollout: Command, cli: Cli): void {
  leaf(rollout, {
    usage: "schema",
    summary: "the JSON Schema of rollout files",
    example: "vautn rollout schema > rollout.schema.json",
  }).action(async () => {
    const { ROLLOUT_FILE_SCHEMA } = await import("../../client/index.ts");
    cli.io.out(`${JSON.stringify(ROLLOUT_FILE_SCHEMA, null, 2)}\n`);
  });

  leaf(rollout, {
    usage: "export <rollout>",
    summary: "a rollout as the file that would make it",
    example: "vautn rollout export 0199… > rollout.yaml",
    tenant: true,
  }).action(async (name: string, options: { tenant?: string }) => {
    const session = cli.session(options);
    const params = { rollout: await rolloutId(session, name) };
    cli.io.out(await exportRollout(await session.call("getRollout", { params })));
  });

  leaf(rollout, {
    usage: "diff <rollout>",
    summary: "where a running rollout differs from a file; status 1 when it does",
    example: "vautn rollout diff 0199… -f rollout.yaml",
    data: true,
    tenant: true,
  })
    .requiredOption("-f, --file <file>", "rollout as YAML")
    .action(async (name: string, options: SpecOptions) => {
      const session = cli.session(options);
      const params = { rollout: await rolloutId(session, name) };
      const running = await session.call("getRollout", { params });
      const found = differences(running, await readSpec(session, options));
      const text = (value: unknown) => JSON.stringify(value);
      cli.print(options, found, () =>
        found.length === 0
          ? "No difference.\n"
          : table(
              ["WHAT", "RUNNING", "FILE"],
              found.map((line) => [line.path, text(line.running), text(line.wanted)]),
            ),
      );
      if (found.length > 0) throw new CliError("the rollout differs from the file");
    });
}
