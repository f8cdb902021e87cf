import { Button, Group, Paper, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconPlus, IconTerminal2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type CommandBatchView, commandBatchesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatNumber, humanize } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { Page } from "../../components/page.tsx";
import { StackedBar } from "../../components/stacked-bar.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";
import { barOfBatch, targetText } from "./batch-bar.ts";
import { NewBatch } from "./new-batch.tsx";

const PAGE_SIZE = 25;
const STATE_TONES: Record<CommandBatchView["state"], Tone> = {
  running: "busy",
  paused: "late",
  cancelled: "idle",
  done: "ok",
};

export function BatchStateBadge({ state }: Pick<CommandBatchView, "state">) {
  return <ToneBadge tone={STATE_TONES[state]} label={humanize(state)} />;
}

/** Commands to many devices, newest first. */
export function BatchesPage() {
  const tenant = useTenantId();
  const may = useMay();
  const pages = useCursors(tenant);
  const batches = useQuery(commandBatchesQuery(tenant, pages.cursor, PAGE_SIZE));
  const [asking, ask] = useDisclosure(false);
  const button = may("operate") && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={ask.open}>
      Send to many
    </Button>
  );
  return (
    <Page title="Commands" actions={button}>
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={batches}>
          {({ items, nextCursor }) =>
            items.length === 0 ? (
              <EmptyState icon={IconTerminal2} title="No command to many devices yet">
                One order to a group, or to all that a query finds, at the pace that you choose.
                Commands to a single device stand on its page.
              </EmptyState>
            ) : (
              <>
                <DataTable
                  caption="Command batches"
                  rows={items}
                  rowId={({ id }) => id}
                  columns={columnsOf(tenant)}
                />
                <CursorPager
                  pages={pages}
                  nextCursor={nextCursor}
                  summary={`${items.length} shown`}
                />
              </>
            )
          }
        </Loaded>
      </Paper>
      <NewBatch opened={asking} onClose={ask.close} />
    </Page>
  );
}

function columnsOf(tenant: string): Column<CommandBatchView>[] {
  return [
    {
      id: "name",
      header: "Command",
      cell: (batch) => (
        <>
          <Link to="/t/$tenant/commands/$batch" params={{ tenant, batch: batch.id }} fw={550}>
            {batch.name}
          </Link>
          <Text size="xs" c="dimmed" lineClamp={1} maw={320}>
            for {targetText(batch)}
          </Text>
        </>
      ),
    },
    { id: "state", header: "State", cell: ({ state }) => <BatchStateBadge state={state} /> },
    {
      id: "progress",
      header: "Devices",
      cell: (batch) => (
        <Group gap="sm" wrap="nowrap" miw={140}>
          <div style={{ flex: 1 }}>
            <StackedBar label={`Devices of ${batch.name}`} parts={barOfBatch(batch)} />
          </div>
          <Text size="xs">{formatNumber(batch.devices)}</Text>
        </Group>
      ),
    },
    {
      id: "sent",
      header: "Sent",
      visibleFrom: "sm",
      cell: (batch) => (
        <>
          <TimeAgo time={batch.createdAt} />
          <Text size="xs" c="dimmed">
            by {batch.createdBy}
          </Text>
        </>
      ),
    },
  ];
}
