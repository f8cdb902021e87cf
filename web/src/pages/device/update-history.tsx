import { Group, Paper, Progress, Stack, Text, Timeline } from "@mantine/core";
import { IconHistory } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type UpdateRecord, updatesQuery } from "../../api/index.ts";
import { UpdateBadge } from "../../components/badges.tsx";
import { formatBytes, formatDuration, formatPercent } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { TONE_COLORS, updateTone } from "../../theme/tones.ts";

const PHASES = ["offered", "downloading", "installing", "rebooting", "confirming", "succeeded"];

/** Every update that the device was part of, the newest first. */
export function UpdateHistory({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const updates = useQuery(updatesQuery(tenant, deviceId));
  return (
    <Loaded query={updates}>
      {({ items }) =>
        items.length === 0 ? (
          <EmptyState icon={IconHistory} title="Never updated">
            The first rollout that includes this device will be listed here, phase by phase.
          </EmptyState>
        ) : (
          <Paper p="lg">
            <Timeline bulletSize={16} lineWidth={2} active={items.length}>
              {items.map((update) => (
                <Timeline.Item key={update.updateId} color={TONE_COLORS[updateTone(update.state)]}>
                  <UpdateEntry update={update} tenant={tenant} />
                </Timeline.Item>
              ))}
            </Timeline>
          </Paper>
        )
      }
    </Loaded>
  );
}

function UpdateEntry({ update, tenant }: { update: UpdateRecord; tenant: string }) {
  const phase = PHASES.indexOf(update.state);
  const underWay = phase >= 0 && update.state !== "succeeded";
  return (
    <Stack gap={6}>
      <Group gap="sm">
        <Text fw={600} size="sm" className="mono">
          {update.sourceVersion ?? "?"} → {update.targetVersion}
        </Text>
        <UpdateBadge state={update.state} />
        <Text size="xs" c="dimmed">
          <TimeAgo time={update.finishedAt ?? update.offeredAt} />
        </Text>
      </Group>
      {underWay && (
        <Progress
          value={((phase + (update.progress ?? 0.5)) / PHASES.length) * 100}
          animated
          maw={360}
          aria-label={`Phase ${update.state}`}
        />
      )}
      {underWay && update.waitingFor && (
        <Text size="sm" c="dimmed">
          Waits: {update.waitingFor.message}{" "}
          <Text span inherit c="dimmed">
            ({update.waitingFor.element})
          </Text>
        </Text>
      )}
      {update.failure && (
        <Text size="sm" c="var(--vautn-bad-text)">
          {update.failure.phase && `While ${update.failure.phase}: `}
          {update.failure.message}
          {update.failure.element && (
            <Text span inherit c="dimmed">
              {" "}
              ({update.failure.element})
            </Text>
          )}
        </Text>
      )}
      <Text size="xs" c="dimmed">
        <Link
          underline="always"
          to="/t/$tenant/rollouts/$rollout"
          params={{ tenant, rollout: update.rolloutId }}
        >
          {update.rolloutName}
        </Link>
        {update.format && ` · as ${update.format}`}
        {update.bytesDownloaded > 0 && ` · ${formatBytes(update.bytesDownloaded)} downloaded`}
        {savedShare(update)}
        {durationOf(update)}
      </Text>
    </Stack>
  );
}

function savedShare({ bytesDownloaded, bytesFull }: UpdateRecord): string {
  if (bytesDownloaded === 0 || bytesFull <= bytesDownloaded) return "";
  return ` (${formatPercent(1 - bytesDownloaded / bytesFull)} saved)`;
}

function durationOf({ offeredAt, finishedAt }: UpdateRecord): string {
  if (!offeredAt || !finishedAt) return "";
  return ` · took ${formatDuration(Date.parse(finishedAt) - Date.parse(offeredAt))}`;
}
