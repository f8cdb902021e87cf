import { Badge, Button, Group, Modal, Stack, Text } from "@mantine/core";
import { IconLogin2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type ProviderCheck, type ProviderView, providersQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { CopyText } from "../../components/copy-text.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Fact } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { SettingsList } from "../settings/secret-list.tsx";
import { ProviderDialog } from "./provider-dialog.tsx";

/** OpenID providers that people sign in at. */
export function Providers() {
  const providers = useQuery(providersQuery);
  const [editing, setEditing] = useState<ProviderView | "new">();
  const [deleting, setDeleting] = useState<ProviderView>();
  const check = useAction({ run: (provider: ProviderView) => api.checkProvider(provider.id) });
  const remove = useAction({
    run: (provider: ProviderView) => api.deleteProvider(provider.id),
    done: (_, { name }) => `Nobody signs in at ${name} any more`,
    refresh: ["platform", "providers"],
    onDone: () => setDeleting(undefined),
  });
  return (
    <SettingsList
      explanation="People sign in with the account of their company: any OpenID Connect provider, by the authorization code flow with PKCE. Claims of its tokens give roles in tenants."
      addLabel="New provider"
      onAdd={() => setEditing("new")}
    >
      <Loaded query={providers}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconLogin2} title="People sign in with passwords and passkeys">
              Connect the identity provider of your company, so that who leaves it loses access here
              too.
            </EmptyState>
          ) : (
            <DataTable
              caption="Sign-in providers"
              rows={items}
              rowId={(provider) => provider.id}
              columns={[
                { id: "name", header: "Provider", cell: (one) => <Name provider={one} /> },
                {
                  id: "who",
                  header: "Lets in",
                  visibleFrom: "md",
                  cell: (one) => <WhoIsLetIn provider={one} />,
                },
                {
                  id: "state",
                  header: "State",
                  visibleFrom: "sm",
                  cell: ({ enabled }) => (
                    <ToneBadge tone={enabled ? "ok" : "idle"} label={enabled ? "In use" : "Off"} />
                  ),
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (provider) => (
                    <Group gap={6} justify="flex-end">
                      <Button
                        size="compact-sm"
                        variant="light"
                        loading={check.isPending && check.variables?.id === provider.id}
                        onClick={() => check.mutate(provider)}
                      >
                        Test
                      </Button>
                      <Button
                        size="compact-sm"
                        variant="light"
                        onClick={() => setEditing(provider)}
                      >
                        Edit
                      </Button>
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setDeleting(provider)}
                      >
                        Delete
                      </Button>
                    </Group>
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
      {editing && (
        <ProviderDialog
          provider={editing === "new" ? undefined : editing}
          onClose={() => setEditing(undefined)}
          onCreated={(provider) => check.mutate(provider)}
        />
      )}
      {check.data && <Checked found={check.data} onClose={() => check.reset()} />}
      <Confirm
        opened={deleting !== undefined}
        onClose={() => setDeleting(undefined)}
        title={`Delete ${deleting?.name ?? ""}?`}
        confirmLabel="Delete the provider"
        destructive
        busy={remove.isPending}
        onConfirm={() => deleting && remove.mutate(deleting)}
      >
        <Text size="sm">
          Sessions from there end at once, and the memberships that its claims have given end with
          them. People who also have a password keep it.
        </Text>
      </Confirm>
    </SettingsList>
  );
}

function Name({ provider }: { provider: ProviderView }) {
  return (
    <>
      <Group gap={6}>
        <Text size="sm" fw={550}>
          {provider.name}
        </Text>
        {!provider.hasSecret && (
          <Badge size="xs" variant="default" title="A public client: PKCE alone">
            no secret
          </Badge>
        )}
      </Group>
      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
        {provider.issuer}
      </Text>
    </>
  );
}

function WhoIsLetIn({ provider }: { provider: ProviderView }) {
  const { createsUsers, linksByEmail, emailDomains, roleMappings } = provider;
  const whom = createsUsers
    ? "Anybody whom a claim gives a role"
    : linksByEmail
      ? "Users with a verified e-mail address"
      : "Users who were linked beforehand";
  return (
    <Stack gap={2}>
      <Text size="sm">{whom}</Text>
      {emailDomains.length > 0 && (
        <Text size="xs" c="dimmed">
          of {emailDomains.join(", ")}
        </Text>
      )}
      {roleMappings.map(({ claim, value, tenantId, role }) => (
        <Text key={`${claim} ${value} ${tenantId}`} size="xs" c="dimmed">
          {claim} = {value} → {role} in {tenantId}
        </Text>
      ))}
    </Stack>
  );
}

/** What the provider says of itself, and what is to be registered there. */
function Checked({ found, onClose }: { found: ProviderCheck; onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="The provider answers" size="lg">
      <Stack gap="xs">
        <Text size="sm" c="dimmed">
          Register these addresses at the provider, character by character.
        </Text>
        <Fact label="Redirect URI">
          <CopyText text={found.redirectUri} />
        </Fact>
        <Fact label="After signing out">
          <CopyText text={found.signOutUri} />
        </Fact>
        <Fact label="Issuer">{found.issuer}</Fact>
        <Fact label="Authorization endpoint">{found.authorizationEndpoint ?? "–"}</Fact>
        <Fact label="Signing out there">{found.endSessionEndpoint ?? "not offered"}</Fact>
        <Fact label="PKCE">
          {found.supportsPkce ? "announced" : "not announced; used all the same"}
        </Fact>
        <Fact label="Signatures">{found.algorithms.join(", ")}</Fact>
        <Group justify="flex-end">
          <Button onClick={onClose}>Close</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
