import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type CrashGroupView, crashGroupsQuery } from "../../api/index.ts";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** Crashes of one cause together, the most frequent first. */
export function CrashTable() {
  const tenant = useTenantId();
  const crashes = useQuery(crashGroupsQuery(tenant));
  const columns: Column<CrashGroupView>[] = [
    {
      id: "signature",
      header: "What they have in common",
      cell: ({ signature }) => (
        <Text size="sm" ff="monospace" style={{ overflowWrap: "anywhere" }}>
          {signature}
        </Text>
      ),
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
    {
      id: "first",
      header: "First",
      visibleFrom: "md",
      cell: ({ firstSeenAt }) => <TimeAgo time={firstSeenAt} />,
    },
    { id: "last", header: "Last", cell: ({ lastSeenAt }) => <TimeAgo time={lastSeenAt} /> },
    {
      id: "example",
      header: "Example",
      visibleFrom: "xs",
      cell: ({ example }) => <DeviceLink deviceId={example.deviceId} tab="timeline" />,
    },
  ];
  return (
    <Panel title="Crashes, fallbacks and failed self-tests of seven days" flush>
      <Loaded query={crashes}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed" px="md" pb="md">
              None. Nothing has crashed in seven days.
            </Text>
          ) : (
            <DataTable
              caption="Crashes by signature"
              columns={columns}
              rows={items}
              rowId={({ signature }) => signature}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
