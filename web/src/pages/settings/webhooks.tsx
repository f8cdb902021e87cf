import { Badge, Button, Group, Stack, TagsInput, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconWebhook } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type WebhookView, webhooksQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { CreateDialog, SettingsList } from "./secret-list.tsx";

const EVENT_TYPES = [
  "*",
  "vautn.alert.raised",
  "vautn.alert.resolved",
  "vautn.rollout.paused",
  "vautn.rollout.needs-decision",
  "vautn.rollout.succeeded",
  "vautn.rollout.rolling-back",
  "vautn.rollout.rolled-back",
];

/** Where events are sent. */
export function Webhooks() {
  const tenant = useTenantId();
  const may = useMay();
  const webhooks = useQuery(webhooksQuery(tenant));
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<WebhookView>();
  const remove = useAction({
    run: (webhook: WebhookView) => api.deleteWebhook(tenant, webhook.id),
    done: () => "The webhook is deleted",
    refresh: ["tenant", tenant, "webhooks"],
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="Alerts and rollout events as CloudEvents, signed in the Standard Webhooks form, tried again until they are taken."
      addLabel="New webhook"
      onAdd={may("administer") ? () => setCreating(true) : undefined}
    >
      <Loaded query={webhooks}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconWebhook} title="No webhook yet">
              Connect a chat room or a pager, so that nobody has to watch this page.
            </EmptyState>
          ) : (
            <DataTable
              caption="Webhooks"
              rows={items}
              rowId={(webhook) => webhook.id}
              columns={[
                {
                  id: "url",
                  header: "Address",
                  cell: (webhook) => (
                    <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }}>
                      {webhook.url}
                    </Text>
                  ),
                },
                {
                  id: "events",
                  header: "Events",
                  visibleFrom: "sm",
                  cell: (webhook) => (
                    <Group gap={4}>
                      {webhook.eventTypes.map((type) => (
                        <Badge key={type} variant="default" radius="sm" tt="none" fw={450}>
                          {type === "*" ? "every event" : type}
                        </Badge>
                      ))}
                    </Group>
                  ),
                },
                {
                  id: "state",
                  header: "State",
                  cell: ({ enabled }) => (
                    <ToneBadge tone={enabled ? "ok" : "idle"} label={enabled ? "On" : "Off"} />
                  ),
                },
                {
                  id: "created",
                  header: "Created",
                  visibleFrom: "md",
                  cell: (webhook) => <TimeAgo time={webhook.createdAt} />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (webhook) =>
                    may("administer") ? (
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setDeleting(webhook)}
                      >
                        Delete
                      </Button>
                    ) : null,
                },
              ]}
            />
          )
        }
      </Loaded>
      {creating && <NewWebhook onClose={() => setCreating(false)} />}
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title="Delete the webhook?"
        confirmLabel="Delete the webhook"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">{deleting?.url} gets no further event, waiting ones included.</Text>
      </Confirm>
    </SettingsList>
  );
}

function NewWebhook({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { url: "", eventTypes: ["*"] },
    validate: {
      url: (url) => (/^https?:\/\/./.test(url) ? null : "An address that begins with https://"),
      eventTypes: (types) => (types.length > 0 ? null : "At least one; * stands for every event"),
    },
  });
  const create = useAction({
    run: (webhook: typeof form.values) => api.createWebhook(tenant, webhook),
    refresh: ["tenant", tenant, "webhooks"],
  });
  return (
    <CreateDialog opened title="New webhook" secret={create.data?.secret} onClose={onClose}>
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TextInput
            label="Address"
            placeholder="https://example.com/hooks/vautn"
            data-autofocus
            {...form.getInputProps("url")}
          />
          <TagsInput label="Events" data={EVENT_TYPES} {...form.getInputProps("eventTypes")} />
          <Button type="submit" loading={create.isPending}>
            Create the webhook
          </Button>
        </Stack>
      </form>
    </CreateDialog>
  );
}
