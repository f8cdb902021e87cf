import { Badge, Button, Code, Group, Stack, Text } from "@mantine/core";
import { IconRobot } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type ServiceAccountView, serviceAccountsQuery } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { SettingsList } from "./secret-list.tsx";
import { NewServiceAccount, UseServiceAccount } from "./service-account-dialogs.tsx";

/** Pipelines that sign in with a token of their own issuer instead of a key. */
export function ServiceAccounts() {
  const tenant = useTenantId();
  const may = useMay()("administer");
  const accounts = useQuery(serviceAccountsQuery(tenant));
  const [creating, setCreating] = useState(false);
  const [using, setUsing] = useState<ServiceAccountView>();
  const [deleting, setDeleting] = useState<ServiceAccountView>();
  const remove = useAction({
    run: (account: ServiceAccountView) => api.deleteServiceAccount(tenant, account.id),
    done: (_, account) => `${account.name} is let in no more`,
    refresh: ["tenant", tenant, "service-accounts"],
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="A pipeline of GitHub, GitLab or another OpenID issuer exchanges its own short-lived token for a key that is over in minutes: no secret lies anywhere."
      addLabel="New service account"
      onAdd={may ? () => setCreating(true) : undefined}
    >
      <Loaded query={accounts}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconRobot} title="No service account yet">
              Let your build publish releases without a key in its settings.
            </EmptyState>
          ) : (
            <DataTable
              caption="Service accounts"
              rows={items}
              rowId={(account) => account.id}
              columns={[
                { id: "name", header: "Name", cell: (one) => <NameAndIssuer account={one} /> },
                {
                  id: "conditions",
                  header: "Where its token says",
                  visibleFrom: "md",
                  cell: ({ conditions }) => (
                    <Stack gap={2} align="flex-start">
                      {conditions.map(({ claim, value }) => (
                        <Code key={claim} style={{ overflowWrap: "anywhere" }}>
                          {claim} = {value}
                        </Code>
                      ))}
                    </Stack>
                  ),
                },
                {
                  id: "role",
                  header: "Role",
                  cell: ({ role, scopes }) => (
                    <Group gap={6}>
                      {role}
                      {scopes && (
                        <Badge size="xs" variant="default" title={scopes.join(", ")}>
                          {scopes.length} of its permissions
                        </Badge>
                      )}
                    </Group>
                  ),
                },
                {
                  id: "used",
                  header: "Last used",
                  visibleFrom: "sm",
                  cell: (account) => <TimeAgo time={account.lastUsedAt} fallback="never" />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (account) => (
                    <Group gap={6} justify="flex-end" wrap="nowrap">
                      <Button size="compact-sm" variant="light" onClick={() => setUsing(account)}>
                        How to use
                      </Button>
                      {may && (
                        <Button
                          size="compact-sm"
                          variant="light"
                          color="red"
                          onClick={() => setDeleting(account)}
                        >
                          Delete
                        </Button>
                      )}
                    </Group>
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
      {creating && <NewServiceAccount onClose={() => setCreating(false)} onMade={setUsing} />}
      {using && <UseServiceAccount account={using} onClose={() => setUsing(undefined)} />}
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title={`Delete ${deleting?.name ?? ""}?`}
        confirmLabel="Delete the service account"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">
          Keys that it has been given end at once; a pipeline that is running is refused.
        </Text>
      </Confirm>
    </SettingsList>
  );
}

function NameAndIssuer({ account }: { account: ServiceAccountView }) {
  return (
    <>
      <Text size="sm" fw={550}>
        {account.name}
      </Text>
      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
        {account.issuer}
      </Text>
    </>
  );
}
