import { Button, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { api, penaltyBoxQuery } from "../../api/index.ts";
import { DataTable } from "../../components/data-table.tsx";
import { Panel } from "../../components/page.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";

/** Devices that rollouts leave out, and the way out for each; nothing while there are none. */
export function PenaltyBox() {
  const tenant = useTenantId();
  const may = useMay();
  const { data } = useQuery(penaltyBoxQuery(tenant));
  const pardon = useAction({
    run: (device: string) => api.pardonDevice(tenant, device),
    done: (_, device) => `${device} takes part in rollouts again`,
    refresh: ["tenant", tenant, "penalty-box"],
  });
  if (!data || data.items.length === 0) return null;
  return (
    <Panel title="Penalty box" flush>
      <Text size="sm" c="dimmed" px="md" pb="sm">
        Updates of these devices kept failing: new rollouts leave them out until they are let back
        in, or until the failures are old.
      </Text>
      <DataTable
        caption="Devices in the penalty box"
        rows={data.items}
        rowId={(item) => item.deviceId}
        columns={[
          {
            id: "device",
            header: "Device",
            cell: ({ deviceId }) => <DeviceLink deviceId={deviceId} tab="updates" fw={550} />,
          },
          { id: "failures", header: "Failed updates", cell: ({ failures }) => failures },
          {
            id: "last",
            header: "The last",
            visibleFrom: "sm",
            cell: ({ lastFailedAt }) => <TimeAgo time={lastFailedAt} />,
          },
          {
            id: "pardon",
            header: "",
            cell: ({ deviceId }) =>
              may("engineer") && (
                <Button
                  size="compact-xs"
                  variant="default"
                  loading={pardon.isPending && pardon.variables === deviceId}
                  aria-label={`Let ${deviceId} back in`}
                  onClick={() => pardon.mutate(deviceId)}
                >
                  Let back in
                </Button>
              ),
          },
        ]}
      />
    </Panel>
  );
}
