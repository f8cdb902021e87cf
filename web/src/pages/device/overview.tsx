import { Badge, Grid, Group, Paper, SimpleGrid, Stack, Text } from "@mantine/core";
import { IconPlayerPlayFilled } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type DeviceView, isOfApplication, metricsQuery, updatesQuery } from "../../api/index.ts";
import { UpdateBadge } from "../../components/badges.tsx";
import { CopyText, Hash } from "../../components/copy-text.tsx";
import { formatDuration, formatFigure, humanize } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { Fact, Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { BootChainPanel } from "./boot-chain.tsx";
import { DeviceEvents } from "./device-events.tsx";
import { HealthPanel } from "./health-panel.tsx";

const METRICS_SHOWN = 12;

export function Overview({ device }: { device: DeviceView }) {
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, md: 7 }}>
        <Stack gap="md">
          <Panel title="What runs">
            <Slots device={device} />
          </Panel>
          <LatestMetrics deviceId={device.id} />
          <DeviceEvents deviceId={device.id} limit={8} />
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 5 }}>
        <Stack gap="md">
          <HealthPanel device={device} />
          <Panel title="Presence">
            <Fact label="State">{device.connected ? "connected" : "not connected"}</Fact>
            <Fact label={`${humanize(device.presence)} since`}>
              <TimeAgo time={device.presenceChangedAt} />
            </Fact>
            <Fact label="Last heard">
              <TimeAgo time={device.lastSeenAt} fallback="never" />
            </Fact>
            <Fact label="Running for">
              {device.uptimeSeconds === null ? "–" : formatDuration(device.uptimeSeconds * 1000)}
            </Fact>
            <Fact label="Clock">{clockOf(device.clockOffsetMs)}</Fact>
            <Fact label="Boot">
              {device.bootId ? (
                <CopyText text={device.bootId} shown={device.bootId.slice(0, 12)} />
              ) : (
                "–"
              )}
            </Fact>
          </Panel>
          <LastUpdate deviceId={device.id} />
          {device.bootChain && <BootChainPanel chain={device.bootChain} />}
          <Panel title="Identity">
            <Fact label="Product">{device.product}</Fact>
            <Fact label="Hardware">{device.hardwareRevision}</Fact>
            <Fact label="Region">{device.region || "–"}</Fact>
            <Fact label="Status">{device.status}</Fact>
            <Fact label="Registered">
              <TimeAgo time={device.createdAt} />
            </Fact>
            {Object.entries(device.tags).map(([name, value]) => (
              <Fact key={name} label={`tags.${name}`}>
                {String(value)}
              </Fact>
            ))}
          </Panel>
        </Stack>
      </Grid.Col>
    </Grid>
  );
}

/** The two slots: what is running, and what a rollback would boot at no cost. */
function Slots({ device }: { device: DeviceView }) {
  const { firmware, otherSlot } = device;
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
      <Slot
        name={firmware ? `Slot ${firmware.slot}` : "Running slot"}
        note="Running"
        version={firmware?.version}
        sha256={firmware?.sha256}
        running
      />
      <Slot
        name="Other slot"
        note={otherSlot ? "Ready to go back to" : "Empty or unknown"}
        version={otherSlot?.version ?? undefined}
        sha256={otherSlot?.sha256}
      />
    </SimpleGrid>
  );
}

interface SlotProps {
  name: string;
  note: string;
  version: string | undefined;
  sha256: string | undefined;
  running?: boolean;
}

function Slot({ name, note, version, sha256, running = false }: SlotProps) {
  return (
    <Paper
      p="md"
      radius="md"
      style={running ? { borderColor: "var(--vautn-busy)" } : { borderStyle: "dashed" }}
    >
      <Group justify="space-between" gap="xs">
        <Text size="xs" c="dimmed">
          {name}
        </Text>
        {running ? (
          <Badge
            size="sm"
            radius="sm"
            tt="none"
            variant="light"
            leftSection={<IconPlayerPlayFilled size={10} aria-hidden />}
          >
            {note}
          </Badge>
        ) : (
          <Text size="xs" c="dimmed">
            {note}
          </Text>
        )}
      </Group>
      <Text fz={22} fw={650} my={2}>
        {version ?? (sha256 ? "unnamed image" : "–")}
      </Text>
      {sha256 && (
        <Text size="xs" c="dimmed" component="div">
          <Hash sha256={sha256} />
        </Text>
      )}
    </Paper>
  );
}

function LatestMetrics({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const metrics = useQuery(metricsQuery(tenant, deviceId));
  return (
    <Panel
      title="Latest values"
      actions={
        <Text size="sm">
          <Link
            to="/t/$tenant/devices/$device"
            params={{ tenant, device: deviceId }}
            search={{ tab: "telemetry" }}
          >
            Charts
          </Link>
        </Text>
      }
    >
      <Loaded query={metrics}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed">
              The device has sent no telemetry yet.
            </Text>
          ) : (
            <SimpleGrid cols={{ base: 2, sm: 3, lg: 4 }} spacing="md">
              {items
                .filter(({ metric }) => isOfApplication(metric))
                .slice(0, METRICS_SHOWN)
                .map((item) => (
                  <div key={item.metric}>
                    <Text size="xs" c="dimmed" truncate title={item.metric}>
                      {item.metric}
                    </Text>
                    <Text fz="lg" fw={600}>
                      {formatFigure(item.value)}
                    </Text>
                    <Text size="xs" c="dimmed">
                      <TimeAgo time={item.ts} />
                    </Text>
                  </div>
                ))}
            </SimpleGrid>
          )
        }
      </Loaded>
    </Panel>
  );
}

function LastUpdate({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const updates = useQuery(updatesQuery(tenant, deviceId));
  const last = updates.data?.items[0];
  if (!last) return null;
  return (
    <Panel title="Last update" actions={<UpdateBadge state={last.state} />}>
      <Fact label="Version">
        {last.sourceVersion ?? "?"} → {last.targetVersion}
      </Fact>
      <Fact label="Rollout">
        <Link to="/t/$tenant/rollouts/$rollout" params={{ tenant, rollout: last.rolloutId }}>
          {last.rolloutName}
        </Link>
      </Fact>
      <Fact label={last.finishedAt ? "Ended" : "Offered"}>
        <TimeAgo time={last.finishedAt ?? last.offeredAt} />
      </Fact>
      {last.failure && <Fact label="Reason">{last.failure.message}</Fact>}
    </Panel>
  );
}

/** Within two minutes a clock is right: the rest is the line. */
const CLOCK_RIGHT_WITHIN_MS = 120_000;

function clockOf(offsetMs: number | null): string {
  if (offsetMs === null) return "–";
  if (Math.abs(offsetMs) <= CLOCK_RIGHT_WITHIN_MS) return "right";
  const side = offsetMs > 0 ? "behind" : "ahead";
  return `${formatDuration(Math.abs(offsetMs))} ${side}; its times are put right`;
}
