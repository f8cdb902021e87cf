import { Modal, PasswordInput, Select, Stack, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { api, TENANT_ROLES, type TenantRole } from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

const PASSWORD_LENGTH = 12;

/** Makes a person who can sign in, and a member of this tenant at once. */
export function NewPerson({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { name: "", email: "", password: "", role: "operator" },
    validate: {
      name: (name) => (name.trim() ? null : "Needed"),
      email: (email) => (email.includes("@") ? null : "An e-mail address"),
      password: (password) =>
        password.length >= PASSWORD_LENGTH ? null : `${PASSWORD_LENGTH} characters or more`,
    },
  });
  const create = useAction({
    run: ({ role, ...person }: typeof form.values) =>
      api.createUser({ ...person, memberships: [{ tenantId: tenant, role: role as TenantRole }] }),
    done: (_, { name }) => `${name} can sign in`,
    refresh: ["tenant", tenant, "members"],
    onDone: onClose,
  });
  return (
    <Modal opened onClose={onClose} title="New person">
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
          <TextInput label="E-mail" {...form.getInputProps("email")} />
          <PasswordInput
            label="First password"
            description="Give it to them by a safe way"
            autoComplete="new-password"
            {...form.getInputProps("password")}
          />
          <Select
            label="Role here"
            data={[...TENANT_ROLES]}
            allowDeselect={false}
            {...form.getInputProps("role")}
          />
          <FormButtons label="Create the person" busy={create.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}
