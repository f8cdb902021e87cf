import { Button, Modal, Select, Stack, TagsInput, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { api } from "../../api/index.ts";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

const LENGTHS = [
  { value: "1", label: "an hour" },
  { value: "4", label: "4 hours" },
  { value: "24", label: "a day" },
  { value: "168", label: "a week" },
];
const HOUR_MS = 3_600_000;

/** Asks what to keep quiet, for how long and why. */
export function SilenceDialog({ matchers, onClose }: { matchers: string[]; onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { matchers, hours: "4", comment: "" },
    validate: {
      matchers: (some) => (some.length > 0 ? null : "At least one"),
      comment: (text) => (text.trim() ? null : "Say why: others will wonder"),
    },
  });
  const create = useAction({
    run: ({ hours, ...silence }: typeof form.values) =>
      api.createSilence(tenant, {
        ...silence,
        endsAt: new Date(Date.now() + Number(hours) * HOUR_MS).toISOString(),
      }),
    done: () => "Nobody is told of it for a while",
    refresh: ["tenant", tenant, "alerts"],
    onDone: onClose,
  });
  return (
    <Modal opened onClose={onClose} title="Silence alerts">
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TagsInput
            label="That fit all of"
            description='label="value", also != and =~ with .* and |'
            placeholder='site="berlin"'
            {...form.getInputProps("matchers")}
          />
          <Select
            label="For"
            data={LENGTHS}
            allowDeselect={false}
            {...form.getInputProps("hours")}
          />
          <TextInput
            label="Because"
            placeholder="Works on the mast"
            data-autofocus
            {...form.getInputProps("comment")}
          />
          <Button type="submit" loading={create.isPending}>
            Silence
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}
