import type { RolloutPlan } from "../client/index.ts";
import { bytes, facts, table } from "./output.ts";

const NAMED = 20;

/** A plan as people read it: what, in which stages, by which versions, how long, and who not. */
export function describePlan(plan: RolloutPlan): string {
  const { stages, paths, totalDevices, bytesExpected, bytesFull, estimate, warnings } = plan;
  const { reach } = estimate;
  const parts = [
    facts([
      ["devices", totalDevices],
      ["to download", `${bytes(bytesExpected)} (full images: ${bytes(bytesFull)})`],
      ["lasts", `at least ${span(estimate.minimumSeconds)}, ${likely(estimate.expectedSeconds)}`],
      [
        "within reach",
        `${reach.now} now, ${reach.day} heard within a day, ${reach.week} within a week, ` +
          `${reach.month} within a month, ${reach.longer} longer ago`,
      ],
    ]),
    table(
      ["STAGE", "DEVICES", "AT LEAST", "EVIDENCE", "FIRST OF THEM"],
      stages.map(({ name, cumulativeDevices, deviceIds }, index) => [
        name,
        cumulativeDevices,
        span(estimate.stages[index]?.minimumSeconds ?? 0),
        evidence(estimate.stages[index]?.evidenceSeconds),
        deviceIds.slice(0, 5).join(" "),
      ]),
    ),
    table(
      ["FROM", "BY", "TO", "DEVICES"],
      paths.map(({ from, via, to, devices }) => [
        from ?? "(unknown)",
        via.join(", ") || "-",
        to,
        devices,
      ]),
    ),
  ];
  for (const [title, reasons, named] of [
    ["EXCLUDED", plan.excludedReasons, plan.excluded],
    ["NOT COMPARED", plan.notComparedReasons, plan.notCompared],
    ["WITHOUT A WAY BACK", plan.withoutWayBackReasons, plan.withoutWayBack],
  ] as const) {
    if (named.length === 0) continue;
    const count = reasons.reduce((sum, { devices }) => sum + devices, 0);
    const rows =
      named.length <= NAMED
        ? named.map(({ deviceId, reason }) => [deviceId, reason])
        : reasons.map(({ reason, devices }) => [`${devices} devices`, reason]);
    parts.push(table([`${title} (${count})`, "WHY"], rows));
  }
  for (const warning of warnings) parts.push(`Warning: ${warning}\n`);
  return parts.join("\n");
}

function likely(seconds: number | null): string {
  return seconds === null
    ? "and evidence alone will not do: too few events to learn from"
    : `about ${span(seconds)} if nothing is wrong`;
}

function evidence(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "never enough";
  return seconds === 0 ? "-" : `after ${span(seconds)}`;
}

function span(seconds: number): string {
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3_600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} d`;
}
