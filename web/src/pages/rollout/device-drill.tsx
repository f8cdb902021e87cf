import { Box, Chip, Group, Progress, Select, Text } from "@mantine/core";
import { IconDevices } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import {
  failureOf,
  type RolloutDevice,
  type RolloutView,
  rolloutDevicesQuery,
} from "../../api/index.ts";
import { UpdateBadge } from "../../components/badges.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatBytes, formatNumber, humanize } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { EmptyState, ListSkeleton, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { TONE_COLORS, updateTone } from "../../theme/tones.ts";
import { DEVICE_STATES } from "./counts.ts";

const PAGE_SIZE = 20;

/** The devices of the rollout, by state and stage, with the reason of each failure. */
export function DeviceDrill({ rollout }: { rollout: RolloutView }) {
  const tenant = useTenantId();
  const { state, stage } = useSearch({ from: "/signed-in/t/$tenant/rollouts/$rollout" });
  const navigate = useNavigate({ from: "/t/$tenant/rollouts/$rollout" });
  const pages = useCursors(`${rollout.id} ${state ?? ""} ${stage ?? ""}`);
  const devices = useQuery(
    rolloutDevicesQuery(tenant, rollout.id, {
      state,
      stage: stage === undefined ? undefined : Number(stage),
      cursor: pages.cursor,
      limit: PAGE_SIZE,
    }),
  );
  const counts = countStates(rollout, stage);
  const choose = (next: string | undefined) =>
    void navigate({
      search: (held) => ({ ...held, state: next }),
      replace: true,
      resetScroll: false,
    });

  return (
    <Panel
      title="Devices"
      flush
      actions={
        <Select
          size="xs"
          w={150}
          aria-label="Stage"
          data={[
            { value: "", label: "All stages" },
            ...rollout.stages.map(({ index, name }) => ({ value: String(index), label: name })),
          ]}
          value={stage ?? ""}
          allowDeselect={false}
          onChange={(next) =>
            void navigate({
              search: (held) => ({ ...held, stage: next || undefined }),
              replace: true,
              resetScroll: false,
            })
          }
        />
      }
    >
      <Group gap={6} px="md" pb="sm">
        <Chip size="xs" checked={!state} onChange={() => choose(undefined)}>
          All
        </Chip>
        {DEVICE_STATES.filter((name) => (counts[name] ?? 0) > 0 || name === state).map((name) => (
          <Chip
            key={name}
            size="xs"
            color={TONE_COLORS[updateTone(name)]}
            checked={state === name}
            onChange={() => choose(state === name ? undefined : name)}
          >
            {humanize(name)} {formatNumber(counts[name] ?? 0)}
          </Chip>
        ))}
      </Group>
      <Loaded query={devices} skeleton={<ListSkeleton rows={5} />}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconDevices} title="No device here">
              {state ? "None is in this state at the moment." : "The plan is being made."}
            </EmptyState>
          ) : (
            <Box>
              <DataTable
                caption="Devices of the rollout"
                rows={items}
                rowId={(device) => device.deviceId}
                columns={columnsOf(rollout)}
              />
              <CursorPager
                pages={pages}
                nextCursor={nextCursor}
                summary={`${items.length} shown`}
              />
            </Box>
          )
        }
      </Loaded>
    </Panel>
  );
}

function countStates(rollout: RolloutView, stage: string | undefined): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const view of rollout.stages) {
    if (stage !== undefined && view.index !== Number(stage)) continue;
    for (const [state, count] of Object.entries(view.counts)) {
      counts[state] = (counts[state] ?? 0) + count;
    }
  }
  return counts;
}

function columnsOf(rollout: RolloutView): Column<RolloutDevice>[] {
  return [
    {
      id: "device",
      header: "Device",
      cell: (device) => (
        <DeviceLink
          deviceId={device.deviceId}
          tab="updates"
          fw={550}
          style={{ whiteSpace: "nowrap" }}
        />
      ),
    },
    {
      id: "state",
      header: "State",
      cell: (device) => (
        <>
          <UpdateBadge state={device.state} />
          {device.progress !== null && updateTone(device.state) === "busy" && (
            <Progress
              value={device.progress * 100}
              size={4}
              mt={4}
              aria-label={`${device.deviceId} ${device.state}`}
            />
          )}
        </>
      ),
    },
    {
      id: "what",
      header: "What happened",
      cell: (device) => <WhatHappened device={device} />,
    },
    {
      id: "from",
      header: "From",
      visibleFrom: "sm",
      cell: (device) => <span className="mono">{device.sourceVersion ?? "?"}</span>,
    },
    {
      id: "stage",
      header: "Stage",
      visibleFrom: "md",
      cell: (device) => rollout.stages[device.stageIndex]?.name ?? device.stageIndex + 1,
    },
    {
      id: "changed",
      header: "Changed",
      visibleFrom: "sm",
      cell: (device) => <TimeAgo time={device.finishedAt ?? device.updatedAt} />,
    },
  ];
}

function WhatHappened({ device }: { device: RolloutDevice }) {
  const failure = failureOf(device);
  if (failure) {
    return (
      <Text size="sm" c="var(--vautn-bad-text)">
        {failure.message}
        <Text span size="xs" c="dimmed">
          {" "}
          ({[failure.phase, failure.element].filter(Boolean).join(", ")})
        </Text>
      </Text>
    );
  }
  const words = [
    device.format && `as ${device.format}`,
    device.bytesDownloaded > 0 && formatBytes(device.bytesDownloaded),
    device.excludedReason && `not compared: ${device.excludedReason}`,
  ].filter(Boolean);
  return (
    <Text size="sm" c="dimmed">
      {words.join(" · ") || "–"}
    </Text>
  );
}
