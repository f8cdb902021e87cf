import { Table, Text } from "@mantine/core";
import { numbersOf, type RolloutView } from "../../api/index.ts";
import { formatDuration, formatFigure, formatPercent } from "../../components/format.ts";
import { Fact, Panel } from "../../components/page.tsx";

const BREACH = { pause: "pause", rollback: "roll back", "rollback-stage": "roll back the stage" };

/** The rules of this rollout: the gate's settings and the plain limits beside it. */
export function ThresholdTable({ rollout }: { rollout: RolloutView }) {
  const { policy } = rollout;
  const observed = new Map(
    numbersOf(rollout.lastVerdict).observations?.map((entry) => [entry.metric, entry.value]),
  );
  return (
    <Panel title="Rules">
      <Fact label="Chance of a false pause">{formatPercent(policy.alpha)} at most</Fact>
      <Fact label="A stage lasts at least">{formatDuration(policy.minSoakSeconds * 1000)}</Fact>
      <Fact label="Widens without proof after">
        {policy.maxSoakSeconds === null ? "never" : formatDuration(policy.maxSoakSeconds * 1000)}
      </Fact>
      <Fact label="Crashes of canaries that pause">{policy.canaryCrashLimit}</Fact>
      <Fact label="Kept back as control">{policy.holdbackPercent} %</Fact>
      <Fact label="When it is bad">
        {policy.rollbackAutomatically ? "roll back" : BREACH[policy.onBreach]}
      </Fact>
      {policy.thresholds.length > 0 && (
        <Table fz="sm" mt="xs" horizontalSpacing={0}>
          <Table.Thead>
            <Table.Tr c="dimmed" fz="xs">
              <Table.Th fw={500}>Limit on</Table.Th>
              <Table.Th fw={500} ta="right">
                Now
              </Table.Th>
              <Table.Th fw={500} ta="right" pl="sm" style={{ whiteSpace: "nowrap" }}>
                At most
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {policy.thresholds.map((threshold) => {
              const name = figureOf(threshold);
              const { growsBy } = threshold;
              const limit = growsBy ?? threshold.above ?? 0;
              const value = observed.get(name);
              const broken = value !== undefined && value > limit;
              const text = growsBy === undefined ? formatFigure : formatPercent;
              return (
                <Table.Tr key={name}>
                  <Table.Td className="mono" style={{ overflowWrap: "anywhere" }}>
                    {name}
                  </Table.Td>
                  <Table.Td ta="right">
                    <Text span inherit fw={600} c={broken ? "var(--vautn-bad-text)" : undefined}>
                      {value === undefined ? "–" : text(value)}
                    </Text>
                  </Table.Td>
                  <Table.Td ta="right" pl="sm" style={{ whiteSpace: "nowrap" }}>
                    {text(limit)}
                  </Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      )}
    </Panel>
  );
}

/** As the gate names the figure that a limit is held against. */
function figureOf({ metric, aggregate, growsBy }: RolloutView["policy"]["thresholds"][number]) {
  const figure = aggregate && aggregate !== "mean" ? `${aggregate} of ${metric}` : metric;
  return growsBy === undefined ? figure : `growth of ${figure}`;
}
