import { Anchor, Button, Drawer, Group, Modal, Text } from "@mantine/core";
import { IconSend } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { stringify } from "yaml";
import {
  type AlertPolicy,
  alertPolicyQuery,
  api,
  type ChannelView,
  channelsQuery,
  deliveriesQuery,
} from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { YamlEditor } from "../../components/yaml-editor.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { SettingsList } from "../settings/secret-list.tsx";
import { NewChannelDialog } from "./new-channel.tsx";

/** Where people are told of alerts. */
export function ChannelList() {
  const tenant = useTenantId();
  const may = useMay();
  const channels = useQuery(channelsQuery(tenant));
  const [open, setOpen] = useState<"new" | "policy">();
  const [shown, setShown] = useState<ChannelView>();
  const [deleting, setDeleting] = useState<ChannelView>();
  const refresh = ["tenant", tenant, "alerts"];
  const remove = useAction({
    run: (channel: ChannelView) => api.deleteChannel(tenant, channel.id),
    done: () => "The channel is deleted",
    refresh,
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="Alerts of one kind are told together. Who is told of what, what waits and what is repeated is the policy; without one, every channel hears everything."
      addLabel="New channel"
      onAdd={may("administer") ? () => setOpen("new") : undefined}
      second={{ label: "Policy", onClick: () => setOpen("policy") }}
    >
      <Loaded query={channels}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconSend} title="Nobody is told yet">
              Connect a chat room, a mailbox or a pager, so that nobody has to watch this page.
            </EmptyState>
          ) : (
            <DataTable
              caption="Channels"
              rows={items}
              rowId={(channel) => channel.id}
              columns={[
                {
                  id: "name",
                  header: "Channel",
                  cell: (channel) => (
                    <>
                      <Anchor
                        component="button"
                        type="button"
                        size="sm"
                        fw={550}
                        title="What it was told"
                        onClick={() => setShown(channel)}
                      >
                        {channel.name}
                      </Anchor>
                      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                        {channel.kind} {channel.settings.url ?? channel.settings.to?.join(", ")}
                      </Text>
                    </>
                  ),
                },
                {
                  id: "state",
                  header: "State",
                  visibleFrom: "sm",
                  cell: ({ enabled }) => (
                    <ToneBadge tone={enabled ? "ok" : "idle"} label={enabled ? "On" : "Off"} />
                  ),
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (channel) =>
                    may("administer") ? (
                      <Group gap="xs" justify="flex-end" wrap="nowrap">
                        <TestButton channel={channel} />
                        <Button
                          size="compact-sm"
                          variant="light"
                          color="red"
                          onClick={() => setDeleting(channel)}
                        >
                          Delete
                        </Button>
                      </Group>
                    ) : null,
                },
              ]}
            />
          )
        }
      </Loaded>
      {open === "new" && <NewChannelDialog onClose={() => setOpen(undefined)} />}
      {open === "policy" && <PolicyEditor onClose={() => setOpen(undefined)} />}
      <Drawer
        opened={shown !== undefined}
        onClose={() => setShown(undefined)}
        position="right"
        size="xl"
        title={`What ${shown?.name ?? ""} was told`}
      >
        {shown && <Deliveries channel={shown} />}
      </Drawer>
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title="Delete the channel?"
        confirmLabel="Delete the channel"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">{deleting?.name} is told nothing more, what waits included.</Text>
      </Confirm>
    </SettingsList>
  );
}

function TestButton({ channel }: { channel: ChannelView }) {
  const tenant = useTenantId();
  const test = useAction({
    run: async () => {
      const { status, lastError } = await api.testChannel(tenant, channel.id);
      if (status !== "delivered") throw new Error(lastError ?? "it was not delivered");
    },
    done: () => `${channel.name} has taken the test`,
    refresh: ["tenant", tenant, "alerts", "deliveries"],
  });
  return (
    <Button
      size="compact-sm"
      variant="default"
      loading={test.isPending}
      onClick={() => test.mutate()}
    >
      Send a test
    </Button>
  );
}

const TONES = { delivered: "ok", pending: "busy", failed: "bad" } as const;

function Deliveries({ channel }: { channel: ChannelView }) {
  const tenant = useTenantId();
  const deliveries = useQuery(deliveriesQuery(tenant, channel.id));
  return (
    <Loaded query={deliveries}>
      {({ items }) =>
        items.length === 0 ? (
          <EmptyState icon={IconSend} title="Nothing yet">
            Send a test to see whether it arrives.
          </EmptyState>
        ) : (
          <DataTable
            caption="Deliveries"
            rows={items}
            rowId={(delivery) => delivery.id}
            columns={[
              {
                id: "summary",
                header: "What",
                cell: ({ summary, lastError, attempts }) => (
                  <>
                    <Text size="sm">{summary}</Text>
                    <Text size="xs" c={lastError ? "ember" : "dimmed"}>
                      {lastError ?? (attempts > 1 ? `at attempt ${attempts}` : "")}
                    </Text>
                  </>
                ),
              },
              {
                id: "status",
                header: "Status",
                cell: ({ status }) => <ToneBadge tone={TONES[status]} label={status} />,
              },
              {
                id: "when",
                header: "When",
                cell: ({ createdAt }) => <TimeAgo time={createdAt} />,
              },
            ]}
          />
        )
      }
    </Loaded>
  );
}

function PolicyEditor({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const may = useMay();
  const client = useQueryClient();
  const policy = useQuery(alertPolicyQuery(tenant));
  const save = async (document: AlertPolicy) => {
    await api.replaceAlertPolicy(tenant, document);
    await client.invalidateQueries({ queryKey: ["tenant", tenant, "alerts"] });
    onClose();
  };
  return (
    <Modal opened size="xl" onClose={onClose} title="Who is told of what">
      <Loaded query={policy}>
        {({ document }) =>
          may("engineer") ? (
            <YamlEditor<AlertPolicy>
              label="Routes, grouping, inhibition, maintenance and escalation, as YAML"
              initial={stringify(document)}
              saveLabel="Replace the policy"
              onSave={save}
            />
          ) : (
            <Text component="pre" size="sm">
              {stringify(document)}
            </Text>
          )
        }
      </Loaded>
    </Modal>
  );
}
