import {
  ActionIcon,
  Button,
  Checkbox,
  Group,
  Modal,
  PasswordInput,
  Select,
  Stack,
  TagsInput,
  Text,
  TextInput,
} from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { IconPlus, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import {
  api,
  type ProviderSettings,
  type ProviderView,
  TENANT_ROLES,
  tenantsQuery,
} from "../../api/index.ts";
import { FormButtons } from "../../components/form-buttons.tsx";
import { useAction } from "../../components/use-action.ts";

const ID = /^[a-z0-9][a-z0-9-]{0,39}$/;

interface Props {
  /** Absent for a new one. */
  provider: ProviderView | undefined;
  onClose: () => void;
  onCreated: (provider: ProviderView) => void;
}

/** Everything that is set of a provider; its secret is never shown, and stays where none is typed. */
export function ProviderDialog({ provider, onClose, onCreated }: Props) {
  const form = useForm({
    initialValues: initialOf(provider),
    validate: {
      id: (id) => (provider || ID.test(id) ? null : "Lower-case letters, digits and hyphens"),
      issuer: (issuer) => (/^https?:\/\/./.test(issuer) ? null : "An address, as in its tokens"),
      clientId: (id) => (id.trim() ? null : "What the provider calls this platform"),
      roleMappings: {
        claim: (claim) => (claim.trim() ? null : "Which claim?"),
        value: (value) => (value.trim() ? null : "What is in it?"),
        tenantId: (tenant) => (tenant ? null : "Where?"),
      },
    },
  });
  const save = useAction({
    run: ({ id, clientSecret, isPublic, ...rest }: typeof form.values) => {
      const secret = isPublic ? null : clientSecret || undefined;
      const settings = {
        ...{ ...rest, name: rest.name.trim() || id },
        ...(secret === undefined ? {} : { clientSecret: secret }),
      } as ProviderSettings;
      return provider
        ? api.replaceProvider(provider.id, settings)
        : api.createProvider({ id, ...settings });
    },
    done: (_, { id }) => `Provider ${id} is saved`,
    refresh: ["platform", "providers"],
    onDone(saved) {
      onClose();
      if (!provider) onCreated(saved);
    },
  });
  return (
    <Modal
      opened
      onClose={onClose}
      title={provider ? `Provider ${provider.name}` : "New sign-in provider"}
      size="lg"
    >
      <form onSubmit={form.onSubmit((values) => save.mutate(values))}>
        <Stack>
          <Group grow align="flex-start">
            {!provider && (
              <TextInput
                label="Id"
                description="In the redirect URI; it does not change"
                placeholder="corp"
                data-autofocus
                {...form.getInputProps("id")}
              />
            )}
            <TextInput
              label="Name"
              description="On the button"
              placeholder="Example Corp"
              {...form.getInputProps("name")}
            />
          </Group>
          <TextInput
            label="Issuer"
            placeholder="https://id.example.com"
            {...form.getInputProps("issuer")}
          />
          <Group grow align="flex-start">
            <TextInput label="Client id" {...form.getInputProps("clientId")} />
            <PasswordInput
              label="Client secret"
              placeholder={provider?.hasSecret ? "Stays as it is" : ""}
              autoComplete="off"
              disabled={form.values.isPublic}
              {...form.getInputProps("clientSecret")}
            />
          </Group>
          <Checkbox
            label="A public client without a secret: PKCE alone"
            {...form.getInputProps("isPublic", { type: "checkbox" })}
          />
          <Checkbox
            label="A verified e-mail address leads to the user who has it"
            {...form.getInputProps("linksByEmail", { type: "checkbox" })}
          />
          <Checkbox
            label="Somebody new becomes a user, where a claim gives a role"
            {...form.getInputProps("createsUsers", { type: "checkbox" })}
          />
          <TagsInput
            label="E-mail domains"
            description="Nobody else is let in; empty: any"
            placeholder="example.com"
            {...form.getInputProps("emailDomains")}
          />
          <Mappings form={form} />
          {provider && (
            <Checkbox
              label="In use; without it nobody signs in there and its sessions end"
              {...form.getInputProps("enabled", { type: "checkbox" })}
            />
          )}
          <FormButtons label="Save the provider" busy={save.isPending} onClose={onClose} />
        </Stack>
      </form>
    </Modal>
  );
}

function initialOf(provider: ProviderView | undefined) {
  return {
    id: provider?.id ?? "",
    name: provider?.name ?? "",
    issuer: provider?.issuer ?? "",
    clientId: provider?.clientId ?? "",
    clientSecret: "",
    isPublic: provider !== undefined && !provider.hasSecret,
    scopes: provider?.scopes ?? ["openid", "email", "profile"],
    linksByEmail: provider?.linksByEmail ?? true,
    createsUsers: provider?.createsUsers ?? false,
    emailDomains: provider?.emailDomains ?? [],
    roleMappings: provider?.roleMappings ?? [],
    enabled: provider?.enabled ?? true,
  };
}

type Values = ReturnType<typeof initialOf>;

/** Which claim gives which role where. */
function Mappings({ form }: { form: UseFormReturnType<Values> }) {
  const tenants = useQuery(tenantsQuery);
  const { roleMappings } = form.values;
  const add = () =>
    form.insertListItem("roleMappings", {
      ...{ claim: "groups", value: "", role: "viewer" },
      tenantId: tenants.data?.items[0]?.id ?? "",
    });
  return (
    <Stack gap={6}>
      <Text size="sm" fw={500}>
        Roles by claims
      </Text>
      {roleMappings.map((mapping, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines have no identity of their own
        <Group key={index} gap="xs" align="flex-start">
          <TextInput
            aria-label={`Claim ${index + 1}`}
            w={110}
            {...form.getInputProps(`roleMappings.${index}.claim`)}
          />
          <TextInput
            aria-label={`Value of ${mapping.claim || "the claim"}`}
            placeholder="fleet-team"
            style={{ flex: 1 }}
            miw={120}
            {...form.getInputProps(`roleMappings.${index}.value`)}
          />
          <Select
            aria-label={`Tenant of claim ${index + 1}`}
            w={130}
            data={tenants.data?.items.map(({ id }) => id) ?? []}
            allowDeselect={false}
            {...form.getInputProps(`roleMappings.${index}.tenantId`)}
          />
          <Select
            aria-label={`Role of claim ${index + 1}`}
            w={140}
            data={[...TENANT_ROLES]}
            allowDeselect={false}
            {...form.getInputProps(`roleMappings.${index}.role`)}
          />
          <ActionIcon
            mt={4}
            variant="subtle"
            color="gray"
            aria-label={`Remove claim ${index + 1}`}
            onClick={() => form.removeListItem("roleMappings", index)}
          >
            <IconX size={16} />
          </ActionIcon>
        </Group>
      ))}
      <Group>
        <Button
          size="compact-sm"
          variant="subtle"
          leftSection={<IconPlus size={14} aria-hidden />}
          onClick={add}
        >
          Give a role by a claim
        </Button>
      </Group>
    </Stack>
  );
}
