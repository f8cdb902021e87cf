import { Tabs } from "@mantine/core";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Page } from "../../components/page.tsx";
import { useMay } from "../../shell/use-tenant.ts";
import { Applications } from "./applications.tsx";
import { AuditStreams } from "./audit-streams.tsx";
import { ClaimTokens } from "./claim-tokens.tsx";
import { Keys } from "./keys.tsx";
import { Members } from "./members.tsx";
import { Roles } from "./roles.tsx";
import { ServiceAccounts } from "./service-accounts.tsx";
import { TenantData } from "./tenant-data.tsx";
import { TenantSettingsForm } from "./tenant-settings.tsx";
import { Usage } from "./usage.tsx";
import { Webhooks } from "./webhooks.tsx";

export function SettingsPage() {
  const may = useMay();
  const { tab } = useSearch({ from: "/signed-in/t/$tenant/settings" });
  const navigate = useNavigate({ from: "/t/$tenant/settings" });
  return (
    <Page title="Settings">
      <Tabs
        value={tab ?? "general"}
        keepMounted={false}
        onChange={(next) => void navigate({ search: { tab: next ?? undefined }, replace: true })}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="general">General</Tabs.Tab>
          <Tabs.Tab value="use">Use</Tabs.Tab>
          {may("oversee") && <Tabs.Tab value="members">Members</Tabs.Tab>}
          {may("oversee") && <Tabs.Tab value="roles">Roles</Tabs.Tab>}
          {may("oversee") && <Tabs.Tab value="keys">API keys</Tabs.Tab>}
          {may("oversee") && <Tabs.Tab value="service-accounts">Service accounts</Tabs.Tab>}
          {may("oversee") && <Tabs.Tab value="applications">Applications</Tabs.Tab>}
          <Tabs.Tab value="claim-tokens">Claim tokens</Tabs.Tab>
          <Tabs.Tab value="webhooks">Webhooks</Tabs.Tab>
          {may("audit") && <Tabs.Tab value="audit-streams">Audit streams</Tabs.Tab>}
          {may("administer") && <Tabs.Tab value="data">Data</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="general">
          <TenantSettingsForm />
        </Tabs.Panel>
        <Tabs.Panel value="use">
          <Usage />
        </Tabs.Panel>
        <Tabs.Panel value="members">
          <Members />
        </Tabs.Panel>
        <Tabs.Panel value="roles">
          <Roles />
        </Tabs.Panel>
        <Tabs.Panel value="keys">
          <Keys />
        </Tabs.Panel>
        <Tabs.Panel value="service-accounts">
          <ServiceAccounts />
        </Tabs.Panel>
        <Tabs.Panel value="applications">
          <Applications />
        </Tabs.Panel>
        <Tabs.Panel value="claim-tokens">
          <ClaimTokens />
        </Tabs.Panel>
        <Tabs.Panel value="webhooks">
          <Webhooks />
        </Tabs.Panel>
        <Tabs.Panel value="audit-streams">
          <AuditStreams />
        </Tabs.Panel>
        <Tabs.Panel value="data">
          <TenantData />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
