import { Box, Group, SegmentedControl, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Evidence, numbersOf, type RolloutView, verdictsQuery } from "../../api/index.ts";
import { formatDuration, formatFigure, humanize } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { isPaired } from "./paired.ts";

const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 18;
/** Two looks make a line. */
const FEWEST = 2;

interface Look {
  at: number;
  treated: number | null;
  control: number | null;
  eValue: number;
  pauseAt: number;
}

/** How the evidence came about: both arms' rates, and E on its way to the limit. */
export function EvidenceChart({ rollout }: { rollout: RolloutView }) {
  const tenant = useTenantId();
  const [chosen, setChosen] = useState("crash");
  const { ref, width } = useElementSize();
  const verdicts = useQuery(verdictsQuery(tenant, rollout.id, rollout.lastVerdict?.at ?? ""));
  const metrics = Object.entries(rollout.evidence)
    .filter(([, { pauseAt }]) => pauseAt !== null)
    .map(([metric]) => metric);
  const metric = metrics.includes(chosen) ? chosen : (metrics[0] ?? "crash");
  const looks = (verdicts.data?.items ?? [])
    .flatMap((verdict): Look[] => {
      const numbers = numbersOf(verdict).metrics?.[metric];
      if (!numbers || numbers.eValue === null) return [];
      const { eValue, pauseAt } = numbers;
      const at = Date.parse(verdict.at);
      const [treated, control] = isPaired(metric)
        ? sharesOf(numbers)
        : [rateOf(numbers.treated), rateOf(numbers.control)];
      return [{ at, treated, control, eValue, pauseAt: pauseAt ?? 1 }];
    })
    .sort((left, right) => left.at - right.at);
  if (metrics.length === 0 || looks.length < FEWEST) return null;
  return (
    <Panel title="Evidence over time">
      <SegmentedControl
        size="xs"
        mb="sm"
        value={metric}
        onChange={setChosen}
        data={metrics.map((name) => ({ value: name, label: humanize(name) }))}
        style={{ maxWidth: "100%", overflowX: "auto" }}
      />
      <Box ref={ref}>
        {width > 0 && (
          <Plots
            looks={looks}
            width={width}
            metric={humanize(metric)}
            unit={
              isPaired(metric) ? "share of pairs in which it is worse" : "per 1,000 device-hours"
            }
          />
        )}
      </Box>
    </Panel>
  );
}

interface PlotsProps {
  looks: Look[];
  width: number;
  metric: string;
  unit: string;
}

function Plots({ looks, width, metric, unit }: PlotsProps) {
  const first = (looks[0] as Look).at;
  const last = (looks.at(-1) as Look).at;
  const x = (at: number) => LEFT + ((at - first) / Math.max(1, last - first)) * (width - LEFT - 8);
  const rates = looks.flatMap(({ treated, control }) => [treated ?? 0, control ?? 0]);
  const top = Math.max(...rates) * 1.1 || 1;
  const pauseAt = (looks.at(-1) as Look).pauseAt;
  const logs = looks.map(({ eValue }) => Math.log10(Math.max(eValue, 1e-3)));
  const low = Math.min(-0.3, ...logs);
  const high = Math.max(Math.log10(pauseAt) * 1.15, ...logs);
  const height = (share: number) => 8 + (1 - share) * (HEIGHT - BOTTOM - 8);
  const line = (values: (number | null)[], y: (value: number) => number) =>
    looks
      .map(({ at }, index) => ({ at, value: values[index] ?? null }))
      .filter((point) => point.value !== null)
      .map(({ at, value }) => `${x(at).toFixed(1)},${y(value as number).toFixed(1)}`)
      .join(" ");
  const rateY = (value: number) => height(value / top);
  const logY = (value: number) => height((value - low) / (high - low));
  const span = formatDuration(last - first);
  return (
    <>
      <Legend
        items={[
          ["var(--mantine-primary-color-filled)", "updated"],
          ["var(--mantine-color-dimmed)", "not yet updated"],
        ]}
        text={`${metric}, ${unit}`}
      />
      <Plot width={width} ticks={[0, top]} y={rateY} span={span} label={`${metric} of both arms`}>
        <polyline
          points={line(
            looks.map((look) => look.control),
            rateY,
          )}
          className="chart-control"
        />
        <polyline
          points={line(
            looks.map((look) => look.treated),
            rateY,
          )}
          className="chart-treated"
        />
      </Plot>
      <Legend
        items={[["var(--vautn-bad)", `pauses at ${formatFigure(pauseAt)}`]]}
        text="Evidence that it is worse (E)"
      />
      <Plot
        width={width}
        ticks={[0, Math.log10(pauseAt)]}
        y={logY}
        span={span}
        label="E over time"
        format={(value) => formatFigure(10 ** value)}
      >
        <line
          x1={LEFT}
          x2={width - 8}
          y1={logY(Math.log10(pauseAt))}
          y2={logY(Math.log10(pauseAt))}
          className="chart-limit"
        />
        <polyline points={line(logs, logY)} className="chart-treated" />
      </Plot>
    </>
  );
}

interface PlotProps {
  width: number;
  ticks: number[];
  y: (value: number) => number;
  span: string;
  label: string;
  format?: (value: number) => string;
  children: React.ReactNode;
}

function Plot({ width, ticks, y, span, label, format = formatFigure, children }: PlotProps) {
  return (
    <svg width={width} height={HEIGHT} role="img" aria-label={label} className="chart">
      {ticks.map((tick) => (
        <g key={tick}>
          <line x1={LEFT} x2={width - 8} y1={y(tick)} y2={y(tick)} className="chart-grid" />
          <text x={LEFT - 6} y={y(tick) + 4} textAnchor="end" className="chart-text">
            {format(tick)}
          </text>
        </g>
      ))}
      {children}
      <text x={LEFT} y={HEIGHT - 4} className="chart-text">
        {span} ago
      </text>
      <text x={width - 8} y={HEIGHT - 4} textAnchor="end" className="chart-text">
        last look
      </text>
    </svg>
  );
}

function Legend({ items, text }: { items: [string, string][]; text: string }) {
  return (
    <Group gap="md" justify="space-between" mt="xs">
      <Text size="xs" fw={600}>
        {text}
      </Text>
      <Group gap="sm">
        {items.map(([color, name]) => (
          <Group key={name} gap={6}>
            <span style={{ width: 14, height: 3, borderRadius: 2, background: color }} />
            <Text size="xs" c="dimmed">
              {name}
            </Text>
          </Group>
        ))}
      </Group>
    </Group>
  );
}

/** Of the pairs so far, in how many each side was the worse one. */
function sharesOf({ treated, control }: Pick<Evidence, "treated" | "control">) {
  const pairs = treated.events + control.events;
  return pairs > 0 ? [treated.events / pairs, control.events / pairs] : [null, null];
}

function rateOf({ events, deviceHours }: { events: number; deviceHours: number }): number | null {
  return deviceHours > 0 ? (events / deviceHours) * 1_000 : null;
}
