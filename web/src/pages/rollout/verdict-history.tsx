import { Text, Timeline } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type RolloutView, type Verdict, verdictsQuery } from "../../api/index.ts";
import { ListSkeleton, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { TONE_COLORS } from "../../theme/tones.ts";
import { ReplayVerdict } from "./replay-verdict.tsx";
import { DECISIONS } from "./verdict-banner.tsx";

const SHOWN = 20;
/** Decisions that follow from figures. */
const JUDGED: ReadonlySet<string> = new Set(["wait", "promote", "pause", "ask", "finish"]);

/** What the gate and people decided, the newest first; looks that changed nothing are folded. */
export function VerdictHistory({ rollout }: { rollout: RolloutView }) {
  const tenant = useTenantId();
  const verdicts = useQuery(verdictsQuery(tenant, rollout.id, rollout.lastVerdict?.at ?? ""));
  return (
    <Loaded query={verdicts} skeleton={<ListSkeleton rows={4} />}>
      {({ items }) => (
        <Timeline bulletSize={24} lineWidth={1} active={SHOWN}>
          {fold(items)
            .slice(0, SHOWN)
            .map(({ verdict, looks }) => {
              const look = DECISIONS[verdict.decision] ?? DECISIONS.wait;
              const Icon = look?.icon;
              return (
                <Timeline.Item
                  key={`${verdict.at} ${verdict.decision}`}
                  color={TONE_COLORS[look?.tone ?? "idle"]}
                  bullet={Icon && <Icon size={13} aria-hidden />}
                  title={
                    <Text size="sm" fw={600}>
                      {look?.label ?? verdict.decision}
                      {looks > 1 && (
                        <Text span inherit c="dimmed" fw={400}>
                          {" "}
                          · {looks} looks
                        </Text>
                      )}
                    </Text>
                  }
                >
                  <Text size="sm">{verdict.sentence}</Text>
                  <Text size="xs" c="dimmed">
                    <TimeAgo time={verdict.at} />
                    {verdict.stageIndex !== undefined &&
                      ` · stage ${rollout.stages[verdict.stageIndex]?.name ?? verdict.stageIndex + 1}`}
                    {verdict.decidedBy && verdict.decidedBy !== "gate" && ` · ${verdict.decidedBy}`}
                  </Text>
                  {verdict.decidedBy === "gate" &&
                    verdict.seq !== undefined &&
                    JUDGED.has(verdict.decision) && (
                      <ReplayVerdict rollout={rollout.id} seq={verdict.seq} />
                    )}
                </Timeline.Item>
              );
            })}
        </Timeline>
      )}
    </Loaded>
  );
}

/** Consecutive looks that ended in waiting, as the newest of them. */
function fold(verdicts: readonly Verdict[]): { verdict: Verdict; looks: number }[] {
  const folded: { verdict: Verdict; looks: number }[] = [];
  for (const verdict of verdicts) {
    const last = folded.at(-1);
    const same =
      last?.verdict.decision === "wait" &&
      verdict.decision === "wait" &&
      last.verdict.stageIndex === verdict.stageIndex;
    if (last && same) last.looks += 1;
    else folded.push({ verdict, looks: 1 });
  }
  return folded;
}
