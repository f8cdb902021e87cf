import { Button, Group, Paper, Text } from "@mantine/core";
import { IconPlus, IconRocket } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { type RolloutView, rolloutsQuery } from "../../api/index.ts";
import { RolloutBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { Page } from "../../components/page.tsx";
import { StackedBar } from "../../components/stacked-bar.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { barOfTotals } from "../rollout/counts.ts";
import { PenaltyBox } from "./penalty-box.tsx";
import { StopUpdatesButton, UpdateStopBanner } from "./update-stop.tsx";

const CreateRollout = lazy(() =>
  import("./create-rollout.tsx").then(({ CreateRollout }) => ({ default: CreateRollout })),
);

export function RolloutsPage() {
  const tenant = useTenantId();
  const may = useMay();
  const { release } = useSearch({ from: "/signed-in/t/$tenant/rollouts" });
  const navigate = useNavigate({ from: "/t/$tenant/rollouts" });
  const rollouts = useQuery(rolloutsQuery(tenant));
  const [asked, setAsked] = useState(false);
  const creating = asked || release !== undefined;
  const close = () => {
    setAsked(false);
    void navigate({ search: {}, replace: true });
  };
  const button = may("engineer") && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setAsked(true)}>
      New rollout
    </Button>
  );

  return (
    <Page
      title="Rollouts"
      actions={
        <>
          <StopUpdatesButton />
          {button}
        </>
      }
    >
      <UpdateStopBanner />
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={rollouts}>
          {({ items }) =>
            items.length === 0 ? (
              <EmptyState icon={IconRocket} title="No rollout yet">
                A rollout brings a release to a few devices first, watches them, and widens only
                while nothing speaks against it.
                <Group justify="center" mt="md">
                  {button}
                </Group>
              </EmptyState>
            ) : (
              <RolloutTable tenant={tenant} rollouts={items} />
            )
          }
        </Loaded>
      </Paper>
      <PenaltyBox />
      {creating && (
        <Suspense>
          <CreateRollout releaseId={release} onClose={close} />
        </Suspense>
      )}
    </Page>
  );
}

function RolloutTable({ tenant, rollouts }: { tenant: string; rollouts: RolloutView[] }) {
  return (
    <DataTable
      caption="Rollouts"
      rows={rollouts}
      rowId={(rollout) => rollout.id}
      columns={[
        {
          id: "name",
          header: "Rollout",
          cell: (rollout) => (
            <>
              <Link
                to="/t/$tenant/rollouts/$rollout"
                params={{ tenant, rollout: rollout.id }}
                fw={550}
              >
                {rollout.name}
              </Link>
              <Text size="xs" c="dimmed">
                {rollout.release.product} {rollout.release.version}
              </Text>
            </>
          ),
        },
        {
          id: "state",
          header: "State",
          cell: (rollout) => <RolloutBadge state={rollout.state} />,
        },
        {
          id: "progress",
          header: "Devices",
          width: "26%",
          visibleFrom: "sm",
          cell: (rollout) => (
            <>
              <Text size="xs" c="dimmed" mb={4}>
                {formatNumber(rollout.totals.succeeded)} of {formatNumber(rollout.totals.devices)}
                {rollout.totals.failed > 0 && `, ${formatNumber(rollout.totals.failed)} failed`}
              </Text>
              <StackedBar label={rollout.name} parts={barOfTotals(rollout.totals)} />
            </>
          ),
        },
        {
          id: "stage",
          header: "Stage",
          visibleFrom: "md",
          cell: (rollout) => rollout.stages[rollout.stageIndex]?.name ?? "–",
        },
        {
          id: "created",
          header: "Created",
          visibleFrom: "md",
          cell: (rollout) => (
            <>
              <TimeAgo time={rollout.createdAt} />
              <Text size="xs" c="dimmed">
                by {rollout.createdBy}
              </Text>
            </>
          ),
        },
      ]}
    />
  );
}
