import { Alert, Button, Group, Paper, Select, Stack, Text, Textarea } from "@mantine/core";
import { useForm } from "@mantine/form";
import { IconLock, IconLockOpen } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { api, type Body, figuresQuery } from "../api/index.ts";
import { plural } from "../components/format.ts";
import { QuotaCards } from "../components/quota-cards.tsx";
import { Loaded } from "../components/states.tsx";
import { useAction } from "../components/use-action.ts";
import { useTenantId } from "./use-tenant.ts";

type Role = NonNullable<Body<"breakGlass">["role"]>;

const ROLES: readonly { value: Role; label: string }[] = [
  { value: "viewer", label: "viewer: look, change nothing" },
  { value: "auditor", label: "auditor: look, and read the audit log" },
  { value: "operator", label: "operator: also send commands and pause rollouts" },
  { value: "fleet-engineer", label: "fleet engineer: also roll out and enrol" },
];
const MINUTES = ["15", "60", "240", "480"].map((value) => ({
  value,
  label: Number(value) < 60 ? `${value} minutes` : plural(Number(value) / 60, "hour"),
}));
const MIN_REASON = 10;

/** What an operator of the platform sees in place of a tenant's pages, until there is a reason. */
export function BreakGlass() {
  const tenant = useTenantId();
  const figures = useQuery(figuresQuery(tenant));
  const form = useForm({
    initialValues: { reason: "", role: "viewer", minutes: "60" },
    validate: {
      reason: (reason) => (reason.trim().length >= MIN_REASON ? null : "A sentence, please"),
    },
  });
  const open = useAction({
    run: ({ reason, role, minutes }: typeof form.values) =>
      api.breakGlass(tenant, { reason, role: role as Role, minutes: Number(minutes) }),
    done: (_, { minutes }) => `You are in ${tenant} for ${minutes} minutes`,
    refresh: ["session"],
  });
  return (
    <Stack maw={640} mx="auto" py="xl">
      <Paper p="lg" withBorder>
        <form onSubmit={form.onSubmit((values) => open.mutate(values))}>
          <Stack>
            <Group gap="sm" wrap="nowrap">
              <IconLock size={26} stroke={1.6} aria-hidden />
              <Text component="h1" fw={650} fz="lg" m={0}>
                The data of {tenant} are its own
              </Text>
            </Group>
            <Text c="dimmed">
              As an operator of the platform you see a tenant from inside only for a reason and for
              a while. Its administrators are told at once, and both audit logs keep it.
            </Text>
            <Textarea
              label="Reason"
              placeholder="Ticket 4711: their devices have been offline since noon"
              autosize
              minRows={2}
              maxLength={500}
              {...form.getInputProps("reason")}
            />
            <Select
              label="As"
              data={[...ROLES]}
              allowDeselect={false}
              {...form.getInputProps("role")}
            />
            <Select
              label="For"
              data={MINUTES}
              allowDeselect={false}
              {...form.getInputProps("minutes")}
            />
            <Group justify="flex-end">
              <Button
                type="submit"
                color="ember"
                loading={open.isPending}
                leftSection={<IconLockOpen size={16} aria-hidden />}
              >
                Break the glass
              </Button>
            </Group>
          </Stack>
        </form>
      </Paper>
      <Text component="h2" fw={600} fz="md" mt="md" mb={0}>
        How much it uses today
      </Text>
      <Loaded query={figures}>{({ items }) => <QuotaCards items={items} />}</Loaded>
    </Stack>
  );
}

/** Stands above every page while the glass is broken. */
export function BrokenGlass() {
  const tenant = useTenantId();
  const end = useAction({
    run: (_: null) => api.endBreakGlass(tenant),
    done: () => `You have left ${tenant}`,
    refresh: ["session"],
  });
  return (
    <Alert color="ember" mb="md" icon={<IconLockOpen aria-hidden />} role="status">
      <Group justify="space-between" gap="sm">
        <Text size="sm">
          You are in {tenant} as an operator of the platform. The tenant knows, and what you do is
          recorded.
        </Text>
        <Button
          size="xs"
          variant="default"
          loading={end.isPending}
          onClick={() => end.mutate(null)}
        >
          Leave now
        </Button>
      </Group>
    </Alert>
  );
}
