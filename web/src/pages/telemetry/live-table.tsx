import { Group, Text } from "@mantine/core";
import { ToneBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatFigure } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { type LiveState, useLiveValues } from "./use-live-values.ts";

const STATES: Record<LiveState, { tone: "ok" | "late" | "idle"; label: string }> = {
  off: { tone: "idle", label: "Off" },
  connecting: { tone: "idle", label: "Connecting" },
  live: { tone: "ok", label: "Live" },
  waiting: { tone: "late", label: "Trying again" },
};

interface LiveTableProps {
  metric: string;
  q: string | undefined;
  unit: string;
}

/** The newest value of each device, as they come in. */
export function LiveTable({ metric, q, unit }: LiveTableProps) {
  const tenant = useTenantId();
  const { values, state } = useLiveValues(tenant, { metric, q }, true);
  const rows = [...values.values()].sort((a, b) => a.deviceId.localeCompare(b.deviceId));
  return (
    <Panel
      flush
      title={
        <Group gap="sm">
          {metric} now <ToneBadge {...STATES[state]} />
        </Group>
      }
    >
      {rows.length === 0 ? (
        <Text size="sm" c="dimmed" px="md" pb="md">
          Values appear here as devices send them.
        </Text>
      ) : (
        <DataTable
          caption={`Newest values of ${metric}`}
          rows={rows}
          rowId={({ deviceId }) => deviceId}
          columns={[
            {
              id: "device",
              header: "Device",
              cell: ({ deviceId }) => <DeviceLink deviceId={deviceId} />,
            },
            {
              id: "value",
              header: unit ? `Value (${unit})` : "Value",
              align: "right",
              cell: ({ value }) => formatFigure(value),
            },
            { id: "time", header: "Measured", cell: ({ ts }) => <TimeAgo time={ts} /> },
          ]}
        />
      )}
    </Panel>
  );
}
