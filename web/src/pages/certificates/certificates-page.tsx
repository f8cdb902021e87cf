import { Badge, Button, Tabs } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconRefresh } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { pendingEnrolmentsQuery, radarQuery } from "../../api/index.ts";
import { Page } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { CampaignList } from "./campaign-list.tsx";
import { CertificateTable } from "./certificate-table.tsx";
import { FailingTable } from "./failing-table.tsx";
import { KnockTable } from "./knock-table.tsx";
import { PendingTable } from "./pending-table.tsx";
import { RadarOverview } from "./radar-overview.tsx";
import { RotateDialog } from "./rotate-dialog.tsx";
import { WaysIn } from "./ways-in.tsx";

const TABS = [
  ["radar", "Radar"],
  ["failing", "Failing rotations"],
  ["refused", "Refused"],
  ["waiting", "Waiting for you"],
  ["rotations", "Rotate now"],
  ["all", "All certificates"],
  ["ways-in", "Ways in"],
] as const;

export function CertificatesPage() {
  const tenant = useTenantId();
  const may = useMay();
  const { tab: asked } = useSearch({ from: "/signed-in/t/$tenant/certificates" });
  const tab = TABS.find(([value]) => value === asked)?.[0] ?? "radar";
  const navigate = useNavigate({ from: "/t/$tenant/certificates" });
  const radar = useQuery(radarQuery(tenant));
  const waiting = useQuery(pendingEnrolmentsQuery(tenant, "pending")).data?.items.length ?? 0;
  const [rotating, rotate] = useDisclosure(false);
  return (
    <Page
      title="Certificates"
      description="When they end, whose renewal fails, who was turned away and who waits to be let in"
      actions={
        may("engineer") && (
          <Button leftSection={<IconRefresh size={16} aria-hidden />} onClick={rotate.open}>
            Rotate now…
          </Button>
        )
      }
    >
      <Tabs
        value={tab}
        keepMounted={false}
        onChange={(next) => void navigate({ search: { tab: next ?? undefined }, replace: true })}
      >
        <Tabs.List mb="md">
          {TABS.map(([value, label]) => (
            <Tabs.Tab
              key={value}
              value={value}
              // On a phone the list is wider than the screen.
              ref={value === tab ? scrollToIt : undefined}
              rightSection={value === "waiting" && <Waiting count={waiting} />}
            >
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="radar">
          <Loaded query={radar}>{(picture) => <RadarOverview picture={picture} />}</Loaded>
        </Tabs.Panel>
        <Tabs.Panel value="failing">
          <FailingTable />
        </Tabs.Panel>
        <Tabs.Panel value="refused">
          <KnockTable />
        </Tabs.Panel>
        <Tabs.Panel value="waiting">
          <PendingTable />
        </Tabs.Panel>
        <Tabs.Panel value="rotations">
          <CampaignList />
        </Tabs.Panel>
        <Tabs.Panel value="all">
          <CertificateTable />
        </Tabs.Panel>
        <Tabs.Panel value="ways-in">
          <WaysIn />
        </Tabs.Panel>
      </Tabs>
      <RotateDialog
        opened={rotating}
        onClose={rotate.close}
        onStarted={() => void navigate({ search: { tab: "rotations" } })}
      />
    </Page>
  );
}

function scrollToIt(tab: HTMLElement | null): void {
  tab?.scrollIntoView({ inline: "center", block: "nearest" });
}

function Waiting({ count }: { count: number }) {
  if (count === 0) return null;
  return (
    <Badge size="sm" circle={count < 10} color="amber">
      {count > 99 ? "99+" : count}
    </Badge>
  );
}
