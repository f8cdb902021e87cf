import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { quarantinesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Panel } from "../../components/page.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** When and why the device was kept apart; nothing where it never was. */
export function QuarantineHistory({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const { data } = useQuery(quarantinesQuery(tenant, deviceId));
  if (!data || data.items.length === 0) return null;
  return (
    <Panel title="Quarantines" flush>
      <DataTable
        caption="Quarantines"
        rows={data.items}
        rowId={(quarantine) => quarantine.id}
        columns={[
          {
            id: "reason",
            header: "Reason",
            cell: (it) => (
              <>
                <Text size="sm">{it.reason}</Text>
                <Text size="xs" c="dimmed">
                  {it.setBy && `by ${it.setBy}`}
                </Text>
              </>
            ),
          },
          { id: "from", header: "From", cell: (it) => <TimeAgo time={it.setAt} /> },
          {
            id: "until",
            header: "Until",
            cell: (it) =>
              it.liftedAt ? (
                <>
                  <TimeAgo time={it.liftedAt} />
                  <Text size="xs" c="dimmed">
                    {it.liftReason}
                  </Text>
                </>
              ) : (
                <ToneBadge tone="late" label="In force" />
              ),
          },
        ]}
      />
    </Panel>
  );
}
