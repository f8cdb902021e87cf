import { Group, Paper, Text, ThemeIcon } from "@mantine/core";
import {
  IconArrowBackUp,
  IconArrowForwardUp,
  IconFlag,
  IconHourglass,
  IconPlayerPause,
  IconPlayerPlay,
  IconQuestionMark,
  IconX,
} from "@tabler/icons-react";
import type { RolloutView } from "../../api/index.ts";
import { formatDuration, humanize } from "../../components/format.ts";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useNow } from "../../components/use-now.ts";
import { TONE_COLORS, type Tone } from "../../theme/tones.ts";

export const DECISIONS: Record<string, { icon: typeof IconX; tone: Tone; label: string }> = {
  start: { icon: IconPlayerPlay, tone: "busy", label: "Started" },
  wait: { icon: IconHourglass, tone: "busy", label: "Watching" },
  promote: { icon: IconArrowForwardUp, tone: "ok", label: "Widened" },
  finish: { icon: IconFlag, tone: "ok", label: "Finished" },
  pause: { icon: IconPlayerPause, tone: "bad", label: "Paused" },
  resume: { icon: IconPlayerPlay, tone: "busy", label: "Resumed" },
  ask: { icon: IconQuestionMark, tone: "late", label: "Asks you" },
  rollback: { icon: IconArrowBackUp, tone: "bad", label: "Rolling back" },
  cancel: { icon: IconX, tone: "idle", label: "Cancelled" },
};

/** What the gate says now, in a sentence, and when it looks again. */
export function VerdictBanner({ rollout }: { rollout: RolloutView }) {
  const verdict = rollout.lastVerdict;
  const look = DECISIONS[verdict?.decision ?? ""] ?? DECISIONS.wait;
  if (!look) return null;
  const Icon = look.icon;
  const color = TONE_COLORS[look.tone];
  return (
    <Paper
      p="md"
      component="section"
      aria-label="The gate's verdict"
      aria-live="polite"
      style={{ borderInlineStart: `4px solid var(--vautn-${look.tone})` }}
    >
      <Group wrap="nowrap" align="flex-start" gap="md">
        <ThemeIcon size={40} radius="xl" variant="light" color={color}>
          <Icon size={20} aria-hidden />
        </ThemeIcon>
        <div style={{ minWidth: 0, flex: 1 }}>
          <Text fw={600} fz="lg" lh={1.4}>
            {sentenceOf(rollout)}
          </Text>
          <Group gap="2px 16px" mt={4} c="dimmed" fz="sm">
            {verdict && (
              <span>
                {look.label} by rule <span className="mono">{humanize(verdict.rule)}</span>,{" "}
                <TimeAgo time={verdict.at} />
              </span>
            )}
            <NextDecision rollout={rollout} />
          </Group>
        </div>
      </Group>
    </Paper>
  );
}

/** While it is prepared the latest verdict is of somebody's hand: what it waits for is said instead. */
function sentenceOf({ state, stateReason, lastVerdict }: RolloutView): string {
  if (state === "preparing" && stateReason) return stateReason;
  return lastVerdict?.sentence ?? (stateReason || "The rollout is being prepared.");
}

/** What a rollout waits for before it begins. */
function beginningOf({ needsApproval, policy }: RolloutView, now: number): string {
  if (needsApproval) return "A second person decides whether it begins";
  const startsMs = policy.startAt ? Date.parse(policy.startAt) : 0;
  return startsMs > now
    ? `Begins in ${formatDuration(startsMs - now)}`
    : "Begins when its deltas are ready";
}

/** When the gate looks, from when on it may widen, and when it asks a person in any case. */
function NextDecision({ rollout }: { rollout: RolloutView }) {
  const now = useNow("second");
  const { state, kind, stageStartedAt, stageIndex, policy, nextLookAt: lookAt } = rollout;
  if (state === "preparing") return <span>{beginningOf(rollout, now)}</span>;
  if (state === "paused" || state === "needs-decision") {
    return <span>Next decides a person: nobody else begins until then</span>;
  }
  if (!lookAt || state !== "running" || kind !== "update") return null;
  const until = (atMs: number) => Math.ceil((atMs - now) / 1_000) * 1_000;
  const looks = until(Date.parse(lookAt));
  const parts = [
    looks > 0 ? `The gate looks again in ${formatDuration(looks)}` : "The gate is looking now",
  ];
  const stage = policy.stages[stageIndex];
  if (stageStartedAt && stage) {
    const began = Date.parse(stageStartedAt);
    const soaks = until(began + (stage.minSoakSeconds ?? policy.minSoakSeconds) * 1_000);
    if (soaks > 0) parts.push(`may widen in ${formatDuration(soaks)}`);
    if (policy.maxSoakSeconds !== null) {
      const widens = until(began + policy.maxSoakSeconds * 1_000);
      if (widens > 0)
        parts.push(`widens in ${formatDuration(widens)} where nothing speaks against it`);
    }
    const asks = until(began + policy.askAfterSeconds * 1_000);
    if (asks > 0) parts.push(`asks a person in ${formatDuration(asks)} at the latest`);
  }
  return <span className="figures">{parts.join(", ")}</span>;
}
