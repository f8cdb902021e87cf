import { Modal, Stack, Switch, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useNavigate } from "@tanstack/react-router";
import { api } from "../api/index.ts";
import { FormButtons } from "../components/form-buttons.tsx";
import { useAction } from "../components/use-action.ts";

const TENANT_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;

export function NewTenantDialog({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const navigate = useNavigate();
  const form = useForm({
    initialValues: { id: "", name: "", isSeparate: false },
    validate: {
      name: (name) => (name.trim() ? null : "Give it a name"),
      id: (id) =>
        TENANT_ID.test(id) ? null : "Lower-case letters, digits and hyphens, 63 at most",
    },
  });
  const create = useAction({
    run: ({ id, name, isSeparate }: { id: string; name: string; isSeparate: boolean }) =>
      api.createTenant({ id, name, storageClass: isSeparate ? "separate" : "shared" }),
    done: (_, tenant) => `Tenant ${tenant.name} is ready`,
    refresh: ["session"],
    onDone: (_, { id }) => {
      onClose();
      form.reset();
      void navigate({ to: "/t/$tenant/fleet", params: { tenant: id } });
    },
  });
  return (
    <Modal opened={opened} onClose={onClose} title="New tenant">
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
          <TextInput
            label="Id"
            description="Part of every device's identity; it stays for ever"
            className="mono"
            {...form.getInputProps("id")}
          />
          <Switch
            label="Files of its own"
            description="Its telemetry, logs and artifacts lie in files apart from other tenants'"
            {...form.getInputProps("isSeparate", { type: "checkbox" })}
          />
          <FormButtons label="Create the tenant" busy={create.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}
