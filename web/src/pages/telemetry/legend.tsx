import {
  Box,
  Group,
  ScrollArea,
  Text,
  UnstyledButton,
  useComputedColorScheme,
} from "@mantine/core";
import { formatExact, formatFigure } from "../../components/format.ts";
import { lineSample } from "./palette.ts";
import type { Line } from "./series-chart.tsx";

interface LegendProps {
  lines: readonly Line[];
  unit: string;
  /** What is under the pointer; else the last values are shown. */
  moment: { at: number; values: (number | null | undefined)[] } | undefined;
  hidden: ReadonlySet<string>;
  onHide(hidden: ReadonlySet<string>): void;
}

/** Names and values of the lines; a click hides one. */
export function Legend({ lines, unit, moment, hidden, onHide }: LegendProps) {
  const isDark = useComputedColorScheme() === "dark";
  const toggle = (key: string) => {
    const next = new Set(hidden);
    if (!next.delete(key)) next.add(key);
    onHide(next);
  };
  return (
    <Box mt="xs">
      <Text size="xs" c="dimmed" mb={4} className="figures">
        {moment ? formatExact(moment.at) : "Last values"}
      </Text>
      <ScrollArea.Autosize mah={180} type="auto">
        <Group gap={6}>
          {lines.map(({ key, name, points, color, isEarlier }, index) => {
            const value = moment ? moment.values[index] : lastOf(points);
            const isHidden = hidden.has(key);
            return (
              <UnstyledButton
                key={key}
                onClick={() => toggle(key)}
                aria-pressed={!isHidden}
                title={isHidden ? `Show ${name}` : `Hide ${name}`}
                px={8}
                py={3}
                style={{
                  borderRadius: 6,
                  border: "1px solid var(--vautn-line)",
                  opacity: isHidden ? 0.45 : 1,
                }}
              >
                <Group gap={6} wrap="nowrap">
                  <Box
                    w={14}
                    h={3}
                    style={{
                      borderRadius: 2,
                      background: lineSample(color ?? index, isDark, isEarlier),
                      flexShrink: 0,
                    }}
                  />
                  <Text size="xs" td={isHidden ? "line-through" : undefined}>
                    {name}
                  </Text>
                  <Text size="xs" fw={600} className="figures">
                    {value == null ? "–" : `${formatFigure(value)}${unit ? ` ${unit}` : ""}`}
                  </Text>
                </Group>
              </UnstyledButton>
            );
          })}
        </Group>
      </ScrollArea.Autosize>
    </Box>
  );
}

function lastOf(points: Line["points"]): number | null | undefined {
  return points.findLast(([, value]) => value != null)?.[1];
}
