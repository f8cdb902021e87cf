import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type RestartGroupView, restartGroupsQuery } from "../../api/index.ts";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { COUNT_COLUMNS, LAST_COLUMN, signatureColumn } from "./group-columns.tsx";

const COLUMNS: Column<RestartGroupView>[] = [
  signatureColumn("Why they started"),
  {
    id: "asked",
    header: "Asked for",
    visibleFrom: "sm",
    cell: ({ isAsked }) => (isAsked ? "Yes" : "No"),
  },
  ...COUNT_COLUMNS,
  LAST_COLUMN,
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
