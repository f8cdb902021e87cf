import fs from "node:fs";
import type { Command } from "commander";
import { parse } from "yaml";
import type { Answer } from "../api-client.ts";
import {
  type CommandEnvironment,
  callFor,
  type TenantCall,
  tenantOptions,
} from "../command-context.ts";
import { UsageError } from "../context.ts";
import { tableOf } from "../output.ts";

const WATCH_EVERY_MS = 1_000;
const ENDED = ["succeeded", "rolled-back", "cancelled", "failed", "paused", "needs-decision"];

/** `rollout …`. */
export function rolloutCommands(program: Command, env: CommandEnvironment): void {
  const rollout = program.command("rollout").description("staged updates of many devices");

  const withSpec = (command: Command) =>
    tenantOptions(command)
      .option("-f, --file <yaml>", "the rollout as YAML: name, release, query, policy")
      .option("--name <name>", "name")
      .option("--release <version or id>", "release")
      .option("-q, --query <query>", "fleet query");

  withSpec(rollout.command("plan").description("which devices, and which not")).action(
    async (options) => {
      const call = callFor(env, options);
      const plan = await call.api.post(call.at("/rollouts/plan"), await specOf(call, options));
      if (call.json) env.output.json(plan);
      else env.output.print(JSON.stringify(plan, null, 2));
    },
  );
  withSpec(rollout.command("create").description("start a rollout")).action(async (options) => {
    const call = callFor(env, options);
    const made = await call.api.post(call.at("/rollouts"), await specOf(call, options));
    if (call.json) env.output.json(made);
    else env.output.print(`rollout ${made.id} started. Next: vautn rollout watch ${made.id}`);
  });
  tenantOptions(rollout.command("list")).action(async (options) => {
    const call = callFor(env, options);
    const items = await call.api.list(call.at("/rollouts"));
    if (call.json) env.output.json(items);
    else if (items.length === 0) env.output.print("No rollouts. Next: vautn rollout create …");
    else {
      const rows = items.map((r) => [
        r.id,
        r.name,
        r.state,
        r.totals?.succeeded,
        r.totals?.devices,
      ]);
      env.output.print(tableOf(["ID", "NAME", "STATE", "UPDATED", "DEVICES"], rows));
    }
  });
  tenantOptions(rollout.command("status <rollout>")).action(async (name: string, options) => {
    const call = callFor(env, options);
    const view = await find(call, name);
    if (call.json) env.output.json(view);
    else env.output.print(describe(view));
  });
  tenantOptions(rollout.command("watch <rollout>").description("until it ends or stops")).action(
    async (name: string, options) => {
      const call = callFor(env, options);
      let last = "";
      for (;;) {
        const view = await find(call, name);
        const text = call.json ? JSON.stringify(view) : describe(view);
        if (text !== last) env.output.print(text);
        last = text;
        if (ENDED.includes(view.state)) return;
        await new Promise((resolve) => setTimeout(resolve, WATCH_EVERY_MS));
      }
    },
  );
  for (const verb of ["pause", "resume", "rollback", "cancel"] as const) {
    tenantOptions(rollout.command(`${verb} <rollout>`)).action(async (name: string, options) => {
      const call = callFor(env, options);
      const { id } = await find(call, name);
      const view = await call.api.post(call.at(`/rollouts/${id}/${verb}`));
      if (call.json) env.output.json(view);
      else env.output.print(`${verb}: done. Next: vautn rollout watch ${id}`);
    });
  }
}

async function find(call: TenantCall, nameOrId: string): Promise<Answer> {
  if (/^[0-9a-f-]{36}$/.test(nameOrId)) return call.api.get(call.at(`/rollouts/${nameOrId}`));
  const items = await call.api.list(call.at("/rollouts"));
  const found = items.find((item) => item.name === nameOrId);
  if (!found) throw new Error(`there is no rollout called ${nameOrId}`);
  return call.api.get(call.at(`/rollouts/${found.id}`));
}

async function specOf(call: TenantCall, options: Record<string, string>): Promise<object> {
  const file = options.file ? parse(fs.readFileSync(options.file, "utf8")) : {};
  const wanted = options.release ?? file.release ?? file.releaseId;
  if (!wanted) throw new UsageError("name a release with --release or in the file");
  const releases = await call.api.list(call.at("/releases"));
  const release = releases.find((item) => item.id === wanted || item.version === String(wanted));
  if (!release) throw new Error(`there is no release ${wanted}. Next: vautn firmware list`);
  const query = options.query ?? file.query ?? `product = "${release.product}"`;
  const name = options.name ?? file.name ?? `${release.product} ${release.version}`;
  return { name, releaseId: release.id, query, ...(file.policy ? { policy: file.policy } : {}) };
}

function describe(view: Answer): string {
  const stages = view.stages.map((stage: Answer) => [
    stage.index === view.stageIndex ? `> ${stage.name}` : `  ${stage.name}`,
    stage.cumulativeDevices,
    Object.entries(stage.counts)
      .map(([state, count]) => `${count} ${state}`)
      .join(", "),
  ]);
  const verdict = view.lastVerdict ? `\n${view.lastVerdict.sentence}` : "";
  return `${view.name}: ${view.state} ${view.stateReason}\n${tableOf(["STAGE", "DEVICES", "STATES"], stages)}${verdict}`;
}
