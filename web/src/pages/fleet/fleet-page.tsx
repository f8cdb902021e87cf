import { SimpleGrid, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { fleetSummaryQuery } from "../../api/index.ts";
import { plural } from "../../components/format.ts";
import { Page } from "../../components/page.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { DeviceTable } from "./device-table.tsx";
import { FirstDevice } from "./first-device.tsx";
import { toggleTerm } from "./fleet-query.ts";
import { HealthPanel } from "./health-panel.tsx";
import { SummaryTiles } from "./summary-tiles.tsx";

export function FleetPage() {
  const tenant = useTenantId();
  const { q = "", sort } = useSearch({ from: "/signed-in/t/$tenant/fleet" });
  const navigate = useNavigate({ from: "/t/$tenant/fleet" });
  const summary = useQuery(fleetSummaryQuery(tenant));

  const search = (query: string) =>
    void navigate({ search: (held) => ({ ...held, q: query.trim() || undefined }) });
  const sortBy = (order: string) => void navigate({ search: (held) => ({ ...held, sort: order }) });
  const drill = (field: string, value: string) => search(toggleTerm(q, field, value));

  if (summary.data?.total === 0) {
    return (
      <Page title="Fleet">
        <FirstDevice />
      </Page>
    );
  }
  return (
    <Page
      title="Fleet"
      aside={
        summary.data && (
          <Text c="dimmed" size="sm">
            {plural(summary.data.total, "device")}
          </Text>
        )
      }
    >
      <SummaryTiles query={q} summary={summary} onDrill={drill} />
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
        <HealthPanel
          by="firmware"
          field="firmware.version"
          title="Firmware"
          query={q}
          onDrill={drill}
        />
        <HealthPanel by="hardware" field="hardware" title="Hardware" query={q} onDrill={drill} />
        <HealthPanel by="region" field="region" title="Region" query={q} onDrill={drill} />
      </SimpleGrid>
      <DeviceTable query={q} sort={sort} onSearch={search} onSort={sortBy} />
    </Page>
  );
}
