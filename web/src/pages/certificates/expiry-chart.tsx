import { Box, Group, Text, Tooltip, UnstyledButton } from "@mantine/core";
import type { Radar } from "../../api/index.ts";
import { formatNumber } from "../../components/format.ts";
import { type Tone, toneFill } from "../../theme/tones.ts";

interface ExpiryChartProps {
  picture: Radar;
  /** A bar was picked: the certificates that end from `after` until `before`. */
  onWeek: (after: string | undefined, before: string | undefined) => void;
}

interface Bar {
  label: string;
  /** What stands below the axis; empty for most. */
  mark: string;
  /** Left out where there is little room. */
  isMinor: boolean;
  count: number;
  tone: Tone;
  after: string | undefined;
  before: string | undefined;
}

const HEIGHT = 170;
const SOON_WEEKS = 4;
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** How many certificates end in each week from now on; what has ended stands before, the rest after. */
export function ExpiryChart({ picture, onWeek }: ExpiryChartProps) {
  const bars = barsOf(picture);
  const highest = Math.max(1, ...bars.map((bar) => bar.count));
  const shown = bars.reduce((sum, bar) => sum + bar.count, 0);
  return (
    <Box role="group" aria-label={`When ${shown} certificates end, by week`}>
      <Group gap={3} wrap="nowrap" align="flex-end" h={HEIGHT}>
        {bars.map((bar) => (
          <Tooltip key={bar.label} label={`${bar.label}: ${formatNumber(bar.count)}`}>
            <UnstyledButton
              aria-label={`${bar.label}: ${bar.count} certificates`}
              disabled={bar.count === 0}
              onClick={() => onWeek(bar.after, bar.before)}
              h="100%"
              miw={4}
              style={{
                flex: 1,
                display: "flex",
                flexDirection: "column",
                justifyContent: "flex-end",
              }}
            >
              {bar.count > 0 && (
                <Text fz={10} c="dimmed" ta="center" visibleFrom="sm" component="div">
                  {formatNumber(bar.count)}
                </Text>
              )}
              <Box
                style={{
                  height: bar.count === 0 ? 2 : Math.max(4, (bar.count / highest) * (HEIGHT - 24)),
                  background: bar.count === 0 ? "var(--vautn-line)" : toneFill(bar.tone),
                  borderRadius: "3px 3px 0 0",
                }}
              />
            </UnstyledButton>
          </Tooltip>
        ))}
      </Group>
      <Group gap={3} wrap="nowrap" mt={6} aria-hidden>
        {bars.map((bar) => (
          <Box key={bar.label} style={{ flex: 1, minWidth: 4, position: "relative", height: 14 }}>
            <Text
              fz={10}
              c="dimmed"
              visibleFrom={bar.isMinor ? "sm" : undefined}
              style={{ position: "absolute", whiteSpace: "nowrap", [sideOf(bar)]: 0 }}
            >
              {bar.mark}
            </Text>
          </Box>
        ))}
      </Group>
    </Box>
  );
}

function sideOf(bar: Bar): "left" | "right" {
  return bar.before === undefined ? "right" : "left";
}

/** One date in four weeks, none so near to the ends that their words would touch. */
function isMarked(index: number, count: number): boolean {
  return index % 4 === 3 && index < count - 3;
}

function barsOf({ weeks, expired, later, generatedAt }: Radar): Bar[] {
  const end = weeks.at(-1)?.startsAt;
  const horizon = end ? new Date(Date.parse(end) + 7 * 86_400_000).toISOString() : undefined;
  return [
    {
      ...{
        label: "Have ended",
        mark: "ended",
        isMinor: false,
        count: expired,
        tone: "bad" as const,
      },
      ...{ after: undefined, before: generatedAt },
    },
    ...weeks.map((week, index) => ({
      label: `Week from ${DAY.format(new Date(week.startsAt))}`,
      mark: isMarked(index, weeks.length) ? DAY.format(new Date(week.startsAt)) : "",
      isMinor: index % 8 !== 3,
      count: week.count,
      tone: index < SOON_WEEKS ? ("late" as const) : ("busy" as const),
      after: week.startsAt,
      before: weeks[index + 1]?.startsAt ?? horizon,
    })),
    {
      ...{ label: "Later", mark: "later", isMinor: false, count: later, tone: "ok" as const },
      ...{ after: horizon, before: undefined },
    },
  ];
}
