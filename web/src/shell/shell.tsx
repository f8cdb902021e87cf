import { AppShell, Badge, Burger, Group, NavLink, ScrollArea, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconBellRinging,
  IconBuildingCommunity,
  IconCertificate,
  IconChartLine,
  IconChecklist,
  IconCpu,
  IconFileText,
  IconHeartbeat,
  IconPackage,
  IconRocket,
  IconSettings,
  IconTerminal2,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useLocation } from "@tanstack/react-router";
import { useEffect } from "react";
import { fleetSummaryQuery } from "../api/index.ts";
import { BreakGlass, BrokenGlass } from "./break-glass.tsx";
import { Logo } from "./logo.tsx";
import { PersonMenu } from "./person-menu.tsx";
import { TenantSwitcher } from "./tenant-switcher.tsx";
import {
  useGroups,
  useIsPlatformAdministrator,
  useMay,
  useSession,
  useTenantId,
} from "./use-tenant.ts";

const PLACES = [
  { path: "fleet", also: "devices", label: "Fleet", icon: IconCpu },
  { path: "health", label: "Health", icon: IconHeartbeat },
  { path: "telemetry", label: "Telemetry", icon: IconChartLine },
  { path: "rollouts", label: "Rollouts", icon: IconRocket },
  { path: "commands", label: "Commands", icon: IconTerminal2 },
  { path: "releases", label: "Releases", icon: IconPackage },
  { path: "certificates", label: "Certificates", icon: IconCertificate },
  { path: "alerts", label: "Alerts", icon: IconBellRinging },
  { path: "logs", also: "traces", label: "Logs", icon: IconFileText },
  { path: "audit", label: "Audit", icon: IconChecklist },
  { path: "settings", label: "Settings", icon: IconSettings },
] as const;
/** Of the installation as a whole. */
const PLATFORM = { path: "platform", label: "Platform", icon: IconBuildingCommunity } as const;

/** The frame around every page of a tenant. */
export function Shell() {
  const tenant = useTenantId();
  const [opened, { toggle, close }] = useDisclosure(false);
  useEffect(() => localStorage.setItem("vautn-tenant", tenant), [tenant]);

  return (
    <AppShell
      header={{ height: { base: 54, sm: 0 } }}
      navbar={{ width: 232, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding={{ base: "md", sm: "lg" }}
    >
      <a className="skip-link" href="#content">
        Skip to the content
      </a>
      <AppShell.Header hiddenFrom="sm" px="md" bg="var(--vautn-card)">
        <Group h="100%" gap="sm">
          <Burger opened={opened} onClick={toggle} size="sm" aria-label="Menu" />
          <Brand />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" bg="var(--vautn-card)">
        <Stack gap="md" h="100%">
          <Group visibleFrom="sm" px={6} pt={6}>
            <Brand />
          </Group>
          <TenantSwitcher />
          <Confined />
          <ScrollArea style={{ flex: 1 }} type="never">
            <Places tenant={tenant} onLeave={close} />
          </ScrollArea>
          <PersonMenu />
        </Stack>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} style={{ outline: "none" }}>
        <Inside tenant={tenant} />
      </AppShell.Main>
    </AppShell>
  );
}

/** A tenant's pages, where the person may see them. */
function Inside({ tenant }: { tenant: string }) {
  const { platformRole, tenants } = useSession();
  if (platformRole !== "platform-operator") return <Outlet />;
  if (!tenants.find(({ id }) => id === tenant)?.role) return <BreakGlass />;
  return (
    <>
      <BrokenGlass />
      <Outlet />
    </>
  );
}

/** Whoever sees a part must not take it for the whole. */
function Confined() {
  const groups = useGroups();
  if (!groups) return null;
  return (
    <Text size="xs" c="dimmed" px={8} title={groups.join(", ")} lineClamp={2}>
      Devices of {groups.join(", ")} only
    </Text>
  );
}

function Brand() {
  return (
    <Group gap={9}>
      <Logo />
      <Text fw={700} fz={18} style={{ letterSpacing: "-0.02em" }}>
        Vautn
      </Text>
    </Group>
  );
}

function Places({ tenant, onLeave }: { tenant: string; onLeave: () => void }) {
  const { pathname } = useLocation();
  const { data: summary } = useQuery(fleetSummaryQuery(tenant));
  const counts: Record<string, number | undefined> = {
    alerts: summary?.openAlerts,
    rollouts: summary?.runningRollouts,
  };
  const place = pathname.split("/")[3];
  const may = useMay();
  const own = PLACES.filter(({ path }) => path !== "audit" || may("audit"));
  const places = useIsPlatformAdministrator() ? [...own, PLATFORM] : own;
  return (
    <nav aria-label="Main">
      {places.map((item) => {
        const Icon = item.icon;
        const count = counts[item.path];
        const active = place === item.path || ("also" in item && place === item.also);
        return (
          <NavLink
            key={item.path}
            component={Link}
            to={`/t/${tenant}/${item.path}`}
            label={item.label}
            active={active}
            aria-current={active ? "page" : undefined}
            leftSection={<Icon size={18} stroke={1.7} aria-hidden />}
            rightSection={
              count ? (
                <Badge size="sm" circle variant="light" color={COUNT_COLORS[item.path] ?? "fjord"}>
                  {count}
                </Badge>
              ) : undefined
            }
            onClick={onLeave}
            fw={active ? 600 : 450}
            style={{ borderRadius: 8 }}
          />
        );
      })}
    </nav>
  );
}

const COUNT_COLORS: Record<string, string> = { alerts: "ember", rollouts: "fjord" };
