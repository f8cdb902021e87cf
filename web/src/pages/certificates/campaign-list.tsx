import { Button, Group, Stack, Text } from "@mantine/core";
import { IconRefresh } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { api, type Campaign, campaignDevicesQuery, campaignsQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatDuration, humanize, plural } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { BarLegend, type BarPart, StackedBar } from "../../components/stacked-bar.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";

const STATUS_TONES: Record<Campaign["status"], Tone> = {
  running: "busy",
  paused: "late",
  finished: "ok",
  cancelled: "idle",
};

export function CampaignList() {
  const tenant = useTenantId();
  const campaigns = useQuery(campaignsQuery(tenant));
  return (
    <Loaded query={campaigns}>
      {({ items }) =>
        items.length === 0 ? (
          <Panel>
            <EmptyState icon={IconRefresh} title="No rotation was asked for">
              Devices renew their certificates by themselves. After a leak, or before an authority
              ends, have a device, a group or all of them do it now, so many at a time.
            </EmptyState>
          </Panel>
        ) : (
          <Stack>
            {items.map((campaign) => (
              <CampaignCard key={campaign.id} campaign={campaign} />
            ))}
          </Stack>
        )
      }
    </Loaded>
  );
}

function CampaignCard({ campaign }: { campaign: Campaign }) {
  const { status, total, query, failed } = campaign;
  const parts = partsOf(campaign);
  return (
    <Panel
      title={
        <Group gap="sm">
          <span>{query ? <code>{query}</code> : plural(total, "device")}</span>
          <ToneBadge tone={STATUS_TONES[status]} label={humanize(status)} />
        </Group>
      }
      actions={<Steering campaign={campaign} />}
    >
      <Stack gap="sm">
        <StackedBar parts={parts} label="Progress" total={total} height={12} />
        <BarLegend parts={parts.filter((part) => part.value > 0)} />
        <Text size="xs" c="dimmed">
          {plural(total, "device")}, {campaign.concurrency} at a time, each within{" "}
          {formatDuration(campaign.deadlineSeconds * 1_000)} · begun{" "}
          <TimeAgo time={campaign.createdAt} /> by {campaign.createdBy}
          {campaign.finishedAt && (
            <>
              , ended <TimeAgo time={campaign.finishedAt} />
            </>
          )}
        </Text>
        {failed > 0 && <Failures campaign={campaign} />}
      </Stack>
    </Panel>
  );
}

function partsOf(campaign: Campaign): BarPart[] {
  const { succeeded, rotating, waiting, failed, skipped, cancelled } = campaign;
  return [
    { label: "Done", value: succeeded, tone: "ok" },
    { label: "Rotating", value: rotating, tone: "busy" },
    { label: "Failed", value: failed, tone: "bad" },
    { label: "Skipped", value: skipped, tone: "late" },
    { label: "Cancelled", value: cancelled, tone: "idle", opacity: 0.7 },
    { label: "Waiting", value: waiting, tone: "idle" },
  ];
}

function Failures({ campaign }: { campaign: Campaign }) {
  const tenant = useTenantId();
  const failures = useQuery(campaignDevicesQuery(tenant, campaign.id, "failed"));
  return (
    <Loaded query={failures}>
      {({ items }) => (
        <DataTable
          caption="Devices that did not rotate"
          rows={items}
          rowId={(row) => row.deviceId}
          columns={[
            {
              id: "device",
              header: "Did not rotate",
              cell: ({ deviceId }) => <DeviceLink deviceId={deviceId} tab="certificates" />,
            },
            { id: "step", header: "Step", cell: (row) => humanize(row.step ?? "–") },
            { id: "error", header: "Why", cell: (row) => row.error ?? "–" },
          ]}
        />
      )}
    </Loaded>
  );
}

function Steering({ campaign }: { campaign: Campaign }) {
  const tenant = useTenantId();
  const may = useMay();
  const steer = useAction<"pause" | "resume" | "cancel", Campaign>({
    run: (action) => api.steerCampaign(tenant, campaign.id, action),
    done: ({ status }) => `The rotation is ${status}`,
    refresh: ["tenant", tenant, "certificates"],
  });
  const { status } = campaign;
  if (status === "finished" || status === "cancelled") return null;
  const isPaused = status === "paused";
  return (
    <Group gap="xs">
      {may(isPaused ? "engineer" : "operate") && (
        <Button
          size="compact-sm"
          variant="default"
          loading={steer.isPending}
          onClick={() => steer.mutate(isPaused ? "resume" : "pause")}
        >
          {isPaused ? "Go on" : "Pause"}
        </Button>
      )}
      {may("engineer") && (
        <Button
          size="compact-sm"
          variant="default"
          loading={steer.isPending}
          onClick={() => steer.mutate("cancel")}
        >
          Cancel
        </Button>
      )}
    </Group>
  );
}
