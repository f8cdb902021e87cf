import { Code, Grid, Group, Skeleton, Stack, Text, Tooltip } from "@mantine/core";
import { useParams } from "@tanstack/react-router";
import { type Liveness, type RolloutView, useLiveRollout } from "../../api/index.ts";
import { RolloutBadge } from "../../components/badges.tsx";
import { Page, Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { toneFill } from "../../theme/tones.ts";
import { UpdateStopBanner } from "../rollouts/update-stop.tsx";
import { DeviceDrill } from "./device-drill.tsx";
import { EvidenceChart } from "./evidence-chart.tsx";
import { EvidencePanel } from "./evidence-panel.tsx";
import { PlanPanel } from "./plan-panel.tsx";
import { Savings } from "./savings.tsx";
import { StageSteps } from "./stage-steps.tsx";
import { SteerButtons } from "./steer-buttons.tsx";
import { ThresholdTable } from "./threshold-table.tsx";
import { VerdictBanner } from "./verdict-banner.tsx";
import { VerdictHistory } from "./verdict-history.tsx";

export function RolloutPage() {
  const tenant = useTenantId();
  const { rollout: id } = useParams({ from: "/signed-in/t/$tenant/rollouts/$rollout" });
  const rollout = useLiveRollout(tenant, id);
  const { data } = rollout;

  return (
    <Page
      title={data?.name ?? "Rollout"}
      parent={{ label: "Rollouts", to: `/t/${tenant}/rollouts` }}
      aside={
        data ? (
          <Group gap="xs">
            <RolloutBadge state={data.state} size="lg" />
            <LiveDot liveness={rollout.liveness} />
          </Group>
        ) : (
          <Skeleton w={120} h={24} />
        )
      }
      description={data && <Subtitle rollout={data} />}
      actions={data && <SteerButtons rollout={data} />}
    >
      <Loaded query={rollout}>
        {(view) => (
          <Stack gap="md">
            <UpdateStopBanner />
            <VerdictBanner rollout={view} />
            <StageSteps rollout={view} />
            <Grid gap="md">
              <Grid.Col span={{ base: 12, lg: 8 }}>
                <Stack gap="md">
                  <EvidencePanel rollout={view} />
                  <EvidenceChart rollout={view} />
                  <DeviceDrill rollout={view} />
                </Stack>
              </Grid.Col>
              <Grid.Col span={{ base: 12, lg: 4 }}>
                <Stack gap="md">
                  <Savings rollout={view} />
                  <ThresholdTable rollout={view} />
                  <PlanPanel rollout={view} />
                  <Panel title="Verdicts">
                    <VerdictHistory rollout={view} />
                  </Panel>
                </Stack>
              </Grid.Col>
            </Grid>
          </Stack>
        )}
      </Loaded>
    </Page>
  );
}

function Subtitle({ rollout }: { rollout: RolloutView }) {
  return (
    <Group gap="2px 6px">
      <span>
        {rollout.kind === "rollback" ? "Back to" : ""} {rollout.release.product}{" "}
        <b>{rollout.release.version}</b> for
      </span>
      {rollout.query ? <Code>{rollout.query}</Code> : <span>every device that it fits</span>}
      <span>
        · created <TimeAgo time={rollout.createdAt} /> by {rollout.createdBy}
      </span>
    </Group>
  );
}

const LIVENESS: Record<Liveness, { label: string; hint: string; tone: "ok" | "late" | "idle" }> = {
  live: { label: "Live", hint: "Changes arrive as they happen", tone: "ok" },
  connecting: { label: "Connecting", hint: "Opening the live view", tone: "idle" },
  polling: {
    label: "Reconnecting",
    hint: "The live view is away; the page asks every few seconds meanwhile",
    tone: "late",
  },
};

function LiveDot({ liveness }: { liveness: Liveness }) {
  const { label, hint, tone } = LIVENESS[liveness];
  return (
    <Tooltip label={hint}>
      <Group gap={6} wrap="nowrap" role="status">
        <span
          className={liveness === "live" ? "pulse" : undefined}
          style={{ width: 8, height: 8, borderRadius: 4, background: toneFill(tone) }}
        />
        <Text size="xs" c="dimmed">
          {label}
        </Text>
      </Group>
    </Tooltip>
  );
}
