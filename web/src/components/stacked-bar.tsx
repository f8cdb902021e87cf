import { Box, Group, Text, Tooltip } from "@mantine/core";
import { type Tone, toneFill } from "../theme/tones.ts";
import { formatNumber } from "./format.ts";

export interface BarPart {
  label: string;
  value: number;
  tone: Tone;
  /** For parts of the same tone next to each other. */
  opacity?: number;
}

interface StackedBarProps {
  parts: readonly BarPart[];
  /** What the whole is called, for screen readers. */
  label: string;
  /** The length that a full bar stands for; the sum of the parts by default. */
  total?: number;
  height?: number;
}

/** Shares of a whole in a line. */
export function StackedBar({ parts, label, total, height = 9 }: StackedBarProps) {
  const sum = parts.reduce((so, part) => so + part.value, 0);
  const rest = Math.max(0, (total ?? sum) - sum);
  const shown = parts.filter((part) => part.value > 0);
  const spoken = shown.map((part) => `${part.label} ${part.value}`).join(", ");
  return (
    <div className="bar" role="img" aria-label={`${label}: ${spoken || "none"}`} style={{ height }}>
      {shown.map((part) => (
        <Tooltip key={part.label} label={`${part.label}: ${formatNumber(part.value)}`}>
          <div
            style={{
              flexGrow: part.value,
              background: toneFill(part.tone),
              opacity: part.opacity ?? 1,
            }}
          />
        </Tooltip>
      ))}
      {rest > 0 && (
        <div
          style={{
            flexGrow: rest,
            background: total === undefined ? "none" : "var(--vautn-line)",
          }}
        />
      )}
    </div>
  );
}

/** The words to the colours of a stacked bar. */
export function BarLegend({ parts }: { parts: readonly BarPart[] }) {
  return (
    <Group gap="4px 16px">
      {parts.map((part) => (
        <Group key={part.label} gap={6} wrap="nowrap">
          <Box
            w={9}
            h={9}
            style={{
              borderRadius: 3,
              background: toneFill(part.tone),
              opacity: part.opacity ?? 1,
            }}
          />
          <Text size="xs" c="dimmed">
            {part.label}
          </Text>
          <Text size="xs" fw={600}>
            {formatNumber(part.value)}
          </Text>
        </Group>
      ))}
    </Group>
  );
}
