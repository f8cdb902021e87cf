import type { Rollout } from "../client/index.ts";
import { ago, bytes, facts, table } from "./output.ts";
import { printable } from "./printable.ts";

/** Where the bytes came from, the most first. */
function sourcesText({ bytesBySource }: Rollout): string {
  const parts: [string, number][] = [
    ["the platform", bytesBySource.platform],
    ["the store", bytesBySource.store],
    ["site caches", bytesBySource.cache],
    ["(not said)", bytesBySource.unknown],
  ];
  return parts
    .filter(([, sum]) => sum > 0)
    .sort(([, left], [, right]) => right - left)
    .map(([name, sum]) => `${name} ${bytes(sum)}`)
    .join(", ");
}

/** A rollout as its page shows it: state, stages, the gate's word with its numbers. */
export function describeRollout(rollout: Rollout, stop: UpdateStop = null): string {
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
      ...(bytesDownloaded > 0 ? [["came from", sourcesText(rollout)] as [string, string]] : []),
      ["started", rollout.startedAt ? ago(rollout.startedAt) : "not yet"],
      ["next decision", decisionText(rollout)],
      ...(stop ? [["stopped", stopText(stop)] as [string, string]] : []),
    ]),
    table(
      ["STAGE", "UP TO", "COUNTS", "STARTED", "FINISHED"],
      rollout.stages.map((stage) => [
        stage.index === rollout.stageIndex ? `> ${stage.name}` : `  ${stage.name}`,
        stage.cumulativeDevices,
        countsText(stage.counts),
        stage.startedAt ? ago(stage.startedAt) : "-",
        stage.finishedAt ? ago(stage.finishedAt) : "-",
      ]),
    ),
  ];
  const evidence = Object.entries(rollout.evidence);
  if (evidence.length > 0) parts.push(evidenceTable(evidence));
  if (lastVerdict) {
    const { decision, rule, sentence, at } = lastVerdict;
    parts.push(`gate: ${decision} by ${rule}, ${ago(at)}\n  ${printable(sentence)}\n`);
  }
  const next = stop ? "vautn rollout allow-all" : nextStep(rollout);
  return next ? `${parts.join("\n")}\nNext: ${next}\n` : parts.join("\n");
}

/** The tenant's kill switch, while it is on. */
export type UpdateStop = { stoppedAt: string; stoppedBy: string; reason: string } | null;

function stopText({ stoppedAt, stoppedBy, reason }: NonNullable<UpdateStop>): string {
  const why = reason ? `: ${printable(reason)}` : "";
  return `no update begins since ${stoppedBy} stopped all of them ${ago(stoppedAt)}${why}`;
}

/** What a person can do about a rollout in its state. */
export function nextStep({ id, state, needsApproval }: Rollout): string | undefined {
  if (needsApproval && state === "preparing") return `a second person: vautn rollout approve ${id}`;
  if (state === "paused") return `vautn rollout resume ${id}, or vautn rollout rollback ${id}`;
  if (state === "needs-decision")
    return `vautn rollout approve ${id}, or vautn rollout rollback ${id}`;
  return state === "running" ? `vautn rollout watch ${id}` : undefined;
}

/** When the gate looks next, and from when on it may promote or has to ask. */
export function decisionText(rollout: Rollout, nowMs: number = Date.now()): string {
  const { state, kind, nextLookAt, stageStartedAt, stageIndex, policy, startedAt } = rollout;
  if (state === "needs-decision") return "a person's";
  if (state === "paused") return "a person's: it is paused";
  if (state === "preparing" && !startedAt) return beginningText(rollout, nowMs);
  if (state !== "running" || kind !== "update" || !nextLookAt) return "-";
  const parts = [`look ${until(nextLookAt, nowMs)}`];
  const startedMs = Date.parse(stageStartedAt ?? "");
  // The hold-back is no stage of the policy: it ends with its updates.
  const isHoldback = stageIndex >= policy.stages.length;
  if (Number.isNaN(startedMs) || isHoldback) return parts.join(", ");
  const soak = policy.stages[stageIndex]?.minSoakSeconds ?? policy.minSoakSeconds ?? 0;
  const soakedAt = new Date(startedMs + soak * 1_000).toISOString();
  if (Date.parse(soakedAt) > nowMs) parts.push(`may promote ${until(soakedAt, nowMs)}`);
  if (typeof policy.maxSoakSeconds === "number") {
    const widensAt = new Date(startedMs + policy.maxSoakSeconds * 1_000).toISOString();
    parts.push(`promotes ${until(widensAt, nowMs)} where nothing speaks against it`);
  }
  const asksAt = new Date(startedMs + (policy.askAfterSeconds ?? 0) * 1_000).toISOString();
  parts.push(`asks a person ${until(asksAt, nowMs)} at the latest`);
  return parts.join(", ");
}

/** What a rollout waits for before it begins. */
function beginningText({ needsApproval, policy }: Rollout, nowMs: number): string {
  if (needsApproval) return "a second person's, who approves its beginning";
  const { startAt } = policy;
  return startAt !== undefined && Date.parse(startAt) > nowMs
    ? `begins ${until(startAt, nowMs)}`
    : "begins when its deltas are ready";
}

/** A moment as both what a clock shows and how far off it is. */
function until(at: string, nowMs: number): string {
  const seconds = Math.round((Date.parse(at) - nowMs) / 1_000);
  if (seconds < 1) return "now";
  if (seconds < 120) return `in ${seconds} s`;
  const minutes = Math.round(seconds / 60);
  const far =
    minutes < 120
      ? `${minutes} min`
      : minutes < 2_880
        ? `${Math.round(minutes / 60)} h`
        : `${Math.round(minutes / 1_440)} d`;
  return `in ${far} (${at.slice(0, 16).replace("T", " ")}Z)`;
}

/** Evidence in a line a metric, those that have anything to say, the strongest first. */
export function evidenceLines(evidence: Rollout["evidence"]): string[] {
  const said = Object.entries(evidence)
    .filter(([, { treated, control }]) => treated.events + control.events > 0)
    .sort(([, left], [, right]) => (right.eValue ?? 0) - (left.eValue ?? 0));
  return said.map(([metric, { treated, control, eValue, pauseAt }]) => {
    const rate = ({ events, deviceHours }: typeof treated) =>
      deviceHours > 0 ? `${((events * 24) / deviceHours).toFixed(4)}/day` : "-";
    const limit = pauseAt === null ? "" : `, pauses at ${figure(pauseAt)}`;
    const isPaired = metric.startsWith("telemetry.") || metric.startsWith("query.");
    const arms = isPaired
      ? `worse in ${treated.events} of ${treated.events + control.events} pairs`
      : `${treated.events} updated (${rate(treated)}) against ${control.events} (${rate(control)})`;
    return `${metric}: ${arms}, E ${figure(eValue ?? 1)}${limit}`;
  });
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

/** Three digits, and no exponent where it would be longer than the number. */
function figure(value: number | null): string {
  if (value === null) return "-";
  const isPlain = value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1e6);
  return isPlain ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
