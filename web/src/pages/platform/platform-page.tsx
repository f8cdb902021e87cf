import { Tabs } from "@mantine/core";
import { IconLock } from "@tabler/icons-react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Page } from "../../components/page.tsx";
import { EmptyState } from "../../components/states.tsx";
import { useIsPlatformAdministrator } from "../../shell/use-tenant.ts";
import { PartsHealth } from "./parts-health.tsx";
import { Providers } from "./providers.tsx";
import { SecondFactors } from "./second-factors.tsx";
import { Tenants } from "./tenants.tsx";

/** What concerns the installation as a whole; for its administrators. */
export function PlatformPage() {
  const isAdministrator = useIsPlatformAdministrator();
  const { tab } = useSearch({ from: "/signed-in/t/$tenant/platform" });
  const navigate = useNavigate({ from: "/t/$tenant/platform" });
  if (!isAdministrator) {
    return (
      <Page title="Platform">
        <EmptyState icon={IconLock} title="For administrators of the platform">
          Tenants and the ways to sign in are theirs to set.
        </EmptyState>
      </Page>
    );
  }
  return (
    <Page title="Platform">
      <Tabs
        value={tab ?? "tenants"}
        keepMounted={false}
        onChange={(next) => void navigate({ search: { tab: next ?? undefined }, replace: true })}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="tenants">Tenants</Tabs.Tab>
          <Tabs.Tab value="providers">Sign-in providers</Tabs.Tab>
          <Tabs.Tab value="factors">Second factors</Tabs.Tab>
          <Tabs.Tab value="health">Health</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="tenants">
          <Tenants />
        </Tabs.Panel>
        <Tabs.Panel value="providers">
          <Providers />
        </Tabs.Panel>
        <Tabs.Panel value="factors">
          <SecondFactors />
        </Tabs.Panel>
        <Tabs.Panel value="health">
          <PartsHealth />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
