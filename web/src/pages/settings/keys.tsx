import { Button, Select, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconKey } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type KeyView, keysQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { givenRole, RoleFields } from "./role-fields.tsx";
import { CreateDialog, SettingsList } from "./secret-list.tsx";

const DAY = 86_400_000;
const LIFETIMES = [
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "A year" },
  { value: "", label: "It does not expire" },
];

/** Keys with which programs act in this tenant. */
export function Keys() {
  const tenant = useTenantId();
  const may = useMay();
  const keys = useQuery(keysQuery(tenant));
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<KeyView>();
  const revoke = useAction({
    run: (key: KeyView) => api.revokeKey(tenant, key.id),
    done: (_, key) => `${key.name} is revoked`,
    refresh: ["tenant", tenant, "keys"],
    onDone: () => setRevoking(undefined),
  });
  return (
    <SettingsList
      explanation="Programs and the command line sign in with a key. Give each its own, with the least role that does."
      addLabel="New key"
      onAdd={may("administer") ? () => setCreating(true) : undefined}
    >
      <Loaded query={keys}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconKey} title="No key yet">
              The first one is for your build pipeline, perhaps.
            </EmptyState>
          ) : (
            <DataTable
              caption="API keys"
              rows={items}
              rowId={(key) => key.id}
              columns={[
                {
                  id: "name",
                  header: "Name",
                  cell: (key) => (
                    <Text size="sm" fw={550}>
                      {key.name}
                    </Text>
                  ),
                },
                { id: "role", header: "Role", cell: (key) => key.role ?? "as its owner" },
                {
                  id: "groups",
                  header: "Devices",
                  visibleFrom: "md",
                  cell: (key) => key.groups?.join(", ") ?? "all",
                },
                { id: "state", header: "State", cell: (key) => <KeyState item={key} /> },
                {
                  id: "used",
                  header: "Last used",
                  visibleFrom: "sm",
                  cell: (key) => <TimeAgo time={key.lastUsedAt} fallback="never" />,
                },
                {
                  id: "expires",
                  header: "Expires",
                  visibleFrom: "md",
                  cell: (key) => <TimeAgo time={key.expiresAt} fallback="never" />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (key) =>
                    !key.revokedAt && may("administer") ? (
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setRevoking(key)}
                      >
                        Revoke
                      </Button>
                    ) : null,
                },
              ]}
            />
          )
        }
      </Loaded>
      {creating && <NewKey onClose={() => setCreating(false)} />}
      <Confirm
        opened={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        title={`Revoke ${revoking?.name ?? ""}?`}
        confirmLabel="Revoke the key"
        destructive
        busy={revoke.isPending}
        onConfirm={() => revoking && revoke.mutate(revoking)}
      >
        <Text size="sm">Whatever uses it is refused from now on. This cannot be undone.</Text>
      </Confirm>
    </SettingsList>
  );
}

/** Of anything that expires and can be revoked. */
export function KeyState({
  item,
}: {
  item: { revokedAt: string | null; expiresAt: string | null };
}) {
  if (item.revokedAt) return <ToneBadge tone="bad" label="Revoked" />;
  if (item.expiresAt && Date.parse(item.expiresAt) < Date.now()) {
    return <ToneBadge tone="late" label="Expired" />;
  }
  return <ToneBadge tone="ok" label="Valid" />;
}

function NewKey({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { name: "", role: "operator", groups: [] as string[], days: "90" },
    validate: { name: (name) => (name.trim() ? null : "What is it for?") },
  });
  const create = useAction({
    run: ({ name, days, ...role }: typeof form.values) =>
      api.createKey(tenant, {
        name: name.trim(),
        ...givenRole(role),
        ...(days ? { expiresAt: new Date(Date.now() + Number(days) * DAY).toISOString() } : {}),
      }),
    refresh: ["tenant", tenant, "keys"],
  });
  return (
    <CreateDialog opened title="New API key" secret={create.data?.key} onClose={onClose}>
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TextInput label="Name" data-autofocus {...form.getInputProps("name")} />
          <RoleFields form={form} />
          <Select
            label="Lifetime"
            data={LIFETIMES}
            allowDeselect={false}
            {...form.getInputProps("days")}
          />
          <Button type="submit" loading={create.isPending}>
            Create the key
          </Button>
        </Stack>
      </form>
    </CreateDialog>
  );
}
