import {
  Badge,
  Button,
  Checkbox,
  Group,
  Modal,
  ScrollArea,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type RoleView, rolesQuery } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { FormButtons } from "../../components/form-buttons.tsx";
import { Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { SettingsList } from "./secret-list.tsx";

/** Built-in roles and the tenant's own, and what each permits. */
export function Roles() {
  const tenant = useTenantId();
  const may = useMay()("administer");
  const roles = useQuery(rolesQuery(tenant));
  const [editing, setEditing] = useState<RoleView | "new">();
  const [deleting, setDeleting] = useState<RoleView>();
  const remove = useAction({
    run: (role: RoleView) => api.deleteRole(tenant, role.name),
    done: (_, role) => `Role ${role.name} is gone`,
    refresh: ["tenant", tenant, "roles"],
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="A role is a set of permissions. Beside the built-in ones you can make your own, and give any of them for the devices of some groups only: an operator of one site, for example."
      addLabel="New role"
      onAdd={may ? () => setEditing("new") : undefined}
    >
      <Loaded query={roles}>
        {({ items }) => (
          <DataTable
            caption="Roles"
            rows={items}
            rowId={(role) => role.name}
            columns={[
              { id: "name", header: "Role", cell: (role) => <RoleName role={role} /> },
              {
                id: "permissions",
                header: "Permissions",
                visibleFrom: "sm",
                cell: ({ permissions }) => (
                  <Text size="xs" c="dimmed" title={permissions.join(", ")} lineClamp={2} maw={420}>
                    {permissions.join(", ")}
                  </Text>
                ),
              },
              {
                id: "uses",
                header: "In use",
                cell: ({ members, keys }) => usesText(members, keys),
              },
              {
                id: "actions",
                header: "",
                align: "right",
                cell: (role) =>
                  may && !role.isBuiltIn ? (
                    <Group gap={6} justify="flex-end" wrap="nowrap">
                      <Button size="compact-sm" variant="light" onClick={() => setEditing(role)}>
                        Edit
                      </Button>
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setDeleting(role)}
                      >
                        Delete
                      </Button>
                    </Group>
                  ) : null,
              },
            ]}
          />
        )}
      </Loaded>
      {editing && (
        <RoleDialog
          role={editing === "new" ? undefined : editing}
          onClose={() => setEditing(undefined)}
        />
      )}
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title={`Delete ${deleting?.name ?? ""}?`}
        confirmLabel="Delete the role"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">A role that a member or a key still has is kept, and you are told.</Text>
      </Confirm>
    </SettingsList>
  );
}

function RoleName({ role }: { role: RoleView }) {
  return (
    <>
      <Group gap={6}>
        <Text size="sm" fw={550}>
          {role.name}
        </Text>
        {role.isBuiltIn && (
          <Badge size="xs" variant="default">
            built-in
          </Badge>
        )}
      </Group>
      <Text size="xs" c="dimmed">
        {role.description}
      </Text>
    </>
  );
}

function usesText(members: number, keys: number): string {
  const parts = [
    members > 0 && `${members} ${members === 1 ? "member" : "members"}`,
    keys > 0 && `${keys} ${keys === 1 ? "key" : "keys"}`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(", ") : "nobody";
}

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

function RoleDialog({ role, onClose }: { role: RoleView | undefined; onClose: () => void }) {
  const tenant = useTenantId();
  const { data } = useQuery(rolesQuery(tenant));
  const form = useForm({
    initialValues: {
      name: role?.name ?? "",
      description: role?.description ?? "",
      permissions: role?.permissions ?? ["tenant.read", "devices.read"],
    },
    validate: {
      name: (name) => (NAME.test(name) ? null : "Lower-case letters, digits and hyphens"),
      permissions: (chosen) => (chosen.length > 0 ? null : "Choose what it permits"),
    },
  });
  const save = useAction({
    run: ({ name, ...values }: typeof form.values) => {
      const body = values as Parameters<typeof api.replaceRole>[2];
      return role ? api.replaceRole(tenant, name, body) : api.createRole(tenant, { name, ...body });
    },
    done: (_, { name }) => `Role ${name} is saved`,
    refresh: ["tenant", tenant, "roles"],
    onDone: onClose,
  });
  return (
    <Modal opened onClose={onClose} title={role ? `Role ${role.name}` : "New role"} size="lg">
      <form onSubmit={form.onSubmit((values) => save.mutate(values))}>
        <Stack>
          {!role && <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />}
          <Textarea
            label="Description"
            maxLength={256}
            autosize
            {...form.getInputProps("description")}
          />
          <Checkbox.Group
            label="Permissions"
            description="Those marked with a star concern the whole tenant: who is confined to groups does not have them."
            {...form.getInputProps("permissions")}
          >
            <ScrollArea.Autosize mah={320} mt="xs" type="auto" offsetScrollbars>
              <Stack gap={8}>
                {data?.permissions.map(({ name, meaning, confinable }) => (
                  <Checkbox
                    key={name}
                    value={name}
                    label={confinable ? name : `${name} *`}
                    description={meaning}
                  />
                ))}
              </Stack>
            </ScrollArea.Autosize>
          </Checkbox.Group>
          <FormButtons label="Save the role" busy={save.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}
