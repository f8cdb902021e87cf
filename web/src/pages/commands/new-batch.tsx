import {
  Autocomplete,
  Button,
  Group,
  JsonInput,
  Modal,
  NumberInput,
  Stack,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useNavigate } from "@tanstack/react-router";
import { api, commandBatchesKey } from "../../api/index.ts";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";
import { isJson, KNOWN_COMMANDS } from "../device/send-command.tsx";

const DEFAULTS = { name: "", query: "", args: "{}", ttlSeconds: 3_600, concurrency: 50 };

/** Asks for one order to all that a query finds, and goes to its page. */
export function NewBatch({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const tenant = useTenantId();
  const navigate = useNavigate();
  const form = useForm({
    initialValues: DEFAULTS,
    validate: {
      name: (name) => (name.trim() ? null : "Which command?"),
      args: (args) => (isJson(args) ? null : "This is not JSON"),
    },
  });
  const send = useAction({
    run: (values: typeof DEFAULTS) =>
      api.sendCommand(tenant, {
        query: values.query,
        name: values.name.trim(),
        args: JSON.parse(values.args || "{}"),
        ttlSeconds: values.ttlSeconds,
        pace: { concurrency: values.concurrency },
      }),
    refresh: commandBatchesKey(tenant),
    done: ({ batch }) => (batch ? "" : "No device fits the query"),
    onDone: ({ batch }) => {
      if (!batch) return;
      onClose();
      form.reset();
      void navigate({ to: "/t/$tenant/commands/$batch", params: { tenant, batch: batch.id } });
    },
  });
  return (
    <Modal opened={opened} onClose={onClose} title="Command to many devices" size="lg">
      <form onSubmit={form.onSubmit((values) => send.mutate(values))}>
        <Stack>
          <Autocomplete
            label="Command"
            data={KNOWN_COMMANDS}
            data-autofocus
            {...form.getInputProps("name")}
          />
          <TextInput
            label="Devices"
            description="A fleet query; empty means every device"
            placeholder='tags.site = "berlin" and online'
            classNames={{ input: "mono" }}
            {...form.getInputProps("query")}
          />
          <JsonInput
            label="Arguments"
            autosize
            minRows={2}
            maxRows={10}
            classNames={{ input: "mono" }}
            {...form.getInputProps("args")}
          />
          <Group grow align="start">
            <NumberInput
              label="At once"
              description="So many devices are busy with it at a time"
              min={1}
              max={50_000}
              allowDecimal={false}
              {...form.getInputProps("concurrency")}
            />
            <NumberInput
              label="Expires after, in seconds"
              description="Counted from when a device's turn comes"
              min={1}
              max={2_592_000}
              allowDecimal={false}
              {...form.getInputProps("ttlSeconds")}
            />
          </Group>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={send.isPending}>
              Send
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
