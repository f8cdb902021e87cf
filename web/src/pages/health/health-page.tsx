import { Group, Select, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { fleetMatrixQuery, groupsQuery } from "../../api/index.ts";
import { Page, Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { CrashTable } from "./crash-table.tsx";
import { HealthMatrix } from "./health-matrix.tsx";
import { HistoryPanel } from "./history-panel.tsx";
import { RestartTable } from "./restart-table.tsx";
import { VersionComparison } from "./version-comparison.tsx";

const DIMENSIONS = [
  { value: "firmware", label: "Firmware" },
  { value: "hardware", label: "Hardware" },
  { value: "product", label: "Product" },
  { value: "region", label: "Region" },
  { value: "group", label: "Group" },
];

/** How the fleet fares: crossed, over time, why it crashes, and whether the new version is better. */
export function HealthPage() {
  const tenant = useTenantId();
  const { by = "firmware", across = "region" } = useSearch({ from: "/signed-in/t/$tenant/health" });
  const navigate = useNavigate({ from: "/t/$tenant/health" });
  const matrix = useQuery(fleetMatrixQuery(tenant, by, across));
  const groups = useQuery(groupsQuery(tenant));
  const choose = (change: { by?: string; across?: string }) =>
    void navigate({ search: (held) => ({ ...held, ...change }), replace: true });

  return (
    <Page title="Fleet health">
      <Stack gap="md">
        <Panel
          title="Where it fails"
          actions={
            <Group gap="xs">
              <Chooser label="Rows" value={by} onChange={(value) => choose({ by: value })} />
              <Chooser
                label="Columns"
                value={across}
                onChange={(value) => choose({ across: value })}
              />
            </Group>
          }
        >
          <Loaded query={matrix}>
            {({ items }) => (
              <HealthMatrix
                cells={items}
                by={by}
                across={across}
                groups={groups.data?.items ?? []}
              />
            )}
          </Loaded>
        </Panel>
        <HistoryPanel />
        <VersionComparison />
        <CrashTable />
        <RestartTable />
      </Stack>
    </Page>
  );
}

interface ChooserProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

function Chooser({ label, value, onChange }: ChooserProps) {
  return (
    <Select
      aria-label={label}
      size="xs"
      w={120}
      data={DIMENSIONS}
      value={value}
      allowDeselect={false}
      onChange={(chosen) => chosen && onChange(chosen)}
    />
  );
}
