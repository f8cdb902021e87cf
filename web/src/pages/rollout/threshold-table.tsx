import { Table, Text } from "@mantine/core";
import { numbersOf, type RolloutView } from "../../api/index.ts";
import { formatDuration, formatFigure, formatPercent } from "../../components/format.ts";
import { Fact, Panel } from "../../components/page.tsx";

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
        {policy.onBreach === "rollback" || policy.rollbackAutomatically ? "roll back" : "pause"}
      </Fact>
      {policy.thresholds.length > 0 && (
        <Table fz="sm" mt="xs" horizontalSpacing={0}>
          <Table.Thead>
            <Table.Tr c="dimmed" fz="xs">
              <Table.Th fw={500}>Limit on</Table.Th>
              <Table.Th fw={500} ta="right">
                Now
              </Table.Th>
              <Table.Th fw={500} ta="right">
                At most
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {policy.thresholds.map(({ metric, above }) => {
              const value = observed.get(metric);
              const broken = value !== undefined && value > above;
              return (
                <Table.Tr key={metric}>
                  <Table.Td className="mono">{metric}</Table.Td>
                  <Table.Td ta="right">
                    <Text span inherit fw={600} c={broken ? "var(--vautn-bad)" : undefined}>
                      {value === undefined ? "–" : formatFigure(value)}
                    </Text>
                  </Table.Td>
                  <Table.Td ta="right">{formatFigure(above)}</Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      )}
    </Panel>
  );
}
