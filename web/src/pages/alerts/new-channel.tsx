import {
  Button,
  Group,
  NumberInput,
  PasswordInput,
  Select,
  Stack,
  TagsInput,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { api, type NewChannel } from "../../api/index.ts";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";
import { CreateDialog } from "../settings/secret-list.tsx";

const KINDS = [
  { value: "webhook", label: "Webhook (signed)" },
  { value: "email", label: "E-mail" },
  { value: "slack", label: "Slack, Mattermost and the like" },
  { value: "pagerduty", label: "PagerDuty" },
];
const SECRETS: Record<string, string> = {
  slack: "Address of the incoming webhook",
  pagerduty: "Integration key (Events API v2)",
  email: "Password of the mail server",
};

const EMPTY = {
  kind: "slack",
  name: "",
  url: "",
  to: [] as string[],
  from: "",
  host: "",
  port: 587,
  security: "starttls",
  username: "",
  secret: "",
};

function bodyOf(form: typeof EMPTY): NewChannel {
  const smtp = {
    host: form.host,
    port: form.port,
    security: form.security as "tls" | "starttls" | "none",
    ...(form.username ? { username: form.username } : {}),
  };
  const settings = {
    ...(form.kind === "webhook" ? { url: form.url } : {}),
    ...(form.kind === "email" ? { to: form.to } : {}),
    ...(form.kind === "email" && form.from ? { from: form.from } : {}),
    ...(form.kind === "email" && form.host ? { smtp } : {}),
  };
  return {
    name: form.name,
    kind: form.kind as NewChannel["kind"],
    settings,
    ...(form.secret ? { secret: form.secret } : {}),
  };
}

/** Asks where people are to be told, by what the kind of channel needs. */
export function NewChannelDialog({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: EMPTY,
    validate: { name: (name) => (name.trim() ? null : "By which the policy names it") },
  });
  const create = useAction({
    run: (values: typeof EMPTY) => api.createChannel(tenant, bodyOf(values)),
    done: ({ secret }) => (secret ? "" : "The channel is made. Send a test next"),
    refresh: ["tenant", tenant, "alerts"],
    onDone: ({ secret }) => {
      if (!secret) onClose();
    },
  });
  const { kind } = form.values;
  return (
    <CreateDialog
      opened
      title="New channel"
      secret={create.data?.secret ?? undefined}
      onClose={onClose}
    >
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <Select label="Kind" data={KINDS} allowDeselect={false} {...form.getInputProps("kind")} />
          <TextInput
            label="Name"
            placeholder="ops"
            data-autofocus
            {...form.getInputProps("name")}
          />
          {kind === "webhook" && (
            <TextInput
              label="Address"
              placeholder="https://example.com/hooks/vautn"
              {...form.getInputProps("url")}
            />
          )}
          {kind === "email" && (
            <>
              <TagsInput label="To" placeholder="ops@example.com" {...form.getInputProps("to")} />
              <TextInput label="From" {...form.getInputProps("from")} />
              <Group grow align="flex-start">
                <TextInput
                  label="Mail server"
                  description="The platform's own where empty"
                  {...form.getInputProps("host")}
                />
                <NumberInput
                  label="Port"
                  description="465, 587 or 25"
                  {...form.getInputProps("port")}
                />
              </Group>
              <Group grow>
                <Select
                  label="Security"
                  data={["starttls", "tls", "none"]}
                  allowDeselect={false}
                  {...form.getInputProps("security")}
                />
                <TextInput label="User" {...form.getInputProps("username")} />
              </Group>
            </>
          )}
          {SECRETS[kind] && (
            <PasswordInput
              label={SECRETS[kind]}
              autoComplete="new-password"
              {...form.getInputProps("secret")}
            />
          )}
          <Button type="submit" loading={create.isPending}>
            Make the channel
          </Button>
        </Stack>
      </form>
    </CreateDialog>
  );
}
