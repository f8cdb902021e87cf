import { Group, Skeleton, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type DeviceView, deviceQuery } from "../../api/index.ts";
import { HealthBadge, PresenceBadge } from "../../components/badges.tsx";
import { Page } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { Tags } from "../fleet/device-table.tsx";
import { LogView } from "../logs/log-view.tsx";
import { Certificates } from "./certificates.tsx";
import { CommandList } from "./command-list.tsx";
import { DeviceActions } from "./device-actions.tsx";
import { DeviceEvents } from "./device-events.tsx";
import { DeviceTimeline } from "./device-timeline.tsx";
import { Overview } from "./overview.tsx";
import { StandingNotice } from "./standing-notice.tsx";
import { TelemetryPanel } from "./telemetry-panel.tsx";
import { TwinPanel } from "./twin-panel.tsx";
import { UpdateHistory } from "./update-history.tsx";

const TABS = [
  ["overview", "Overview"],
  ["telemetry", "Telemetry"],
  ["twin", "Twin"],
  ["updates", "Updates"],
  ["logs", "Logs"],
  ["timeline", "Timeline"],
  ["events", "Events"],
  ["commands", "Commands"],
  ["certificates", "Certificates"],
] as const;

export function DevicePage() {
  const tenant = useTenantId();
  const { device: id } = useParams({ from: "/signed-in/t/$tenant/devices/$device" });
  const { tab = "overview" } = useSearch({ from: "/signed-in/t/$tenant/devices/$device" });
  const navigate = useNavigate({ from: "/t/$tenant/devices/$device" });
  const device = useQuery(deviceQuery(tenant, id));

  return (
    <Page
      title={id}
      parent={{ label: "Fleet", to: `/t/${tenant}/fleet` }}
      aside={
        device.data ? (
          <Group gap="xs">
            <PresenceBadge presence={device.data.presence} />
            {device.data.health !== device.data.presence && (
              <HealthBadge health={device.data.health} />
            )}
          </Group>
        ) : (
          <Skeleton w={90} h={22} />
        )
      }
      description={device.data && <Subtitle device={device.data} />}
      actions={device.data && <DeviceActions device={device.data} />}
    >
      {device.data && <StandingNotice device={device.data} />}
      <Loaded query={device}>
        {(view) => (
          <Tabs
            value={tab}
            keepMounted={false}
            onChange={(next) =>
              void navigate({ search: { tab: next ?? undefined }, replace: true })
            }
          >
            <Tabs.List mb="md">
              {TABS.map(([value, label]) => (
                <Tabs.Tab key={value} value={value}>
                  {label}
                </Tabs.Tab>
              ))}
            </Tabs.List>
            <Tabs.Panel value="overview">
              <Overview device={view} />
            </Tabs.Panel>
            <Tabs.Panel value="telemetry">
              <TelemetryPanel device={view} />
            </Tabs.Panel>
            <Tabs.Panel value="twin">
              <TwinPanel deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="updates">
              <UpdateHistory deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="logs">
              <LogView deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="timeline">
              <DeviceTimeline deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="events">
              <DeviceEvents deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="commands">
              <CommandList deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="certificates">
              <Certificates deviceId={id} />
            </Tabs.Panel>
          </Tabs>
        )}
      </Loaded>
    </Page>
  );
}

function Subtitle({ device }: { device: DeviceView }) {
  return (
    <Group gap="sm">
      <span>
        {device.product} {device.hardwareRevision}
        {device.region && ` · ${device.region}`} · last seen{" "}
        <TimeAgo time={device.lastSeenAt} fallback="never" />
      </span>
      <Tags tags={device.tags} />
    </Group>
  );
}
