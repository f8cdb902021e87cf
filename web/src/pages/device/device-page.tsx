import { Button, Group, Menu, Skeleton, Tabs, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDots, IconSend, IconShieldOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type DeviceView, deviceQuery } from "../../api/index.ts";
import { PresenceBadge } from "../../components/badges.tsx";
import { Page } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { Tags } from "../fleet/device-table.tsx";
import { LogView } from "../logs/log-view.tsx";
import { Certificates } from "./certificates.tsx";
import { CommandList } from "./command-list.tsx";
import { DeviceEvents } from "./device-events.tsx";
import { Overview } from "./overview.tsx";
import { RevokeDialog } from "./revoke-dialog.tsx";
import { SendCommand } from "./send-command.tsx";
import { TelemetryPanel } from "./telemetry-panel.tsx";
import { UpdateHistory } from "./update-history.tsx";

const TABS = [
  ["overview", "Overview"],
  ["telemetry", "Telemetry"],
  ["updates", "Updates"],
  ["logs", "Logs"],
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
        device.data ? <PresenceBadge presence={device.data.presence} /> : <Skeleton w={90} h={22} />
      }
      description={device.data && <Subtitle device={device.data} />}
      actions={device.data && <Actions device={device.data} />}
    >
      <Loaded query={device}>
        {(view) => (
          <Tabs
            value={tab}
            keepMounted={false}
            onChange={(next) =>
              void navigate({ search: { tab: next ?? undefined }, replace: true })
            }
          >
            <Tabs.List
              mb="md"
              style={{ flexWrap: "nowrap", overflowX: "auto", overflowY: "hidden" }}
            >
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
            <Tabs.Panel value="updates">
              <UpdateHistory deviceId={id} />
            </Tabs.Panel>
            <Tabs.Panel value="logs">
              <LogView deviceId={id} />
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
      {device.status !== "active" && (
        <Text size="sm" c="var(--vautn-bad)">
          {device.status}
        </Text>
      )}
      <Tags tags={device.tags} />
    </Group>
  );
}

function Actions({ device }: { device: DeviceView }) {
  const may = useMay();
  const [sending, send] = useDisclosure(false);
  const [revoking, revoke] = useDisclosure(false);
  if (!may("operate")) return null;
  return (
    <>
      <Button leftSection={<IconSend size={16} aria-hidden />} onClick={send.open}>
        Send a command
      </Button>
      {may("engineer") && (
        <Menu position="bottom-end">
          <Menu.Target>
            <Button variant="default" px={9} aria-label="More actions">
              <IconDots size={18} />
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              color="red"
              leftSection={<IconShieldOff size={15} aria-hidden />}
              onClick={revoke.open}
            >
              Revoke the device…
            </Menu.Item>
          </Menu.Dropdown>
        </Menu>
      )}
      <SendCommand deviceId={device.id} opened={sending} onClose={send.close} />
      <RevokeDialog deviceId={device.id} opened={revoking} onClose={revoke.close} />
    </>
  );
}
