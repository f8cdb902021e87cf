import { Chip, Group } from "@mantine/core";
import { IconDevices } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import {
  type CommandBatchView,
  type CommandStatus,
  type CommandView,
  commandBatchDevicesQuery,
} from "../../api/index.ts";
import { CommandBadge } from "../../components/badges.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatNumber, humanize } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { Panel } from "../../components/page.tsx";
import { EmptyState, ListSkeleton, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { commandTone, TONE_COLORS } from "../../theme/tones.ts";
import { CommandAnswer } from "../device/command-answer.tsx";
import { COMMAND_STATES } from "./batch-bar.ts";

const PAGE_SIZE = 20;

/** The last attempt of each device, by state. */
export function BatchDevices({ tenant, batch }: { tenant: string; batch: CommandBatchView }) {
  const { status } = useSearch({ from: "/signed-in/t/$tenant/commands/$batch" });
  const navigate = useNavigate({ from: "/t/$tenant/commands/$batch" });
  const pages = useCursors(`${batch.id} ${status ?? ""}`);
  const known = COMMAND_STATES.find((state) => state === status);
  const devices = useQuery(
    commandBatchDevicesQuery(tenant, batch.id, {
      status: known,
      cursor: pages.cursor,
      limit: PAGE_SIZE,
    }),
  );
  const choose = (next: CommandStatus | undefined) =>
    void navigate({
      search: (held) => ({ ...held, status: next }),
      replace: true,
      resetScroll: false,
    });
  return (
    <Panel title="Devices" flush>
      <Group gap={6} px="md" pb="sm">
        <Chip size="xs" checked={!known} onChange={() => choose(undefined)}>
          All
        </Chip>
        {COMMAND_STATES.filter((state) => batch.counts[state] > 0 || state === known).map(
          (state) => (
            <Chip
              key={state}
              size="xs"
              color={TONE_COLORS[commandTone(state)]}
              checked={known === state}
              onChange={() => choose(known === state ? undefined : state)}
            >
              {humanize(state)} {formatNumber(batch.counts[state])}
            </Chip>
          ),
        )}
      </Group>
      <Loaded query={devices} skeleton={<ListSkeleton rows={5} />}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconDevices} title="No device here">
              None is in this state at the moment.
            </EmptyState>
          ) : (
            <>
              <DataTable
                caption="Devices of the batch"
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
    </Panel>
  );
}

function columnsOf(tenant: string): Column<CommandView>[] {
  return [
    {
      id: "device",
      header: "Device",
      cell: ({ deviceId }) => <DeviceLink deviceId={deviceId} tab="commands" fw={550} />,
    },
    {
      id: "status",
      header: "State",
      cell: ({ id, deviceId, status, attempt, maxAttempts }) => (
        <>
          <CommandBadge status={status} />{" "}
          <Link
            to="/t/$tenant/devices/$device"
            params={{ tenant, device: deviceId }}
            search={{ tab: "commands", command: id }}
            size="xs"
          >
            details
          </Link>
          {maxAttempts > 1 && ` attempt ${attempt} of ${maxAttempts}`}
        </>
      ),
    },
    {
      id: "answer",
      header: "Answer",
      visibleFrom: "sm",
      cell: (command) => <CommandAnswer command={command} />,
    },
    {
      id: "finished",
      header: "Finished",
      visibleFrom: "sm",
      cell: ({ finishedAt }) => <TimeAgo time={finishedAt} />,
    },
  ];
}
