import { Box, Group, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import type { FleetMoment } from "../../api/index.ts";
import { BarLegend } from "../../components/stacked-bar.tsx";
import { type Tone, toneFill } from "../../theme/tones.ts";
import { unbroken } from "./unbroken.ts";

const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const HEIGHT = 160;
const LEFT = 40;
const BOTTOM = 18;
const PARTS = [
  { label: "Unknown", field: "unknown", tone: "idle", opacity: 0.5 },
  { label: "Healthy", field: "healthy", tone: "ok", opacity: 0.85 },
  { label: "Degraded", field: "degraded", tone: "late", opacity: 0.9 },
  { label: "Failing", field: "failing", tone: "bad", opacity: 0.95 },
  { label: "Offline", field: "offline", tone: "bad", opacity: 0.45 },
] as const satisfies { label: string; field: keyof Look; tone: Tone; opacity: number }[];

/** With the devices that had not been judged yet. */
type Look = FleetMoment & { unknown: number };

function lookOf(moment: FleetMoment): Look {
  const { total, healthy, degraded, failing, offline } = moment;
  return { ...moment, unknown: Math.max(0, total - healthy - degraded - failing - offline) };
}

/** Devices by health over time, one area on the other. */
export function HistoryChart({ moments }: { moments: readonly FleetMoment[] }) {
  const { ref, width } = useElementSize();
  const looks = moments.map(lookOf);
  const last = looks.at(-1);
  if (!last) {
    return (
      <Text size="sm" c="dimmed">
        The first look is taken within a minute, and one every ten minutes from then on.
      </Text>
    );
  }
  return (
    <Box ref={ref}>
      {width > 0 && <Areas moments={looks} width={width} />}
      <Group mt="xs">
        <BarLegend
          parts={PARTS.map(({ label, field, tone, opacity }) => {
            return { label, value: last[field], tone, opacity };
          })}
        />
      </Group>
    </Box>
  );
}

/** Of a look that stands alone: a point would not be seen. */
const LEAST_WIDTH = 3;

function Areas({ moments, width }: { moments: readonly Look[]; width: number }) {
  const begin = Date.parse(moments[0]?.at ?? "");
  const end = Date.parse(moments.at(-1)?.at ?? "");
  const top = Math.max(1, ...moments.map(({ total }) => total));
  const x = (at: string) => {
    const share = end > begin ? (Date.parse(at) - begin) / (end - begin) : 0;
    return LEFT + share * (width - LEFT);
  };
  const y = (value: number) => 6 + (1 - value / top) * (HEIGHT - BOTTOM - 6);
  const runs = unbroken(moments);
  const areas = runs.flatMap((looks) => {
    const places = looks.map(({ at }) => x(at));
    const [first = LEFT] = places;
    // A single look of all is drawn over the whole width, one between gaps as a narrow band.
    const wide = runs.length === 1 ? width : Math.min(width, first + LEAST_WIDTH);
    const isAlone = looks.length === 1;
    const across = isAlone ? [Math.min(first, wide - LEAST_WIDTH), wide] : places;
    const drawn = isAlone ? [...looks, ...looks] : looks;
    const floors = drawn.map(() => 0);
    return PARTS.map((part) => {
      const lower = [...floors];
      drawn.forEach((look, index) => {
        floors[index] = (floors[index] ?? 0) + look[part.field];
      });
      const point = (value: number, index: number) =>
        `${(across[index] ?? LEFT).toFixed(1)},${y(value).toFixed(1)}`;
      const upper = floors.map(point);
      const back = lower.map(point).reverse();
      const name = `${part.label} ${looks[0]?.at}`;
      return { ...part, name, points: [...upper, ...back].join(" ") };
    });
  });
  const isLong = end - begin > 36 * 3_600_000;
  const clock = (at: number) => (isLong ? DATE : TIME).format(at);
  return (
    <svg width={width} height={HEIGHT} role="img" aria-label="Devices by health over time">
      {[0, 0.5, 1].map((share) => (
        <g key={share}>
          <line
            x1={LEFT}
            x2={width}
            y1={y(share * top)}
            y2={y(share * top)}
            stroke="var(--vautn-line)"
          />
          <text
            x={LEFT - 6}
            y={y(share * top) + 4}
            textAnchor="end"
            fontSize={11}
            fill="var(--mantine-color-dimmed)"
          >
            {Math.round(share * top)}
          </text>
        </g>
      ))}
      {areas.map(({ name, points, tone, opacity }) => (
        <polygon key={name} points={points} fill={toneFill(tone)} fillOpacity={opacity} />
      ))}
      <text x={LEFT} y={HEIGHT - 4} fontSize={11} fill="var(--mantine-color-dimmed)">
        {clock(begin)}
      </text>
      {end > begin && (
        <text
          x={width}
          y={HEIGHT - 4}
          textAnchor="end"
          fontSize={11}
          fill="var(--mantine-color-dimmed)"
        >
          {clock(end)}
        </text>
      )}
    </svg>
  );
}
