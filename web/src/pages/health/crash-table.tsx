import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type CrashGroupView, crashGroupsQuery } from "../../api/index.ts";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { COUNT_COLUMNS, LAST_COLUMN, signatureColumn } from "./group-columns.tsx";

/** Crashes of one cause together, the most frequent first. */
export function CrashTable() {
  const tenant = useTenantId();
  const crashes = useQuery(crashGroupsQuery(tenant));
  const columns: Column<CrashGroupView>[] = [
    signatureColumn("What they have in common"),
    ...COUNT_COLUMNS,
    {
      id: "first",
      header: "First",
      visibleFrom: "md",
      cell: ({ firstSeenAt }) => <TimeAgo time={firstSeenAt} />,
    },
    LAST_COLUMN,
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
