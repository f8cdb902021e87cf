import { Button, Group, NumberInput, Stack, Text, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconTicket } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type ClaimTokenView, claimTokensQuery } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { KeyState } from "./keys.tsx";
import { CreateDialog, SettingsList } from "./secret-list.tsx";

const DAY = 86_400_000;
const KINDS: Record<ClaimTokenView["kind"], string> = {
  token: "token",
  "shared-secret": "CMP secret",
  certificate: "claim certificate",
};
const APPROVALS: Record<ClaimTokenView["approval"], string> = {
  automatic: "",
  preauthorised: "listed devices only",
  pending: "a person decides",
};

/** Tokens with which devices enrol themselves. */
export function ClaimTokens() {
  const tenant = useTenantId();
  const may = useMay();
  const tokens = useQuery(claimTokensQuery(tenant));
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ClaimTokenView>();
  const revoke = useAction({
    run: (token: ClaimTokenView) => api.revokeClaimToken(tenant, token.id),
    done: (_, token) => `${token.name} is revoked`,
    refresh: ["tenant", tenant, "claim-tokens"],
    onDone: () => setRevoking(undefined),
  });
  return (
    <SettingsList
      explanation="A device that shows a claim token may enrol itself once: the token says which ids, how many devices and until when."
      addLabel="New claim token"
      onAdd={may("engineer") ? () => setCreating(true) : undefined}
    >
      <Loaded query={tokens}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconTicket} title="No claim token yet">
              Make one for a production batch, and put it into the devices at the factory.
            </EmptyState>
          ) : (
            <DataTable
              caption="Claim tokens"
              rows={items}
              rowId={(token) => token.id}
              columns={[
                {
                  id: "name",
                  header: "Name",
                  cell: (token) => (
                    <>
                      <Text size="sm" fw={550}>
                        {token.name}
                      </Text>
                      <Text size="xs" c="dimmed">
                        {KINDS[token.kind]} · <span className="mono">{token.devicePattern}</span>
                        {token.approval === "automatic" ? "" : ` · ${APPROVALS[token.approval]}`}
                      </Text>
                    </>
                  ),
                },
                {
                  id: "for",
                  header: "For",
                  visibleFrom: "sm",
                  cell: (token) => `${token.product} ${token.hardwareRevision}`,
                },
                { id: "state", header: "State", cell: (token) => <KeyState item={token} /> },
                {
                  id: "uses",
                  header: "Used",
                  align: "right",
                  cell: (token) =>
                    `${formatNumber(token.usedCount)} of ${formatNumber(token.maxUses)}`,
                },
                {
                  id: "expires",
                  header: "Expires",
                  visibleFrom: "sm",
                  cell: (token) => <TimeAgo time={token.expiresAt} />,
                },
                {
                  id: "actions",
                  header: "",
                  align: "right",
                  cell: (token) =>
                    !token.revokedAt && may("engineer") ? (
                      <Button
                        size="compact-sm"
                        variant="light"
                        color="red"
                        onClick={() => setRevoking(token)}
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
      {creating && <NewClaimToken onClose={() => setCreating(false)} />}
      <Confirm
        opened={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        title={`Revoke ${revoking?.name ?? ""}?`}
        confirmLabel="Revoke the token"
        destructive
        busy={revoke.isPending}
        onConfirm={() => revoking && revoke.mutate(revoking)}
      >
        <Text size="sm">
          No further device can enrol with it. Devices that are enrolled already stay.
        </Text>
      </Confirm>
    </SettingsList>
  );
}

function NewClaimToken({ onClose }: { onClose: () => void }) {
  const tenant = useTenantId();
  const required = (value: string) => (value.trim() ? null : "Needed");
  const form = useForm({
    initialValues: {
      name: "",
      devicePattern: "",
      product: "",
      hardwareRevision: "",
      region: "",
      maxUses: 100,
      days: 30,
    },
    validate: {
      name: required,
      devicePattern: required,
      product: required,
      hardwareRevision: required,
    },
  });
  const create = useAction({
    run: ({ days, region, ...token }: typeof form.values) =>
      api.createClaimToken(tenant, {
        ...token,
        ...(region ? { region } : {}),
        expiresAt: new Date(Date.now() + days * DAY).toISOString(),
      }),
    refresh: ["tenant", tenant, "claim-tokens"],
  });
  return (
    <CreateDialog opened title="New claim token" secret={create.data?.token} onClose={onClose}>
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <TextInput
            label="Name"
            placeholder="Batch 2026-11"
            data-autofocus
            {...form.getInputProps("name")}
          />
          <TextInput
            label="Device ids"
            description="* stands for any characters"
            placeholder="pump-*"
            classNames={{ input: "mono" }}
            {...form.getInputProps("devicePattern")}
          />
          <Group grow>
            <TextInput label="Product" {...form.getInputProps("product")} />
            <TextInput label="Hardware revision" {...form.getInputProps("hardwareRevision")} />
          </Group>
          <TextInput label="Region" {...form.getInputProps("region")} />
          <Group grow>
            <NumberInput
              label="Devices"
              min={1}
              max={1_000_000}
              {...form.getInputProps("maxUses")}
            />
            <NumberInput label="Days" min={1} max={3650} {...form.getInputProps("days")} />
          </Group>
          <Button type="submit" loading={create.isPending}>
            Create the token
          </Button>
        </Stack>
      </form>
    </CreateDialog>
  );
}
