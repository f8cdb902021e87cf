import type { Rollout } from "../client/index.ts";
import { ago, bytes, facts, table } from "./output.ts";
import { printable } from "./printable.ts";

/** A rollout as its page shows it: state, stages, the gate's word with its numbers. */
export function describeRollout(rollout: Rollout): string {
  const { release, totals, lastVerdict, bytesDownloaded, bytesFull } = rollout;
  const saved = bytesFull > 0 ? `, ${percent(1 - bytesDownloaded / bytesFull)} saved` : "";
  const parts = [
    facts([
      ["rollout", rollout.id],
      ["name", rollout.name],
      ["release", `${release.product}@${release.version}`],
      ["state", rollout.stateReason ? `${rollout.state}: ${rollout.stateReason}` : rollout.state],
      [
        "devices",
        `${totals.succeeded} of ${totals.devices} done, ${totals.inProgress} under way, ${totals.failed} failed`,
      ],
      ["downloaded", `${bytes(bytesDownloaded)} of ${bytes(bytesFull)}${saved}`],
      ["started", ago(rollout.startedAt)],
      ["next look", rollout.nextEvaluationAt ?? "-"],
    ]),
    table(
      ["STAGE", "UP TO", "COUNTS", "STARTED", "FINISHED"],
      rollout.stages.map((stage) => [
        stage.index === rollout.stageIndex ? `> ${stage.name}` : `  ${stage.name}`,
        stage.cumulativeDevices,
        countsText(stage.counts),
        ago(stage.startedAt),
        ago(stage.finishedAt),
      ]),
    ),
  ];
  const evidence = Object.entries(rollout.evidence);
  if (evidence.length > 0) parts.push(evidenceTable(evidence));
  if (lastVerdict) {
    const { decision, rule, sentence, at } = lastVerdict;
    parts.push(`gate: ${decision} by ${rule}, ${ago(at)}\n  ${printable(sentence)}\n`);
  }
  const next = nextStep(rollout);
  return next ? `${parts.join("\n")}\nNext: ${next}\n` : parts.join("\n");
}

/** What a person can do about a rollout in its state. */
export function nextStep({ id, state, needsApproval }: Rollout): string | undefined {
  if (needsApproval) return `a second person: vautn rollout approve ${id}`;
  if (state === "paused") return `vautn rollout resume ${id}, or vautn rollout rollback ${id}`;
  if (state === "needs-decision")
    return `vautn rollout approve ${id}, or vautn rollout rollback ${id}`;
  return state === "running" ? `vautn rollout watch ${id}` : undefined;
}

export function countsText(counts: Record<string, number | undefined>): string {
  return Object.entries(counts)
    .filter(([, count]) => count)
    .map(([state, count]) => `${count} ${state}`)
    .join(", ");
}

function evidenceTable(evidence: [string, Rollout["evidence"][string]][]): string {
  const arm = ({ events, deviceHours }: { events: number; deviceHours: number }) =>
    `${events} in ${deviceHours.toFixed(1)} h`;
  const figure = (value: number | null) => (value === null ? "-" : value.toPrecision(3));
  return table(
    ["EVIDENCE", "UPDATED", "NOT UPDATED", "E-VALUE", "PAUSES AT", "RATIO"],
    evidence.map(([metric, { treated, control, eValue, pauseAt, likelihoodRatio }]) => [
      metric,
      arm(treated),
      arm(control),
      figure(eValue),
      figure(pauseAt),
      figure(likelihoodRatio),
    ]),
  );
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
