import { Tabs } from "@mantine/core";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Page } from "../../components/page.tsx";
import { useGroups } from "../../shell/use-tenant.ts";
import { Explore } from "./explore.tsx";
import { RetentionPanel } from "./retention-panel.tsx";
import { StoragePanel } from "./storage-panel.tsx";

/** What the fleet measures: to look at, and what it takes to keep it. */
export function TelemetryPage() {
  const { tab } = useSearch({ from: "/signed-in/t/$tenant/telemetry" });
  const navigate = useNavigate({ from: "/t/$tenant/telemetry" });
  const isConfined = useGroups() !== null;
  return (
    <Page title="Telemetry">
      <Tabs
        value={tab ?? "explore"}
        keepMounted={false}
        onChange={(next) =>
          void navigate({
            search: next === "explore" ? {} : { tab: next ?? undefined },
            replace: true,
          })
        }
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="explore">Explore</Tabs.Tab>
          {!isConfined && <Tabs.Tab value="storage">Storage</Tabs.Tab>}
          <Tabs.Tab value="retention">Retention</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="explore">
          <Explore />
        </Tabs.Panel>
        <Tabs.Panel value="storage">
          <StoragePanel />
        </Tabs.Panel>
        <Tabs.Panel value="retention">
          <RetentionPanel />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
