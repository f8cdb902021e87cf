import { Group, Text, Tooltip } from "@mantine/core";
import { formatFigure } from "../../components/format.ts";
import { type Tone, toneFill } from "../../theme/tones.ts";

interface LogGaugeProps {
  label: string;
  hint: string;
  value: number | null;
  /** Where the gate acts. */
  limit: number;
  /** The value that says nothing either way, where the gauge begins. */
  start: number;
  tone: Tone;
  limitLabel: string;
}

/**
 * How far a figure has come on its way to the limit, on a logarithmic scale: evidence multiplies.
 */
export function LogGauge({ label, hint, value, limit, start, tone, limitLabel }: LogGaugeProps) {
  const way = Math.log(limit / start);
  const share = value === null ? 0 : Math.log(Math.max(value, 1e-300) / start) / way;
  const percent = Math.min(100, Math.max(0, share * 100));
  const reached = share >= 1;
  return (
    <div>
      <Group justify="space-between" mb={3} wrap="nowrap">
        <Tooltip label={hint} maw={320}>
          <Text size="xs" c="dimmed" style={{ cursor: "help", textDecoration: "underline dotted" }}>
            {label}
          </Text>
        </Tooltip>
        <Text size="xs">
          <Text span inherit fw={700}>
            {value === null ? "–" : formatFigure(value)}
          </Text>
          <Text span inherit c="dimmed">
            {" "}
            / {limitLabel} {formatFigure(limit)}
          </Text>
        </Text>
      </Group>
      {/* biome-ignore lint/a11y/useSemanticElements: <meter> cannot be styled to show its limit */}
      <div
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(percent)}
        aria-valuetext={`${value === null ? "none" : formatFigure(value)}, limit ${formatFigure(limit)}`}
        style={{
          height: 8,
          borderRadius: 4,
          background: "var(--vautn-line)",
          borderInlineEnd: `3px solid ${toneFill(tone)}`,
        }}
      >
        <div
          style={{
            width: `${percent}%`,
            height: "100%",
            borderRadius: 4,
            background: toneFill(tone),
            opacity: reached ? 1 : 0.65,
            transition: "width 400ms ease",
          }}
        />
      </div>
    </div>
  );
}
