import { Group, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { type Evidence, numbersOf, type RolloutView } from "../../api/index.ts";
import {
  formatFigure,
  formatNumber,
  formatPercent,
  humanize,
  plural,
} from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { LogGauge } from "./log-gauge.tsx";
import { isPaired } from "./paired.ts";

/** The metric whose likelihood ratio decides over widening. */
const PROMOTING_METRIC = "crash";
/** Weighed against the tolerated share of updates instead of the other arm. */
const FAILURE_METRIC = "update-failure";

/** Both arms and what the gate makes of them, metric by metric. */
export function EvidencePanel({ rollout }: { rollout: RolloutView }) {
  const metrics = Object.entries(rollout.evidence);
  const tested = metrics.filter(([, { pauseAt }]) => pauseAt !== null);
  const counted = metrics.filter(([, { pauseAt }]) => pauseAt === null);
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
        <Stack gap="lg">
          {tested.map(([metric, evidence]) => (
            <Metric key={metric} metric={metric} evidence={evidence} rollout={rollout} />
          ))}
          {counted.length > 0 && <Counted metrics={counted} />}
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
  const { policy } = rollout;
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
        {metric === FAILURE_METRIC ? (
          <Failures rollout={rollout} />
        ) : isPaired(metric) ? (
          <Pairs evidence={evidence} />
        ) : (
          <ArmTable evidence={evidence} />
        )}
        <Stack gap="md" justify="center">
          <LogGauge
            label="Evidence that it is worse (E)"
            hint="The e-value of an anytime-valid test. Reaching the limit pauses the rollout; a good release gets there with a probability of α at most, shared over the metrics, however often one looks."
            value={evidence.eValue}
            start={1}
            limit={evidence.pauseAt ?? 1 / policy.alpha}
            limitLabel="pause at"
            tone="bad"
          />
          {metric === PROMOTING_METRIC && (
            <LogGauge
              label={`Likelihood ratio of ${formatFigure(policy.rateRatio)}× worse`}
              hint="How well the counts fit a release that is this much worse, against one that is no worse than the old. Falling to the limit permits the next stage."
              value={evidence.likelihoodRatio}
              start={1}
              limit={policy.promoteLikelihoodRatio}
              limitLabel="widen at"
              tone="ok"
            />
          )}
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
    <Table fz="sm" horizontalSpacing="xs" verticalSpacing={4} withRowBorders={false}>
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
      <Table.Tbody className="figures">
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

function Failures({ rollout }: { rollout: RolloutView }) {
  const { succeeded, failed } = rollout.totals;
  const ended = succeeded + failed;
  return (
    <Text size="sm" px="xs">
      <b>{formatNumber(failed)}</b> of {plural(ended, "update")} failed
      {ended > 0 && ` (${formatPercent(failed / ended)})`}: refused, fell back, went silent or broke
      off. A good release may have {formatPercent(rollout.policy.toleratedFailureShare)}.
    </Text>
  );
}

/** Each an updated device and one that waits, of the same kind, over the same time. */
function Pairs({ evidence }: { evidence: Evidence }) {
  const worse = evidence.treated.events;
  const pairs = worse + evidence.control.events;
  if (pairs === 0) {
    return (
      <Text size="sm" px="xs" c="dimmed">
        No pair of an updated and a waiting device has been compared yet.
      </Text>
    );
  }
  return (
    <Text size="sm" px="xs">
      In <b>{formatNumber(worse)}</b> of {plural(pairs, "pair")} ({formatPercent(worse / pairs)})
      the updated device was the worse one. Where nothing has changed it is half of them.
    </Text>
  );
}

/** Metrics without a test of their own; among the canaries one of them stops at once. */
function Counted({ metrics }: { metrics: [string, Evidence][] }) {
  return (
    <Text size="xs" c="dimmed">
      Counted as well:{" "}
      {metrics
        .map(
          ([metric, { treated, control }]) =>
            `${humanize(metric).toLowerCase()} ${treated.events} on updated devices, ${control.events} on the others`,
        )
        .join("; ")}
      .
    </Text>
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
