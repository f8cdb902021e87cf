import {
  ActionIcon,
  Button,
  Group,
  Modal,
  NumberInput,
  SegmentedControl,
  Select,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconPlus, IconX } from "@tabler/icons-react";
import { api, type ServiceAccountView, TENANT_ROLES, type TenantRole } from "../../api/index.ts";
import { CopyBlock } from "../../components/copy-text.tsx";
import { FormButtons } from "../../components/form-buttons.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

interface Condition {
  claim: string;
  value: string;
}

/** What pipelines of the common hosts say in their tokens. */
const HOSTS: Record<string, { label: string; issuer: string; conditions: Condition[] }> = {
  github: {
    label: "GitHub",
    issuer: "https://token.actions.githubusercontent.com",
    conditions: [
      { claim: "repository", value: "" },
      { claim: "ref", value: "refs/heads/main" },
    ],
  },
  gitlab: {
    label: "GitLab",
    issuer: "https://gitlab.com",
    conditions: [
      { claim: "project_path", value: "" },
      { claim: "ref_protected", value: "true" },
    ],
  },
  other: { label: "Another issuer", issuer: "", conditions: [{ claim: "sub", value: "" }] },
};
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const DEFAULT_LIFETIME_SECONDS = 900;

interface NewProps {
  onClose: () => void;
  onMade: (account: ServiceAccountView) => void;
}

export function NewServiceAccount({ onClose, onMade }: NewProps) {
  const tenant = useTenantId();
  const form = useForm({
    initialValues: {
      host: "github",
      name: "",
      issuer: HOSTS.github?.issuer ?? "",
      audience: window.location.origin,
      conditions: HOSTS.github?.conditions ?? [],
      role: "fleet-engineer",
      lifetimeSeconds: DEFAULT_LIFETIME_SECONDS,
    },
    validate: {
      name: (name) => (NAME.test(name) ? null : "Lower-case letters, digits and hyphens"),
      issuer: (issuer) => (/^https?:\/\/./.test(issuer) ? null : "An address, as in its tokens"),
      audience: (audience) => (audience.trim() ? null : "What its tokens are made out to"),
      conditions: {
        claim: (claim) => (claim.trim() ? null : "Which claim?"),
        value: (value) => (value.trim() ? null : "What must it be?"),
      },
    },
  });
  const create = useAction({
    run: ({ host: _, ...account }: typeof form.values) =>
      api.createServiceAccount(tenant, { ...account, role: account.role as TenantRole }),
    done: (_, { name }) => `${name} is let in`,
    refresh: ["tenant", tenant, "service-accounts"],
    onDone: (made) => {
      onClose();
      onMade(made);
    },
  });
  const choose = (host: string) => {
    const preset = HOSTS[host];
    if (preset) form.setValues({ host, issuer: preset.issuer, conditions: preset.conditions });
  };
  return (
    <Modal opened onClose={onClose} title="New service account" size="lg">
      <form onSubmit={form.onSubmit((values) => create.mutate(values))}>
        <Stack>
          <SegmentedControl
            aria-label="Where it runs"
            value={form.values.host}
            onChange={choose}
            data={Object.entries(HOSTS).map(([value, { label }]) => ({ value, label }))}
          />
          <TextInput
            label="Name"
            placeholder="release-pipeline"
            data-autofocus
            {...form.getInputProps("name")}
          />
          <TextInput label="Issuer" {...form.getInputProps("issuer")} />
          <TextInput
            label="Audience"
            description="What the pipeline asks its token for; a token for somebody else is refused"
            {...form.getInputProps("audience")}
          />
          <Conditions form={form} />
          <Group grow align="flex-start">
            <Select
              label="Role"
              data={[...TENANT_ROLES]}
              allowDeselect={false}
              {...form.getInputProps("role")}
            />
            <NumberInput
              label="Its keys last"
              suffix=" s"
              min={60}
              max={3_600}
              allowDecimal={false}
              {...form.getInputProps("lifetimeSeconds")}
            />
          </Group>
          <FormButtons
            label="Create the service account"
            busy={create.isPending}
            onClose={onClose}
          />
        </Stack>
      </form>
    </Modal>
  );
}

type Form = ReturnType<typeof useForm<{ conditions: Condition[] }>>;

function Conditions({ form: given }: { form: unknown }) {
  const form = given as Form;
  const { conditions } = form.values;
  return (
    <Stack gap={6}>
      <Text size="sm" fw={500}>
        Conditions
      </Text>
      <Text size="xs" c="dimmed">
        All of them must hold; * stands for any text. An issuer signs tokens for everybody: without
        the name of your repository anybody is let in.
      </Text>
      {conditions.map((condition, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the lines have no identity of their own
        <Group key={index} gap="xs" align="flex-start" wrap="nowrap">
          <TextInput
            aria-label={`Claim ${index + 1}`}
            placeholder="claim"
            style={{ flex: 2 }}
            {...form.getInputProps(`conditions.${index}.claim`)}
          />
          <TextInput
            aria-label={`Value of ${condition.claim || `claim ${index + 1}`}`}
            placeholder={condition.claim === "repository" ? "acme/firmware" : "value"}
            style={{ flex: 3 }}
            {...form.getInputProps(`conditions.${index}.value`)}
          />
          <ActionIcon
            mt={4}
            variant="subtle"
            color="gray"
            aria-label={`Remove condition ${index + 1}`}
            disabled={conditions.length === 1}
            onClick={() => form.removeListItem("conditions", index)}
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
          onClick={() => form.insertListItem("conditions", { claim: "", value: "" })}
        >
          Another condition
        </Button>
      </Group>
    </Stack>
  );
}

interface UseProps {
  account: ServiceAccountView;
  onClose: () => void;
}

/** What goes into the pipeline. */
export function UseServiceAccount({ account, onClose }: UseProps) {
  const tenant = useTenantId();
  const lines = [
    `curl --fail --silent ${window.location.origin}/api/v1/token \\`,
    "  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \\",
    "  --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:jwt \\",
    '  --data-urlencode subject_token="$ID_TOKEN" \\',
    `  --data-urlencode audience=${tenant}/${account.name}`,
  ];
  return (
    <Modal opened onClose={onClose} title={`How to use ${account.name}`} size="lg">
      <Stack>
        <Text size="sm">
          The pipeline asks its host for a token with the audience{" "}
          <Text span ff="monospace" size="sm">
            {account.audience}
          </Text>{" "}
          and exchanges it (RFC 8693). The answer&rsquo;s <code>access_token</code> is a key for{" "}
          {Math.round(account.lifetimeSeconds / 60)} minutes, with the role {account.role}.
        </Text>
        <CopyBlock text={lines.join("\n")} label="the exchange" />
        <Group justify="flex-end">
          <Button onClick={onClose}>Close</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
