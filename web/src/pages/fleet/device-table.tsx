import { Badge, Box, Group, Paper, Text } from "@mantine/core";
import { IconSearchOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { ApiError, type DeviceView, devicesQuery } from "../../api/index.ts";
import { PresenceBadge } from "../../components/badges.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { EmptyState, ListSkeleton, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { QueryBox } from "./query-box.tsx";

const PAGE_SIZE = 25;
const TAGS_SHOWN = 2;

interface DeviceTableProps {
  query: string;
  sort: string | undefined;
  onSearch: (query: string) => void;
  onSort: (sort: string) => void;
}

const COLUMNS: Column<DeviceView>[] = [
  {
    id: "id",
    header: "Device",
    sortKey: "id",
    cell: (device) => (
      <DeviceLink deviceId={device.id} fw={550} style={{ overflowWrap: "anywhere" }} />
    ),
  },
  {
    id: "presence",
    header: "Presence",
    cell: (device) => <PresenceBadge presence={device.presence} />,
  },
  {
    id: "firmware",
    header: "Firmware",
    cell: (device) =>
      device.firmware ? (
        <Text span inherit className="mono">
          {device.firmware.version}
        </Text>
      ) : (
        <Text span inherit c="dimmed">
          not known
        </Text>
      ),
  },
  {
    id: "hardware",
    header: "Hardware",
    visibleFrom: "md",
    cell: (device) => (
      <>
        {device.product}{" "}
        <Text span inherit c="dimmed">
          {device.hardwareRevision}
        </Text>
      </>
    ),
  },
  { id: "region", header: "Region", visibleFrom: "sm", cell: (device) => device.region || "–" },
  {
    id: "tags",
    header: "Tags",
    visibleFrom: "lg",
    cell: (device) => <Tags tags={device.tags} />,
  },
  {
    id: "lastSeen",
    header: "Last seen",
    sortKey: "lastSeen",
    visibleFrom: "xs",
    cell: (device) => <TimeAgo time={device.lastSeenAt} fallback="never" />,
  },
];

export function DeviceTable({ query, sort, onSearch, onSort }: DeviceTableProps) {
  const tenant = useTenantId();
  const pages = useCursors(`${tenant} ${query} ${sort ?? ""}`);
  const devices = useQuery(
    devicesQuery(tenant, { q: query, sort, cursor: pages.cursor, limit: PAGE_SIZE }),
  );
  const queryError =
    devices.error instanceof ApiError && devices.error.code === "invalid-query"
      ? devices.error
      : null;

  return (
    <Paper component="section" aria-label="Devices">
      <Box p="md">
        <QueryBox query={query} error={queryError} onSearch={onSearch} />
      </Box>
      {!queryError && (
        <Loaded query={devices} skeleton={<ListSkeleton rows={8} />}>
          {({ items, nextCursor, total }) =>
            items.length === 0 ? (
              <EmptyState icon={IconSearchOff} title="No device matches">
                Take a part of the query away, or clear it to see the whole fleet.
              </EmptyState>
            ) : (
              <Box style={{ opacity: devices.isPlaceholderData ? 0.6 : 1 }}>
                <DataTable
                  caption="Devices"
                  columns={COLUMNS}
                  rows={items}
                  rowId={(device) => device.id}
                  sort={sort ?? "id"}
                  onSort={onSort}
                />
                <CursorPager
                  pages={pages}
                  nextCursor={nextCursor}
                  summary={
                    total === undefined
                      ? `${items.length} shown`
                      : `${items.length} of ${formatNumber(total)}`
                  }
                />
              </Box>
            )
          }
        </Loaded>
      )}
    </Paper>
  );
}

export function Tags({ tags }: { tags: Record<string, unknown> }) {
  const all = Object.entries(tags);
  return (
    <Group gap={4} wrap="nowrap">
      {all.slice(0, TAGS_SHOWN).map(([name, value]) => (
        <Badge key={name} variant="default" radius="sm" tt="none" fw={450} size="sm">
          {name}: {String(value)}
        </Badge>
      ))}
      {all.length > TAGS_SHOWN && (
        <Text size="xs" c="dimmed" title={all.map((tag) => tag.join(": ")).join(", ")}>
          +{all.length - TAGS_SHOWN}
        </Text>
      )}
    </Group>
  );
}
