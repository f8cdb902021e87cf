import { Group, Paper, Progress, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type QuotaUse, usageQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Loaded } from "../../components/states.tsx";
import { useIsPlatformAdministrator, useTenantId } from "../../shell/use-tenant.ts";

const STATES = {
  ok: undefined,
  warning: { tone: "late", label: "Near the limit", color: "yellow" },
  reached: { tone: "bad", label: "Limit reached", color: "red" },
} as const;

/** What is used today of each limit, and what happens there. */
export function Usage() {
  const usage = useQuery(usageQuery(useTenantId()));
  const maySet = useIsPlatformAdministrator();
  return (
    <Stack>
      <Text size="sm" c="dimmed" maw={640}>
        Counted for today (UTC), over all processes, a few seconds late. An alert warns from four
        fifths of a limit on.{" "}
        {maySet
          ? "You set the limits under General."
          : "The platform\u2019s administrators set the limits: ask them for more."}
      </Text>
      <Loaded query={usage}>
        {({ items }) => (
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            {items.map((item) => (
              <QuotaCard key={item.quota} item={item} />
            ))}
          </SimpleGrid>
        )}
      </Loaded>
    </Stack>
  );
}

function QuotaCard({ item }: { item: QuotaUse }) {
  const { title, used, limit, unit, state, refusal, period } = item;
  const marked = STATES[state];
  const part = limit > 0 ? Math.min(100, (100 * used) / limit) : 0;
  return (
    <Paper p="md">
      <Group justify="space-between" mb={6} wrap="nowrap">
        <Text size="sm" fw={550}>
          {title}
        </Text>
        {marked && <ToneBadge tone={marked.tone} label={marked.label} />}
      </Group>
      <Text size="lg" fw={600}>
        {amountText(used, unit)}
        <Text span size="sm" c="dimmed" fw={400}>
          {" "}
          {limit > 0 ? `of ${amountText(limit, unit)}` : "no limit"}
          {period === "peak" && unit !== "devices" && unit !== "bytes" ? ", most today" : ""}
        </Text>
      </Text>
      {limit > 0 && (
        <>
          <Progress
            mt="xs"
            value={part}
            color={marked?.color ?? "fjord"}
            aria-label={`${title}: ${Math.round(part)} percent`}
          />
          <Text size="xs" c="dimmed" mt={6}>
            At the limit {refusal}.
          </Text>
        </>
      )}
    </Paper>
  );
}

const STEPS = ["B", "kB", "MB", "GB", "TB", "PB"];

function amountText(amount: number, unit: string): string {
  if (unit !== "bytes") return amount.toLocaleString("en");
  const step = amount > 0 ? Math.min(STEPS.length - 1, Math.floor(Math.log10(amount) / 3)) : 0;
  const value = amount / 1000 ** step;
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })} ${STEPS[step]}`;
}
