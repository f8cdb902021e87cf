import type { Command } from "commander";
import type { Rollout } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { ago, bytes, table } from "../output.ts";
import { confirm } from "../prompt.ts";
import { readSpec, type SpecOptions } from "../rollout-file.ts";
import { describePlan } from "../rollout-plan-view.ts";
import { describeRollout } from "../rollout-view.ts";
import { watchRollout } from "../rollout-watch.ts";
import type { Session } from "../session.ts";
import { UUID } from "./releases.ts";
import { brakeCommands } from "./rollout-brakes.ts";
import { rolloutFileCommands } from "./rollout-files.ts";
import { verdictCommands } from "./rollout-verdicts.ts";

export function rolloutCommands(program: Command, cli: Cli): void {
  const rollout = group(program, "rollout", "staged rollouts of releases", "vautn rollout list");
  creationCommands(rollout, cli);
  readingCommands(rollout, cli);
  for (const action of ACTIONS) actionCommand(rollout, cli, action);
  rolloutFileCommands(rollout, cli);
  verdictCommands(rollout, cli);
  brakeCommands(rollout, cli);
}

export function specOptions(command: Command): Command {
  return command
    .option("-f, --file <file>", "rollout as YAML: name, release, query, policy")
    .option("--name <name>", "name")
    .option("--release <release>", "id, or PRODUCT@VERSION")
    .option("-q, --query <query>", "devices (default: all that the release fits)");
}

interface PlanListOptions {
  devices?: boolean;
  excluded?: boolean;
  notCompared?: boolean;
  limit: number;
}

function creationCommands(rollout: Command, cli: Cli): void {
  specOptions(
    leaf(rollout, {
      usage: "plan",
      summary: "exactly which devices a rollout would take, stage by stage; changes nothing",
      example: "vautn rollout plan --release hub@2.4.0 -q 'tags.site = \"berlin\"'",
      data: true,
      tenant: true,
    }),
  )
    .option("--devices", "every device that takes part, in its order, instead of the plan")
    .option("--excluded", "every device that is left out, and why")
    .option("--not-compared", "every device that the gate leaves out of its comparison, and why")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000_000), 100_000)
    .action(async (options: SpecOptions & PlanListOptions) => {
      const session = cli.session(options);
      const body = await readSpec(session, options);
      const list = options.notCompared
        ? "not-compared"
        : options.excluded
          ? "excluded"
          : options.devices && "devices";
      if (!list) {
        const plan = await session.call("planRollout", { body });
        cli.print(options, plan, () => describePlan(plan));
        return;
      }
      const input = { body, query: { list } as const };
      const page = await session.collect("listRolloutPlanDevices", input, options.limit);
      const render = (items: typeof page.items) =>
        table(
          ["DEVICE", "STAGE", "WHY"],
          items.map((item) => [item.deviceId, item.stageIndex ?? "-", item.reason]),
        );
      cli.printList(options, page, render, "No such devices in this plan.");
    });

  specOptions(
    leaf(rollout, {
      usage: "create",
      summary: "start a rollout",
      example: "vautn rollout create -f rollout.yaml",
      data: true,
      tenant: true,
    }),
  )
    .option("--dry-run", "only print the plan; changes nothing")
    .action(async (options: SpecOptions & { dryRun?: boolean }) => {
      const session = cli.session(options);
      const spec = await readSpec(session, options);
      if (options.dryRun) {
        const plan = await session.call("planRollout", { body: spec });
        cli.print(options, plan, () => describePlan(plan));
        return;
      }
      const name = spec.name ?? `rollout of ${options.release ?? spec.releaseId}`;
      const created = await session.call("createRollout", { body: { ...spec, name } });
      cli.print(options, created, () => describeRollout(created));
      cli.note(`Next: vautn rollout watch ${created.id}`);
    });
}

function readingCommands(rollout: Command, cli: Cli): void {
  leaf(rollout, {
    usage: "list",
    summary: "rollouts, newest first",
    example: "vautn rollout list",
    data: true,
    tenant: true,
  })
    .option("--state <state>", "in one state, e.g. running or paused")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (options: CommonOptions & { state?: string; limit: number }) => {
      const query = { state: options.state };
      const page = await cli.session(options).collect("listRollouts", { query }, options.limit);
      cli.printList(
        options,
        page,
        rolloutTable,
        "No rollouts yet. Next: vautn rollout plan --release PRODUCT@VERSION",
      );
    });

  leaf(rollout, {
    usage: "status <rollout>",
    summary: "where a rollout stands: stages, counts, the gate's word with its numbers",
    example: "vautn rollout status 0199…",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const session = cli.session(options);
    const params = { rollout: await rolloutId(session, id) };
    const [found, { stop }] = await Promise.all([
      session.call("getRollout", { params }),
      session.call("getUpdateStop", {}),
    ]);
    const isHeld = found.kind === "update" && ["preparing", "running"].includes(found.state);
    cli.print(options, found, () => describeRollout(found, isHeld ? stop : null));
  });

  leaf(rollout, {
    usage: "watch <rollout>",
    summary: "follow a rollout to its end; status 1 when it did not succeed",
    example: "vautn rollout watch 0199…",
    data: true,
    tenant: true,
  }).action(async (name: string, options: CommonOptions) => {
    await watchRollout(cli, await rolloutId(cli.session(options), name), options);
  });

  leaf(rollout, {
    usage: "devices <rollout>",
    summary: "the devices of a rollout and how far each of them is",
    example: "vautn rollout devices 0199… --state failed",
    data: true,
    tenant: true,
  })
    .option("--state <state>", "in one state")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .action(async (id: string, options: CommonOptions & { state?: string; limit: number }) => {
      const session = cli.session(options);
      const params = { rollout: await rolloutId(session, id) };
      const input = { params, query: { state: options.state } };
      const page = await session.collect("listRolloutDevices", input, options.limit);
      const render = (items: typeof page.items) =>
        table(
          ["DEVICE", "STAGE", "STATE", "FROM", "BY", "BYTES", "WHY"],
          items.map((item) => [
            item.deviceId,
            item.stageIndex,
            item.state,
            item.sourceVersion,
            item.format,
            bytes(item.bytesDownloaded),
            item.excludedReason ?? failureText(item.failure),
          ]),
        );
      cli.printList(options, page, render, "No devices in that state.");
    });
}

const ACTIONS = [
  { name: "pause", summary: "stop the widening; devices that are on their way finish" },
  { name: "resume", summary: "go on; what was seen up to now is accepted" },
  { name: "approve", summary: "go on with the next stage, whatever the evidence says" },
  { name: "rollback", summary: "send back the devices that have the image" },
  { name: "cancel", summary: "end it where it is" },
] as const;

const OPERATIONS = {
  pause: "pauseRollout",
  resume: "resumeRollout",
  approve: "approveRollout",
  rollback: "rollbackRollout",
  cancel: "cancelRollout",
} as const;

function actionCommand(
  rollout: Command,
  cli: Cli,
  { name, summary }: (typeof ACTIONS)[number],
): void {
  const cannotBeUndone = name === "rollback" || name === "cancel";
  const command = leaf(rollout, {
    usage: `${name} <rollout>`,
    summary,
    example: `vautn rollout ${name} 0199… --reason "seen in the lab"`,
    data: true,
    tenant: true,
  }).option("--reason <text>", "why, for the record");
  if (cannotBeUndone) command.option("--yes", "do not ask");
  if (name === "rollback") {
    command.option("--stage <stage>", "only this stage and those after it, by name or number");
  }
  command.action(
    async (
      id: string,
      options: CommonOptions & { reason?: string; yes?: boolean; stage?: string },
    ) => {
      const of = options.stage === undefined ? "" : ` from its stage ${options.stage} on`;
      if (cannotBeUndone) await confirm(cli.io, options.yes, `${name} of rollout ${id}${of}`);
      const session = cli.session(options);
      const params = { rollout: await rolloutId(session, id) };
      const stage =
        options.stage === undefined ? undefined : await stageIndex(session, params, options.stage);
      const body = {
        ...(options.reason ? { reason: options.reason } : {}),
        ...(stage === undefined ? {} : { stage }),
      };
      const changed = await session.call(OPERATIONS[name], { params, body });
      cli.print(options, changed, () => describeRollout(changed));
    },
  );
}

/** The number of a stage that is named by its name, or by its number. */
async function stageIndex(
  session: Session,
  params: { rollout: string },
  stage: string,
): Promise<number> {
  const { stages } = await session.call("getRollout", { params });
  const found = stages.find(({ name, index }) => name === stage || String(index) === stage);
  if (found) return found.index;
  const names = stages.map(({ name }) => name).join(", ");
  throw new CliError(`there is no stage ${stage}: the rollout has ${names}`, {
    next: `vautn rollout status ${params.rollout}`,
  });
}

/** The id of a rollout that is named by its id, or the newest of that name. */
export async function rolloutId(session: Session, name: string): Promise<string> {
  if (UUID.test(name)) return name;
  const { items } = await session.collect("listRollouts", {}, 1_000);
  const found = items.find((rollout) => rollout.name === name);
  if (found) return found.id;
  throw new CliError(`there is no rollout ${name}`, { next: "vautn rollout list" });
}

function rolloutTable(items: Rollout[]): string {
  return table(
    ["ROLLOUT", "NAME", "RELEASE", "STATE", "STAGE", "DEVICES", "DONE", "FAILED", "STARTED"],
    items.map(({ id, name, release, state, stages, stageIndex, totals, startedAt }) => [
      id,
      name,
      `${release.product}@${release.version}`,
      state,
      stages[stageIndex]?.name,
      totals.devices,
      totals.succeeded,
      totals.failed,
      ago(startedAt),
    ]),
  );
}

function failureText(failure: unknown): string {
  const { phase, element, message } = (failure ?? {}) as Record<string, string | undefined>;
  return [phase, element, message].filter(Boolean).join(": ");
}
