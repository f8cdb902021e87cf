import { Button, Group, Paper, Stack, Switch, Text, TextInput } from "@mantine/core";
import { IconWaveSine } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type AnomalyMetric, anomalyMetricsQuery, api } from "../../api/index.ts";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";

/** Stands for every metric without a rule of its own. */
const EVERY = "*";

/** Which metrics the detectors follow, and what people have said of their alerts. */
export function AnomalyList() {
  const tenant = useTenantId();
  const metrics = useQuery(anomalyMetricsQuery(tenant));
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed" maw={760}>
        Each metric is compared with its own past at this hour and with the device's peers. A metric
        that is switched off raises nothing and is not learnt. Saying of an alert that it was not
        useful raises the score from which on the metric speaks; saying that it was lowers it by
        half as much.
      </Text>
      <Loaded query={metrics}>
        {({ items }) => (
          <>
            <EveryMetric items={items} />
            <Paper style={{ overflow: "hidden" }}>
              {items.length === 0 ? (
                <EmptyState icon={IconWaveSine} title="No metric measured yet">
                  As soon as devices publish telemetry, their metrics are listed here.
                </EmptyState>
              ) : (
                <MetricTable items={items.filter(({ metric }) => metric !== EVERY)} />
              )}
            </Paper>
          </>
        )}
      </Loaded>
    </Stack>
  );
}

function useFollow() {
  const tenant = useTenantId();
  return useAction({
    run: ({ metric, enabled }: { metric: string; enabled: boolean }) =>
      api.setAnomalyMetric(tenant, { metric, enabled }),
    done: (_, { metric, enabled }) =>
      `${metric === EVERY ? "Every other metric" : metric} is ${enabled ? "" : "not "}followed`,
    refresh: ["tenant", tenant, "alerts"],
  });
}

function EveryMetric({ items }: { items: AnomalyMetric[] }) {
  const may = useMay();
  const follow = useFollow();
  const [metric, setMetric] = useState("");
  const every = items.find((item) => item.metric === EVERY)?.enabled ?? true;
  return (
    <Group justify="space-between" gap="sm">
      <Switch
        label="Follow metrics without a rule of their own"
        checked={every}
        disabled={!may("operate") || follow.isPending}
        onChange={(event) => follow.mutate({ metric: EVERY, enabled: event.currentTarget.checked })}
      />
      {may("operate") && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            follow.mutate(
              { metric: metric.trim(), enabled: !every },
              { onSuccess: () => setMetric("") },
            );
          }}
        >
          <Group gap="xs">
            <TextInput
              aria-label="Metric"
              placeholder="Another metric's name"
              value={metric}
              maxLength={128}
              onChange={(event) => setMetric(event.currentTarget.value)}
            />
            <Button type="submit" variant="default" disabled={metric.trim() === ""}>
              {every ? "Do not follow" : "Follow"}
            </Button>
          </Group>
        </form>
      )}
    </Group>
  );
}

function MetricTable({ items }: { items: AnomalyMetric[] }) {
  const may = useMay();
  const follow = useFollow();
  return (
    <DataTable
      caption="Metrics that the detectors follow"
      rows={items}
      rowId={({ metric }) => metric}
      columns={[
        {
          id: "metric",
          header: "Metric",
          cell: ({ metric }) => (
            <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }}>
              {metric}
            </Text>
          ),
        },
        {
          id: "threshold",
          header: "Alert from score",
          align: "right",
          visibleFrom: "sm",
          cell: ({ threshold }) => threshold.toFixed(2),
        },
        {
          id: "feedback",
          header: "Useful / not",
          align: "right",
          cell: ({ useful, notUseful }) => `${useful} / ${notUseful}`,
        },
        {
          id: "enabled",
          header: "Followed",
          align: "right",
          cell: ({ metric, enabled }) => (
            <Switch
              aria-label={`Follow ${metric}`}
              style={{ display: "inline-flex" }}
              checked={enabled}
              disabled={!may("operate") || follow.isPending}
              onChange={(event) => follow.mutate({ metric, enabled: event.currentTarget.checked })}
            />
          ),
        },
      ]}
    />
  );
}
