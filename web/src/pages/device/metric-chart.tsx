import "uplot/dist/uPlot.min.css";
import { Box, Group, Paper, Skeleton, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { type LatestMetric, type Series, seriesQuery } from "../../api/index.ts";
import { formatDuration, formatFigure, plural } from "../../components/format.ts";
import { ErrorState } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { BandChart } from "./band-chart.tsx";

const HEIGHT = 190;
/** The server makes one bucket of about this many pixels. */
const PIXELS_PER_POINT = 2;

interface MetricChartProps {
  deviceId: string;
  metric: string;
  rangeMs: number;
  latest: LatestMetric | undefined;
}

/** One metric over time: the mean as a line, the least and the greatest as a band. */
export function MetricChart({ deviceId, metric, rangeMs, latest }: MetricChartProps) {
  const tenant = useTenantId();
  const { ref, width } = useElementSize();
  // Rounded, so that a window that is being resized does not ask for each pixel anew.
  const points = Math.max(50, Math.round(width / PIXELS_PER_POINT / 50) * 50);
  const series = useQuery({
    ...seriesQuery(tenant, deviceId, { metric, rangeMs, points }),
    enabled: width > 0,
  });
  return (
    <Paper p="md" component="section" aria-label={`Chart of ${metric}`}>
      <Group justify="space-between" mb={4}>
        <Text fw={600} size="sm">
          {metric}
          {latest?.unit && (
            <Text span inherit c="dimmed" fw={400} title={latest.description}>
              {" "}
              ({latest.unit})
            </Text>
          )}
        </Text>
        {latest && (
          <Text size="sm" c="dimmed">
            <Text span inherit fw={600} c="var(--mantine-color-text)">
              {formatFigure(latest.value)}
              {latest.unit ? ` ${latest.unit}` : ""}
            </Text>{" "}
            <TimeAgo time={latest.ts} />
          </Text>
        )}
      </Group>
      <Box ref={ref} mih={HEIGHT}>
        {series.error && !series.data && (
          <ErrorState error={series.error} retry={() => void series.refetch()} />
        )}
        {!series.data && !series.error && <Skeleton height={HEIGHT} radius="sm" />}
        {series.data && series.data.points.length === 0 && (
          <Text size="sm" c="dimmed" py={60} ta="center">
            Nothing was measured in this time.
          </Text>
        )}
        {series.data && series.data.points.length > 0 && width > 0 && (
          <BandChart
            {...{ points: series.data.points, from: series.data.from, to: series.data.to }}
            {...{ width, height: HEIGHT, label: metric }}
          />
        )}
      </Box>
      {series.data && (
        <Text size="xs" c="dimmed" ta="right">
          {sourceText(series.data)}
        </Text>
      )}
    </Paper>
  );
}

const SOURCES = {
  "1m": ["the minute", "minutes"],
  "1h": ["the hour", "hours"],
  "1d": ["the day", "days"],
} as const;

/** What the chart was made from, and for how long that is kept. */
function sourceText({ source, stepMs, kept }: Pick<Series, "source" | "stepMs" | "kept">): string {
  const points = `points are kept for ${plural(kept.points, "day")}`;
  if (source === "raw") return `From the values themselves; ${points}`;
  const [name, level] = SOURCES[source];
  const width = stepMs === null ? "" : `A point is ${formatDuration(stepMs)}, from`;
  return `${width} rollups by ${name}, kept for ${plural(kept[level], "day")}; ${points}`;
}
