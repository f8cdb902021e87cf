import {
  Autocomplete,
  Button,
  Group,
  JsonInput,
  Modal,
  Progress,
  Select,
  Stack,
  Text,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type CommandView, deviceCommandsQuery } from "../../api/index.ts";
import { CommandBadge } from "../../components/badges.tsx";
import { Link } from "../../components/link.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";
import { CommandAnswer } from "./command-list.tsx";

export const KNOWN_COMMANDS = ["ping", "reboot", "set-log-level", "collect-diagnostics"];
const LIFETIMES = [
  { value: "60", label: "1 minute" },
  { value: "3600", label: "1 hour" },
  { value: "86400", label: "1 day" },
  { value: "604800", label: "1 week" },
];

interface SendCommandProps {
  deviceId: string;
  opened: boolean;
  onClose: () => void;
}

/** Asks for a command, sends it, and stays until the device has answered. */
export function SendCommand({ deviceId, opened, onClose }: SendCommandProps) {
  const tenant = useTenantId();
  const [sentId, setSentId] = useState<string>();
  const form = useForm({
    initialValues: { name: "", args: "{}", ttlSeconds: "3600" },
    validate: {
      name: (name) => (name.trim() ? null : "Which command?"),
      args: (args) => (isJson(args) ? null : "This is not JSON"),
    },
  });
  const send = useAction({
    run: (values: typeof form.values) =>
      api.sendCommand(tenant, {
        devices: [deviceId],
        name: values.name.trim(),
        args: JSON.parse(values.args || "{}"),
        ttlSeconds: Number(values.ttlSeconds),
      }),
    refresh: ["tenant", tenant, "device", deviceId],
    onDone: ({ items }) => setSentId(items[0]?.id),
  });
  const close = () => {
    setSentId(undefined);
    onClose();
  };

  return (
    <Modal opened={opened} onClose={close} title={`Command to ${deviceId}`} size="lg">
      {sentId ? (
        <CommandProgress deviceId={deviceId} id={sentId} onClose={close} />
      ) : (
        <form onSubmit={form.onSubmit((values) => send.mutate(values))}>
          <Stack>
            <Autocomplete
              label="Command"
              description="The agent's application decides which it knows"
              data={KNOWN_COMMANDS}
              data-autofocus
              {...form.getInputProps("name")}
            />
            <JsonInput
              label="Arguments"
              formatOnBlur
              autosize
              minRows={3}
              maxRows={12}
              classNames={{ input: "mono" }}
              {...form.getInputProps("args")}
            />
            <Select
              label="Expires after"
              description="A device that is offline until then never gets it"
              data={LIFETIMES}
              allowDeselect={false}
              {...form.getInputProps("ttlSeconds")}
            />
            <Group justify="flex-end">
              <Button variant="default" onClick={close}>
                Close
              </Button>
              <Button type="submit" loading={send.isPending}>
                Send
              </Button>
            </Group>
          </Stack>
        </form>
      )}
    </Modal>
  );
}

const STEPS = ["queued", "delivered", "accepted", "running"];

interface CommandProgressProps {
  deviceId: string;
  id: string;
  onClose: () => void;
}

function CommandProgress({ deviceId, id, onClose }: CommandProgressProps) {
  const tenant = useTenantId();
  const commands = useQuery(deviceCommandsQuery(tenant, deviceId));
  const command: CommandView | undefined = commands.data?.items.find((item) => item.id === id);
  const step = STEPS.indexOf(command?.status ?? "queued");
  const done = step < 0;
  const trace = command?.traceparent?.split("-")[1];
  return (
    <Stack>
      <Group justify="space-between">
        <Text fw={600}>{command?.name ?? "Sending …"}</Text>
        <CommandBadge status={command?.status ?? "queued"} />
      </Group>
      <Progress
        value={done ? 100 : ((step + 1) / (STEPS.length + 1)) * 100}
        animated={!done}
        aria-label="Progress of the command"
      />
      {!done && (
        <Text size="sm" c="dimmed">
          {step === 0
            ? "Waiting for the device. You can close this; it goes on by itself."
            : "The device has it."}
        </Text>
      )}
      {command && done && <CommandAnswer command={command} />}
      <Group justify="space-between">
        {trace ? (
          <Link to="/t/$tenant/traces/$trace" params={{ tenant, trace }} size="sm">
            Follow its trace
          </Link>
        ) : (
          <span />
        )}
        <Button variant="default" onClick={onClose}>
          Close
        </Button>
      </Group>
    </Stack>
  );
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text || "{}");
    return true;
  } catch {
    return false;
  }
}
