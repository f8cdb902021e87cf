import { CloseButton, Group, Paper, Text } from "@mantine/core";
import { IconCertificate } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { failingRotationsQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { humanize, plural } from "../../components/format.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

export function FailingTable() {
  const tenant = useTenantId();
  const { step } = useSearch({ from: "/signed-in/t/$tenant/certificates" });
  const navigate = useNavigate({ from: "/t/$tenant/certificates" });
  const pages = useCursors(step ?? "");
  const failing = useQuery(failingRotationsQuery(tenant, { step, cursor: pages.cursor }));
  return (
    <Paper style={{ overflow: "hidden" }}>
      {step && (
        <Group px="md" pt="md" gap="xs">
          <ToneBadge tone="late" label={`Stuck at: ${humanize(step)}`} />
          <CloseButton
            size="sm"
            aria-label="Show every step"
            onClick={() => void navigate({ search: { tab: "failing" } })}
          />
        </Group>
      )}
      <Loaded query={failing}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconCertificate} title="No rotation is in trouble">
              Devices that cannot renew their certificates show up here, with the step at which they
              are stuck and what they say of it.
            </EmptyState>
          ) : (
            <>
              <DataTable
                caption="Devices whose rotation is in trouble"
                rows={items}
                rowId={(row) => row.deviceId}
                columns={[
                  {
                    id: "device",
                    header: "Device",
                    cell: ({ deviceId }) => <DeviceLink deviceId={deviceId} tab="certificates" />,
                  },
                  {
                    id: "step",
                    header: "Step",
                    cell: (row) => <ToneBadge tone="late" label={humanize(row.step)} />,
                  },
                  {
                    id: "error",
                    header: "What it says",
                    visibleFrom: "sm",
                    cell: ({ error }) => (
                      <Text size="sm" lineClamp={2} title={error.message}>
                        {error.message || error.element || "–"}
                      </Text>
                    ),
                  },
                  { id: "times", header: "Times", align: "right", cell: (row) => row.failures },
                  {
                    id: "until",
                    header: "Good until",
                    visibleFrom: "md",
                    cell: (row) => <TimeAgo time={row.notAfter} fallback="no certificate" />,
                  },
                  {
                    id: "last",
                    header: "Last",
                    cell: (row) => <TimeAgo time={row.updatedAt} />,
                  },
                ]}
              />
              <CursorPager
                pages={pages}
                nextCursor={nextCursor}
                summary={plural(items.length, "device")}
              />
            </>
          )
        }
      </Loaded>
    </Paper>
  );
}
