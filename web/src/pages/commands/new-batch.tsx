import {
  Autocomplete,
  Group,
  JsonInput,
  Modal,
  NumberInput,
  SegmentedControl,
  Select,
  Stack,
  TagsInput,
  TextInput,
} from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { ApiError, api, commandBatchesKey, groupsQuery } from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";
import { isJson, otherCommands } from "../device/send-command.tsx";
import {
  CommandOptions,
  checkOptions,
  filled,
  NO_OPTIONS,
  optionsBody,
} from "./command-options.tsx";

type Maybe = number | "";

/** What the API takes by name in one order; more than that are a group or a query. */
const MAX_NAMES = 1_000;
/** Lists come out of tables, mails and consoles. */
const BETWEEN_NAMES = [",", ";", " ", "\t", "\n"];
const namesIn = (tags: readonly string[]) => [
  ...new Set(tags.flatMap((tag) => tag.split(/[\s,;]+/)).filter(Boolean)),
];
const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

const DEFAULTS = {
  name: "",
  target: "query" as "query" | "group" | "names",
  query: "",
  devices: [] as string[],
  group: null as string | null,
  args: "{}",
  ttlSeconds: 3_600,
  concurrency: 50 as Maybe,
  batchSize: "" as Maybe,
  intervalSeconds: "" as Maybe,
  ...NO_OPTIONS,
};

/** Asks for one order to all that a query finds, and goes to its page. */
export function NewBatch({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const tenant = useTenantId();
  const navigate = useNavigate();
  const form = useForm({
    initialValues: DEFAULTS,
    validate: {
      name: (name) => (name.trim() ? null : "Which command?"),
      args: (args) => (isJson(args) ? null : "This is not JSON"),
      group: (group, { target }) => (target !== "group" || group ? null : "Which group?"),
      devices: (devices, { target }) => (target === "names" ? checkNames(devices) : null),
      batchSize: (size, { intervalSeconds }) =>
        size === "" && intervalSeconds !== "" ? "How many of them?" : null,
      intervalSeconds: (interval, { batchSize }) =>
        interval === "" && batchSize !== "" ? "How far apart?" : null,
      ...checkOptions,
    },
  });
  const send = useAction({
    run: (values: typeof DEFAULTS) =>
      api.sendCommand(tenant, {
        ...targetBody(values),
        name: values.name.trim(),
        args: JSON.parse(values.args || "{}"),
        ttlSeconds: values.ttlSeconds,
        ...paceBody(values),
        ...optionsBody(values),
      }),
    refresh: commandBatchesKey(tenant),
    done: ({ batch, items }) => (batch || items.length > 0 ? "" : "No device fits the query"),
    onDone: ({ batch, items }) => {
      const [only] = items;
      if (!batch && !only) return;
      onClose();
      form.reset();
      if (batch) {
        void navigate({ to: "/t/$tenant/commands/$batch", params: { tenant, batch: batch.id } });
      } else if (only) {
        // Sent to one device by its name, at no pace: that is no batch.
        const params = { tenant, device: only.deviceId };
        void navigate({ to: "/t/$tenant/devices/$device", params, search: { tab: "commands" } });
      }
    },
    onFailed: (error, { target }) => {
      if (!(error instanceof ApiError)) return false;
      const isOfNames = target === "names" && error.code === "not-found";
      if (!isOfNames && error.code !== "invalid-query") return false;
      form.setFieldError(isOfNames ? "devices" : "query", error.message);
      return true;
    },
  });
  return (
    <Modal opened={opened} onClose={onClose} title="Command to many devices" size="lg">
      <form onSubmit={form.onSubmit((values) => send.mutate(values))}>
        <Stack>
          <Autocomplete
            label="Command"
            data={otherCommands(form.values.name)}
            // The list would lie over the question whom it goes to.
            openOnFocus={false}
            data-autofocus
            {...form.getInputProps("name")}
          />
          <Target form={form} />
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
              placeholder="all"
              min={1}
              max={50_000}
              allowDecimal={false}
              {...form.getInputProps("concurrency")}
            />
            <NumberInput
              label="Together"
              description="So many are sent it at each interval"
              placeholder="all"
              min={1}
              max={1_000}
              allowDecimal={false}
              {...form.getInputProps("batchSize")}
            />
          </Group>
          <Group grow align="start">
            <NumberInput
              label="Interval"
              description="Between two of these"
              placeholder="none"
              min={1}
              max={86_400}
              suffix=" s"
              allowDecimal={false}
              {...form.getInputProps("intervalSeconds")}
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
          <CommandOptions form={form} />
          <FormButtons label="Send" busy={send.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}

/** For whom: what a query finds, or a group under its name. */
function Target({ form }: { form: UseFormReturnType<typeof DEFAULTS> }) {
  const groups = useQuery(groupsQuery(useTenantId()));
  return (
    <Stack gap="xs">
      <SegmentedControl
        aria-label="For whom"
        data={[
          { value: "query", label: "By query" },
          { value: "group", label: "A group" },
          { value: "names", label: "By name" },
        ]}
        {...form.getInputProps("target")}
      />
      {form.values.target === "query" && (
        <TextInput
          label="Devices"
          description="A fleet query; empty means every device"
          placeholder='tags.site = "berlin" and online'
          classNames={{ input: "mono" }}
          {...form.getInputProps("query")}
        />
      )}
      {form.values.target === "names" && (
        <TagsInput
          label="Devices"
          description="Their names, one by one or a whole list pasted"
          placeholder="hub-001, hub-002"
          maxTags={MAX_NAMES}
          splitChars={BETWEEN_NAMES}
          acceptValueOnBlur
          clearable
          styles={{ pillsList: { maxHeight: "10rem", overflowY: "auto" } }}
          {...form.getInputProps("devices")}
          onChange={(tags) => form.setFieldValue("devices", namesIn(tags))}
        />
      )}
      {form.values.target === "group" && (
        <Select
          label="Group"
          placeholder={groups.data?.items.length === 0 ? "There is none yet" : "Choose one"}
          data={groups.data?.items.map(({ name }) => name) ?? []}
          searchable
          {...form.getInputProps("group")}
        />
      )}
    </Stack>
  );
}

function targetBody({ target, group, devices, query }: typeof DEFAULTS) {
  if (target === "group") return { group: group ?? "" };
  return target === "names" ? { devices } : { query };
}

function checkNames(devices: readonly string[]): string | null {
  if (devices.length === 0) return "Which devices?";
  const wrong = devices.find((id) => !DEVICE_ID.test(id));
  return wrong === undefined ? null : `${wrong} is no name of a device`;
}

/** Without a bound the batch goes out all at once. */
function paceBody({ concurrency, batchSize, intervalSeconds }: typeof DEFAULTS) {
  const pace = filled({ concurrency, batchSize, intervalSeconds });
  return Object.keys(pace).length > 0 ? { pace } : {};
}
