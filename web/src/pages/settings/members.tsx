import { Button, Modal, Select, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconUsers } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, membersQuery, type UserView } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { FormButtons } from "../../components/form-buttons.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useIsPlatformAdministrator, useMay, useTenantId } from "../../shell/use-tenant.ts";
import { NewPerson } from "./new-person.tsx";
import { givenRole, RoleFields, type RoleValues, useRoleNames } from "./role-fields.tsx";
import { SettingsList } from "./secret-list.tsx";

/** The people of this tenant and what each may do. */
export function Members() {
  const tenant = useTenantId();
  const may = useMay()("administer");
  const isAdministrator = useIsPlatformAdministrator();
  const members = useQuery(membersQuery(tenant));
  const [adding, setAdding] = useState(false);
  const [inviting, setInviting] = useState(false);
  const [leaving, setLeaving] = useState<UserView>();
  const refresh = ["tenant", tenant, "members"];
  const setRole = useAction({
    run: ({ email, ...role }: RoleValues & { email: string }) =>
      api.setMember(tenant, { email, ...givenRole(role) }),
    done: (_, { email, role }) => `${email} is now ${role}`,
    refresh,
  });
  const remove = useAction({
    run: (user: UserView) => api.removeMember(tenant, user.id),
    done: (_, user) => `${user.name} is a member no more`,
    refresh,
    onDone: () => setLeaving(undefined),
  });
  const roleNames = useRoleNames();
  const memberOf = (user: UserView) => user.memberships.find(({ tenantId }) => tenantId === tenant);

  return (
    <SettingsList
      explanation="Whoever is a member sees this tenant's devices; the role says what else. Administrators of the platform may do everything without being members."
      addLabel="Add a member"
      onAdd={may ? () => setAdding(true) : undefined}
      {...(isAdministrator
        ? { second: { label: "New person", onClick: () => setInviting(true) } }
        : {})}
    >
      <Loaded query={members}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconUsers} title="No member yet">
              Add those who look after these devices.
            </EmptyState>
          ) : (
            <DataTable
              caption="Members"
              rows={items}
              rowId={(user) => user.id}
              columns={[
                {
                  id: "name",
                  header: "Name",
                  cell: (user) => (
                    <>
                      <Text size="sm" fw={550}>
                        {user.name}
                      </Text>
                      <Text size="xs" c="dimmed">
                        {user.email}
                      </Text>
                    </>
                  ),
                },
                {
                  id: "role",
                  header: "Role",
                  cell: (user) =>
                    may ? (
                      <Select
                        size="xs"
                        w={{ base: 116, xs: 160 }}
                        aria-label={`Role of ${user.name}`}
                        data={roleNames}
                        value={memberOf(user)?.role ?? null}
                        allowDeselect={false}
                        disabled={setRole.isPending}
                        onChange={(role) =>
                          role &&
                          setRole.mutate({
                            ...{ email: user.email, role },
                            groups: memberOf(user)?.groups ?? [],
                          })
                        }
                      />
                    ) : (
                      memberOf(user)?.role
                    ),
                },
                {
                  id: "groups",
                  header: "Devices",
                  visibleFrom: "sm",
                  cell: (user) => memberOf(user)?.groups?.join(", ") ?? "all",
                },
                {
                  id: "state",
                  header: "State",
                  visibleFrom: "sm",
                  cell: ({ disabledAt }) => (
                    <ToneBadge
                      tone={disabledAt ? "bad" : "ok"}
                      label={disabledAt ? "Disabled" : "Active"}
                    />
                  ),
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (user) =>
                    may ? (
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setLeaving(user)}
                      >
                        Remove
                      </Button>
                    ) : null,
                },
              ]}
            />
          )
        }
      </Loaded>
      {adding && <AddMember onClose={() => setAdding(false)} />}
      {inviting && <NewPerson onClose={() => setInviting(false)} />}
      <Confirm
        opened={leaving !== undefined}
        onClose={() => setLeaving(undefined)}
        title={`Remove ${leaving?.name ?? ""}?`}
        confirmLabel="Remove the member"
        destructive
        busy={remove.isPending}
        onConfirm={() => leaving && remove.mutate(leaving)}
      >
        <Text size="sm">
          This tenant is out of sight for them from now on. Keys of the tenant that they made stay
          valid: revoke those that nobody needs.
        </Text>
      </Confirm>
    </SettingsList>
  );
}

function AddMember({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: { email: "", role: "operator", groups: [] as string[] },
    validate: { email: (email) => (email.includes("@") ? null : "An e-mail address") },
  });
  const add = useAction({
    run: ({ email, ...role }: typeof form.values) =>
      api.setMember(tenant, { email: email.trim(), ...givenRole(role) }),
    done: (_, { email }) => `${email} is a member`,
    refresh: ["tenant", tenant, "members"],
    onDone: onClose,
  });
  return (
    <Modal opened onClose={onClose} title="Add a member">
      <form onSubmit={form.onSubmit((values) => add.mutate(values))}>
        <Stack>
          <TextInput
            label="E-mail"
            description="Of a person who can sign in to this installation already"
            data-autofocus
            {...form.getInputProps("email")}
          />
          <RoleFields form={form} />
          <FormButtons label="Add" busy={add.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}
