import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type RestartGroupView, restartGroupsQuery } from "../../api/index.ts";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

const COLUMNS: Column<RestartGroupView>[] = [
  {
    id: "signature",
    header: "Why they started",
    cell: ({ signature }) => (
      <Text size="sm" ff="monospace" style={{ overflowWrap: "anywhere" }}>
        {signature}
      </Text>
    ),
  },
  {
    id: "asked",
    header: "Asked for",
    visibleFrom: "sm",
    cell: ({ isAsked }) => (isAsked ? "Yes" : "No"),
  },
  { id: "count", header: "Count", align: "right", cell: ({ count }) => formatNumber(count) },
  {
    id: "devices",
    header: "Devices",
    align: "right",
    cell: ({ devices }) => formatNumber(devices),
  },
  {
    id: "firmware",
    header: "Firmware",
    visibleFrom: "sm",
    cell: ({ firmware }) =>
      firmware
        .slice(0, 3)
        .map(({ version, count }) => `${version || "not known"} (${count})`)
        .join(", "),
  },
  { id: "last", header: "Last", cell: ({ lastSeenAt }) => <TimeAgo time={lastSeenAt} /> },
  {
    id: "example",
    header: "Example",
    visibleFrom: "xs",
    cell: ({ exampleDeviceId }) => <DeviceLink deviceId={exampleDeviceId} tab="timeline" />,
  },
];

/** Restarts by their reason, asked for or not, the most frequent first. */
export function RestartTable() {
  const restarts = useQuery(restartGroupsQuery(useTenantId()));
  return (
    <Panel title="Restarts of seven days, by their reason" flush>
      <Loaded query={restarts}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed" px="md" pb="md">
              None. No device has told of a start in seven days.
            </Text>
          ) : (
            <DataTable
              caption="Restarts by reason"
              columns={COLUMNS}
              rows={items}
              rowId={({ signature }) => signature}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
