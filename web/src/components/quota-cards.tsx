import { Group, Paper, Progress, SimpleGrid, Text } from "@mantine/core";
import type { QuotaUse } from "../api/index.ts";
import { ToneBadge } from "./badges.tsx";

const STATES = {
  ok: undefined,
  warning: { tone: "late", label: "Near the limit", color: "yellow" },
  reached: { tone: "bad", label: "Limit reached", color: "red" },
} as const;

/** What is used of each quota, and what happens at its limit. */
export function QuotaCards({ items }: { items: readonly QuotaUse[] }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }}>
      {items.map((item) => (
        <QuotaCard key={item.quota} item={item} />
      ))}
    </SimpleGrid>
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
