import { Autocomplete, JsonInput, Modal, Select, Stack } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api, commandQuery } from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";
import {
  CommandOptions,
  checkOptions,
  NO_OPTIONS,
  optionsBody,
} from "../commands/command-options.tsx";
import { CommandBody } from "./command-details.tsx";

const KNOWN_COMMANDS = ["ping", "reboot", "set-log-level", "collect-diagnostics"];

/** Suggestions beside what is there already: a list of nothing new would cover the fields below. */
export function otherCommands(name: string): string[] {
  return KNOWN_COMMANDS.filter((known) => known !== name);
}
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
    initialValues: { name: "", args: "{}", ttlSeconds: "3600", ...NO_OPTIONS },
    validate: {
      name: (name) => (name.trim() ? null : "Which command?"),
      args: (args) => (isJson(args) ? null : "This is not JSON"),
      ...checkOptions,
    },
  });
  const send = useAction({
    run: (values: typeof form.values) =>
      api.sendCommand(tenant, {
        devices: [deviceId],
        name: values.name.trim(),
        args: JSON.parse(values.args || "{}"),
        ttlSeconds: Number(values.ttlSeconds),
        ...optionsBody(values),
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
        <CommandProgress id={sentId} onOther={setSentId} onClose={close} />
      ) : (
        <form onSubmit={form.onSubmit((values) => send.mutate(values))}>
          <Stack>
            <Autocomplete
              label="Command"
              description="The agent's application decides which it knows"
              data={otherCommands(form.values.name)}
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
            <CommandOptions form={form} />
            <FormButtons label="Send" busy={send.isPending} onClose={close} />
          </Stack>
        </form>
      )}
    </Modal>
  );
}

interface CommandProgressProps {
  id: string;
  onOther: (id: string) => void;
  onClose: () => void;
}

/** Follows what was sent; a new attempt takes the place of the one before. */
function CommandProgress({ id, onOther, onClose }: CommandProgressProps) {
  const tenant = useTenantId();
  const command = useQuery(commandQuery(tenant, id));
  const next = command.data?.retriedBy;
  useEffect(() => {
    if (next) onOther(next);
  }, [next, onOther]);
  return (
    <Loaded query={command}>
      {(found) => <CommandBody command={found} onOther={onOther} onClose={onClose} />}
    </Loaded>
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
