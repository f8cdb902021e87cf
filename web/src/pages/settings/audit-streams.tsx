import { Button, Checkbox, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconTransfer } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type AuditStreamView, api, auditStreamsQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { CreateDialog, SettingsList } from "./secret-list.tsx";

/** Where the audit log is sent on to. */
export function AuditStreams() {
  const tenant = useTenantId();
  const may = useMay()("administer");
  const streams = useQuery(auditStreamsQuery(tenant));
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<AuditStreamView>();
  const remove = useAction({
    run: (stream: AuditStreamView) => api.deleteAuditStream(tenant, stream.id),
    done: () => "The stream is deleted",
    refresh: ["tenant", tenant, "audit-streams"],
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="Every entry of the audit log, in order and at least once, to a webhook or a syslog server (RFC 5424): where nobody of this platform can change it."
      addLabel="New stream"
      onAdd={may ? () => setCreating(true) : undefined}
    >
      <Loaded query={streams}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconTransfer} title="The audit log is sent nowhere yet">
              Send it to the system that watches over the rest of your company.
            </EmptyState>
          ) : (
            <DataTable
              caption="Audit streams"
              rows={items}
              rowId={(stream) => stream.id}
              columns={[
                {
                  id: "url",
                  header: "Receiver",
                  cell: ({ url }) => (
                    <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }}>
                      {url}
                    </Text>
                  ),
                },
                { id: "state", header: "State", cell: (stream) => <StreamState stream={stream} /> },
                {
                  id: "seq",
                  header: "Last entry taken",
                  align: "right",
                  visibleFrom: "sm",
                  cell: ({ seq }) => (seq > 0 ? `#${seq}` : "none yet"),
                },
                {
                  id: "delivered",
                  header: "Last delivery",
                  visibleFrom: "md",
                  cell: ({ deliveredAt }) => <TimeAgo time={deliveredAt} fallback="never" />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (stream) =>
                    may ? (
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setDeleting(stream)}
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
      {creating && <NewStream onClose={() => setCreating(false)} />}
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title="Delete the stream?"
        confirmLabel="Delete the stream"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">{deleting?.url} gets no further entry. The audit log itself stays.</Text>
      </Confirm>
    </SettingsList>
  );
}

function StreamState({ stream }: { stream: AuditStreamView }) {
  const { attempts, lastError, deliveredAt } = stream;
  if (attempts === 0) {
    return (
      <ToneBadge
        tone={deliveredAt ? "ok" : "idle"}
        label={deliveredAt ? "Delivering" : "Waiting for an entry"}
      />
    );
  }
  return (
    <Stack gap={2} align="flex-start">
      <ToneBadge tone="bad" label={`Failed ${attempts} ${attempts === 1 ? "time" : "times"}`} />
      <Text size="xs" c="dimmed" maw={320} style={{ overflowWrap: "anywhere" }}>
        {lastError ?? "It did not answer"}; tried again until it is taken
      </Text>
    </Stack>
  );
}

function NewStream({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { url: "", authorityPem: "", fromStart: false },
    validate: {
      url: (url) =>
        /^(https?|syslog\+tcp|syslog\+tls):\/\/./.test(url)
          ? null
          : "https://…, syslog+tls://host:port or syslog+tcp://host:port",
    },
  });
  const isSyslog = form.values.url.startsWith("syslog+tls:");
  const create = useAction({
    run: ({ authorityPem, ...stream }: typeof form.values) =>
      api.createAuditStream(tenant, {
        ...stream,
        ...(isSyslog && authorityPem.trim() ? { authorityPem } : {}),
      }),
    done: () => "The stream begins",
    refresh: ["tenant", tenant, "audit-streams"],
    // A webhook has a secret, which is shown; syslog has none.
    onDone: ({ secret }) => secret === null && onClose(),
  });
  return (
    <CreateDialog
      opened
      title="New audit stream"
      secret={create.data?.secret ?? undefined}
      onClose={onClose}
    >
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TextInput
            label="Receiver"
            description="Signed in the Standard Webhooks form, or syslog with octet counting"
            placeholder="syslog+tls://logs.example.com:6514"
            data-autofocus
            {...form.getInputProps("url")}
          />
          {isSyslog && (
            <Textarea
              label="Certificate authority"
              description="In PEM, where the server has an authority of its own"
              autosize
              minRows={2}
              maxRows={8}
              styles={{ input: { fontFamily: "monospace" } }}
              {...form.getInputProps("authorityPem")}
            />
          )}
          <Checkbox
            label="Also what is in the log already"
            {...form.getInputProps("fromStart", { type: "checkbox" })}
          />
          <Button type="submit" loading={create.isPending}>
            Create the stream
          </Button>
        </Stack>
      </form>
    </CreateDialog>
  );
}
