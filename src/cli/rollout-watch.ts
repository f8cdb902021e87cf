import { setTimeout as delay } from "node:timers/promises";
import type { Rollout } from "../client/index.ts";
import { ApiRefusal } from "../client/index.ts";
import type { Cli, CommonOptions } from "./cli.ts";
import { CliError } from "./cli-error.ts";
import { oneLine } from "./printable.ts";
import {
  countsText,
  decisionText,
  describeRollout,
  evidenceLines,
  nextStep,
} from "./rollout-view.ts";

const FINAL: readonly string[] = ["succeeded", "rolled-back", "cancelled", "failed"];
const RETRY_MS = 2_000;
const MAX_RETRIES = 30;

/**
 * Follows a rollout by its live view: a bar on a terminal, a line for each change in a pipe, a JSON
 * object a line with --json. Connects again when the view breaks off.
 */
export async function watchRollout(cli: Cli, id: string, options: CommonOptions): Promise<void> {
  const session = cli.session(options);
  const input = session.fill("watchRollout", { params: { rollout: id } });
  const show = options.json ? jsonLines(cli) : cli.io.isInteractive ? await bar() : plainLines(cli);
  let ended: Rollout | undefined;
  try {
    for (let retries = 0; retries < MAX_RETRIES && !ended; retries += 1) {
      try {
        for await (const data of session.client.events("watchRollout", input, cli.io.interrupted)) {
          const rollout = data as Rollout;
          retries = 0;
          show.update(rollout);
          if (FINAL.includes(rollout.state)) {
            ended = rollout;
            break;
          }
        }
      } catch (error) {
        // A refusal is an answer; a connection that broke is not.
        if (error instanceof ApiRefusal || cli.io.interrupted.aborted) throw error;
      }
      if (!ended) await delay(RETRY_MS, undefined, { signal: cli.io.interrupted });
    }
  } finally {
    show.end();
  }
  if (!ended) throw new CliError("the platform answers no more", { next: "vautn doctor" });
  finish(cli, options, ended);
}

function finish(cli: Cli, options: CommonOptions, rollout: Rollout): void {
  if (!options.json) cli.io.out(`\n${describeRollout(rollout)}`);
  if (rollout.state === "succeeded") return;
  throw new CliError(`the rollout ended as ${rollout.state}: ${rollout.stateReason}`, {
    next: `vautn rollout devices ${rollout.id}`,
  });
}

interface View {
  update(rollout: Rollout): void;
  end(): void;
}

function jsonLines(cli: Cli): View {
  return { update: (rollout) => cli.io.out(`${JSON.stringify(rollout)}\n`), end() {} };
}

/** A line for each change of the counts, and one for each metric whose evidence has changed. */
function plainLines(cli: Cli): View {
  let last = "";
  let decision = "";
  const shown = new Map<string, string>();
  return {
    update(rollout) {
      for (const line of evidenceLines(rollout.evidence)) {
        const metric = line.slice(0, line.indexOf(": "));
        if (shown.get(metric) === line) continue;
        shown.set(metric, line);
        cli.io.out(`  ${line}\n`);
      }
      // Looks may come every few seconds: what reads as before is not said again.
      const next = rollout.nextLookAt ? decisionText(rollout) : "";
      if (next !== decision && next) cli.io.out(`  next: ${next}\n`);
      decision = next;
      const line = lineOf(rollout);
      if (line === last) return;
      last = line;
      cli.io.out(`${line}\n`);
      const command = rollout.state === "running" ? undefined : nextStep(rollout);
      if (command) cli.note(`Next: ${command}`);
    },
    end() {},
  };
}

function lineOf({ state, stages, stageIndex, totals, stateReason }: Rollout): string {
  const stage = stages[stageIndex];
  const counts = stage ? `${stage.name} (${countsText(stage.counts)})` : "";
  const reason = stateReason && state !== "running" ? `: ${oneLine(stateReason)}` : "";
  return `${state}${reason}  ${totals.succeeded}/${totals.devices} done, ${totals.failed} failed  ${counts}`;
}

async function bar(): Promise<View> {
  const { MultiBar } = await import("cli-progress");
  const format = "{bar} {value}/{total}  {state}  {stage}";
  const bars = new MultiBar({ format, clearOnComplete: false, hideCursor: true });
  let drawn: ReturnType<typeof bars.create> | undefined;
  let said = "";
  return {
    update(rollout) {
      const { totals, state, stages, stageIndex } = rollout;
      const payload = { state, stage: stages[stageIndex]?.name ?? "" };
      if (!drawn) drawn = bars.create(totals.devices, totals.succeeded, payload);
      else drawn.update(totals.succeeded, payload);
      // Above the bar: what the gate weighs, why it has stopped, and when who decides.
      const { stateReason } = rollout;
      const command = state === "running" ? undefined : nextStep(rollout);
      const lines = [
        ...evidenceLines(rollout.evidence),
        ...(stateReason && state !== "running" ? [`${state}: ${oneLine(stateReason)}`] : []),
        `next: ${command ?? decisionText(rollout)}`,
      ];
      const text = lines.map((line) => `  ${line}\n`).join("");
      if (text !== said) bars.log(text);
      said = text;
    },
    end: () => bars.stop(),
  };
}
