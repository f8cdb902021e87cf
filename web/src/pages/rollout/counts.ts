import type { RolloutView } from "../../api/index.ts";
import { humanize } from "../../components/format.ts";
import type { BarPart } from "../../components/stacked-bar.tsx";
import { updateTone } from "../../theme/tones.ts";

/** In the order that a device passes through them. */
export const DEVICE_STATES = [
  "succeeded",
  "confirming",
  "rebooting",
  "installing",
  "downloading",
  "offered",
  "failed",
  "fell-back",
  "rejected",
  "silent",
  "pending",
  "withdrawn",
];

/** The further along, the fuller the colour. */
const OPACITY: Record<string, number> = {
  confirming: 1,
  rebooting: 0.85,
  installing: 0.7,
  downloading: 0.55,
  offered: 0.35,
  "fell-back": 0.8,
  rejected: 0.6,
  silent: 0.45,
  withdrawn: 0.5,
};

export function barOfCounts(counts: Record<string, number>): BarPart[] {
  return DEVICE_STATES.filter((state) => (counts[state] ?? 0) > 0).map((state) => ({
    label: humanize(state),
    value: counts[state] ?? 0,
    tone: updateTone(state),
    opacity: OPACITY[state] ?? 1,
  }));
}

export function barOfTotals(totals: RolloutView["totals"]): BarPart[] {
  return [
    { label: "Succeeded", value: totals.succeeded, tone: "ok" },
    { label: "Under way", value: totals.inProgress, tone: "busy" },
    { label: "Failed", value: totals.failed, tone: "bad" },
    { label: "Not started", value: totals.pending, tone: "idle" },
  ];
}

export function sumCounts(counts: Record<string, number>, states?: readonly string[]): number {
  return Object.entries(counts)
    .filter(([state]) => !states || states.includes(state))
    .reduce((sum, [, count]) => sum + count, 0);
}

/** Devices that have, or are about to have, the rollout's image. */
export function touchedDevices(rollout: RolloutView): number {
  return rollout.totals.devices - rollout.totals.pending;
}
