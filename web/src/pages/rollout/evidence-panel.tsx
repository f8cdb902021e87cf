import { Group, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { type Evidence, numbersOf, type RolloutView } from "../../api/index.ts";
import { formatFigure, formatNumber, humanize, plural } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { LogGauge } from "./log-gauge.tsx";

/** Both arms and what the gate makes of them, metric by metric. */
export function EvidencePanel({ rollout }: { rollout: RolloutView }) {
  const metrics = Object.entries(rollout.evidence);
  const excluded = Object.entries(numbersOf(rollout.lastVerdict).excluded ?? {}).filter(
    ([, count]) => count > 0,
  );
  return (
    <Panel
      title="Evidence"
      actions={
        <Text size="xs" c="dimmed">
          updated devices against those not yet updated
        </Text>
      }
    >
      {metrics.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing is weighed yet: the first devices have to run the new image first.
        </Text>
      ) : (
        <Stack gap="xl">
          {metrics.map(([metric, evidence]) => (
            <Metric key={metric} metric={metric} evidence={evidence} rollout={rollout} />
          ))}
        </Stack>
      )}
      {excluded.length > 0 && (
        <Text size="xs" c="dimmed" mt="md">
          Left out of both arms:{" "}
          {excluded.map(([reason, count]) => `${plural(count, "device")} (${reason})`).join(", ")}.
        </Text>
      )}
    </Panel>
  );
}

interface MetricProps {
  metric: string;
  evidence: Evidence;
  rollout: RolloutView;
}

function Metric({ metric, evidence, rollout }: MetricProps) {
  const { policy, lastVerdict } = rollout;
  const pauseAt = numbersOf(lastVerdict).metrics?.[metric]?.pauseAt ?? 1 / policy.alpha;
  return (
    <section>
      <Group justify="space-between" mb={6}>
        <Text fw={600} size="sm">
          {humanize(metric)}
        </Text>
        <Text size="xs" c="dimmed">
          {comparison(evidence)}
        </Text>
      </Group>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="lg" verticalSpacing="md">
        <ArmTable evidence={evidence} />
        <Stack gap="md" justify="center">
          <LogGauge
            label="Evidence that it is worse (E)"
            hint="The e-value of an anytime-valid test. Reaching the limit pauses the rollout; a good release gets there with probability α at most, however often one looks."
            value={evidence.eValue}
            start={1}
            limit={pauseAt}
            limitLabel="pause at"
            tone="bad"
          />
          <LogGauge
            label={`Likelihood that it is ${formatFigure(policy.rateRatio)}× worse`}
            hint="How well the counts fit a release that is this much worse, against one that is as good as the old. Falling to the limit permits the next stage."
            value={evidence.likelihoodRatio}
            start={1}
            limit={policy.promoteLikelihoodRatio}
            limitLabel="widen at"
            tone="ok"
          />
        </Stack>
      </SimpleGrid>
    </section>
  );
}

function ArmTable({ evidence }: { evidence: Evidence }) {
  const arms = [
    { name: "Updated", arm: evidence.treated },
    { name: "Not yet", arm: evidence.control },
  ];
  return (
    <Table fz="sm" horizontalSpacing="xs" verticalSpacing={5} withRowBorders={false}>
      <Table.Thead>
        <Table.Tr c="dimmed" fz="xs">
          <Table.Th fw={500}>Devices</Table.Th>
          <Table.Th fw={500} ta="right">
            Events
          </Table.Th>
          <Table.Th fw={500} ta="right">
            Device-hours
          </Table.Th>
          <Table.Th fw={500} ta="right">
            per 1,000 h
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {arms.map(({ name, arm }) => (
          <Table.Tr key={name}>
            <Table.Td>{name}</Table.Td>
            <Table.Td ta="right" fw={600}>
              {formatNumber(arm.events)}
            </Table.Td>
            <Table.Td ta="right">{formatFigure(arm.deviceHours)}</Table.Td>
            <Table.Td ta="right">{rateOf(arm)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function rateOf({ events, deviceHours }: Evidence["treated"]): string {
  return deviceHours > 0 ? formatFigure((events / deviceHours) * 1000) : "–";
}

function comparison({ treated, control }: Evidence): string {
  if (treated.deviceHours <= 0 || control.deviceHours <= 0 || control.events === 0) return "";
  const ratio = treated.events / treated.deviceHours / (control.events / control.deviceHours);
  return `${formatFigure(ratio)}× the old rate`;
}
