import { Box, Button, Group, Menu, Paper, Skeleton, Stack, Switch, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { IconChartLine, IconDownload, IconZoomOut } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useMemo, useState } from "react";
import {
  ApiError,
  devicesQuery,
  type FleetMetric,
  type FleetSeries,
  fleetMetricsQuery,
  fleetSeriesQuery,
  isOfApplication,
  rolloutsQuery,
  type SeriesRequest,
} from "../../api/index.ts";
import { formatDuration } from "../../components/format.ts";
import { EmptyState, ErrorState, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { isSameQuestion, requestBefore, shiftOf, withEarlier } from "./comparison.ts";
import { Controls } from "./controls.tsx";
import { Legend } from "./legend.tsx";
import { LiveTable } from "./live-table.tsx";
import { MarkList } from "./mark-list.tsx";
import { marksOf } from "./marks.ts";
import { type Question, rangeOf, requestOf } from "./question.ts";
import type { Line } from "./series-chart.tsx";

const SeriesChart = lazy(() =>
  import("./series-chart.tsx").then((module) => ({ default: module.SeriesChart })),
);

const HEIGHT = 380;
const PIXELS_PER_POINT = 3;
const DEVICES_FOR_TAGS = 100;

/** One metric of many devices over time. All that was chosen is in the address. */
export function Explore() {
  const metrics = useQuery(fleetMetricsQuery(useTenantId()));
  return (
    <Loaded query={metrics}>
      {({ items }) =>
        items.length === 0 ? (
          <EmptyState icon={IconChartLine} title="No telemetry yet">
            As soon as a device publishes to its telemetry topic, what it measures can be looked at
            here.
          </EmptyState>
        ) : (
          <Asked metrics={items} />
        )
      }
    </Loaded>
  );
}

function Asked({ metrics }: { metrics: readonly FleetMetric[] }) {
  const tenant = useTenantId();
  const question: Question = useSearch({ from: "/signed-in/t/$tenant/telemetry" });
  const navigate = useNavigate({ from: "/t/$tenant/telemetry" });
  const change = (part: Partial<Question>) =>
    void navigate({ search: (held) => ({ ...held, ...part }), replace: true });
  const sorted = useMemo(() => metrics.toSorted(byInterest), [metrics]);
  const metric = question.metric ?? sorted[0]?.metric;
  const { ref, width } = useElementSize();
  // Rounded, so that a window that is being resized does not ask for each pixel anew.
  const points = Math.min(1_000, Math.max(50, Math.round(width / PIXELS_PER_POINT / 50) * 50));
  const rangeMs = rangeOf(question);
  const time = rangeMs === undefined ? { from: question.from, to: question.to } : {};
  const series = useQuery({
    ...fleetSeriesQuery(tenant, { ...requestOf(question, metric ?? "", points), ...time }, rangeMs),
    enabled: width > 0 && metric !== undefined,
  });
  const devices = useQuery(devicesQuery(tenant, { limit: DEVICES_FOR_TAGS }));
  const tags = [...new Set(devices.data?.items.flatMap(({ tags: of }) => Object.keys(of)) ?? [])];
  const [isLive, setLive] = useState(false);
  const queryError =
    series.error instanceof ApiError && series.error.code === "invalid-query"
      ? series.error.message
      : undefined;
  const zoom = (from: number, to: number) => change({ from: String(from), to: String(to) });

  return (
    <Stack>
      <Paper p="md" component="section" aria-label="What to show">
        <Controls {...{ question, metric, metrics: sorted, tags, queryError }} onChange={change} />
      </Paper>
      <Paper p="md" component="section" aria-label={`Chart of ${metric}`}>
        <Group justify="space-between" mb="sm" gap="sm" align="flex-start">
          <Heading metric={metric ?? ""} series={series.data?.answer} />
          <Group gap="xs">
            <Switch
              label="Live values"
              checked={isLive}
              onChange={(event) => setLive(event.currentTarget.checked)}
            />
            {series.data && (
              <>
                <Button
                  variant="default"
                  size="xs"
                  leftSection={<IconZoomOut size={14} aria-hidden />}
                  onClick={() => {
                    const { from, to } = series.data;
                    zoom(from - (to - from) / 2, Math.min(Date.now(), to + (to - from) / 2));
                  }}
                >
                  Zoom out
                </Button>
                <ExportMenu
                  {...{ tenant, metric: metric ?? "", q: question.q }}
                  {...{ from: series.data.from, to: series.data.to }}
                />
              </>
            )}
          </Group>
        </Group>
        <Box ref={ref} mih={HEIGHT} style={{ opacity: series.isPlaceholderData ? 0.6 : 1 }}>
          {queryError && (
            <Text size="sm" c="dimmed" py={120} ta="center">
              Mend the query under Devices, and the chart is drawn.
            </Text>
          )}
          {series.error && !queryError && (
            <ErrorState error={series.error} retry={() => void series.refetch()} />
          )}
          {!series.data && !series.error && <Skeleton height={HEIGHT} radius="sm" />}
          {series.data && width > 0 && !series.error && (
            <Drawn
              key={metric}
              {...series.data}
              {...{ width, tenant, metric: metric ?? "", by: question.by }}
              compare={question.compare}
              isStale={series.isPlaceholderData}
              request={requestOf(question, metric ?? "", points)}
              onZoom={zoom}
            />
          )}
        </Box>
      </Paper>
      {isLive && metric && (
        <LiveTable metric={metric} q={question.q} unit={unitOf(metrics, metric)} />
      )}
    </Stack>
  );
}

interface DrawnProps {
  tenant: string;
  request: SeriesRequest;
  compare: string | undefined;
  /** The answer is that of the question before. */
  isStale: boolean;
  answer: FleetSeries;
  metric: string;
  by: string | undefined;
  from: number;
  to: number;
  width: number;
  onZoom(from: number, to: number): void;
}

function Drawn(props: DrawnProps) {
  const { tenant, answer, metric, by, from, to, width, compare, isStale, request, onZoom } = props;
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [moment, setMoment] = useState<{ at: number; values: (number | null | undefined)[] }>();
  const rollouts = useQuery({ ...rolloutsQuery(tenant), retry: false, refetchInterval: 60_000 });
  const marks = useMemo(() => marksOf(rollouts.data?.items ?? [], from, to), [rollouts, from, to]);
  const shift = shiftOf(compare, { from, to, stepMs: answer.resolution.stepMs });
  const before = requestBefore(request, answer, shift ?? 0, { from, to });
  const asked = fleetSeriesQuery(tenant, before, undefined);
  const earlier = useQuery({
    ...asked,
    queryKey: [...asked.queryKey, { before, compare }],
    enabled: shift !== undefined && answer.series.length > 0 && !isStale,
    // A moment later the question is the same: of another one nothing is drawn until it is answered.
    placeholderData: (held, query) => {
      const of = query?.queryKey.at(-1) as { before: SeriesRequest; compare: string } | undefined;
      return of && of.compare === compare && isSameQuestion(of.before, before) ? held : undefined;
    },
  });
  const own = useMemo(
    () =>
      answer.series.map(({ key, points }): Line => {
        const { stepMs } = answer.resolution;
        const whole = by === "device" ? points : withoutPart(points, stepMs, to);
        return { key: String(key), name: nameOf(key, metric), points: whole };
      }),
    [answer, metric, by, to],
  );
  const lines = useMemo(() => {
    if (shift === undefined || compare === undefined || !earlier.data) return own;
    return withEarlier(own, earlier.data.answer.series, shift, compare);
  }, [own, earlier.data, shift, compare]);
  if (lines.length === 0) {
    return (
      <Text size="sm" c="dimmed" py={120} ta="center">
        {by === "group"
          ? "Nothing was measured in this time by devices that are in a group."
          : "Nothing was measured in this time by these devices."}
      </Text>
    );
  }
  return (
    <>
      <Suspense fallback={<Skeleton height={HEIGHT} radius="sm" />}>
        <SeriesChart
          {...{ lines, hidden, marks, from, to, width, onZoom }}
          unit={answer.unit}
          label={`${metric} over time, ${lines.length} lines`}
          height={HEIGHT}
          onPoint={setMoment}
        />
      </Suspense>
      <Legend lines={lines} unit={answer.unit} moment={moment} hidden={hidden} onHide={setHidden} />
      {shift !== undefined && earlier.data && lines.length === own.length && (
        <Text size="xs" c="dimmed" mt={6}>
          Nothing was measured in the earlier time.
        </Text>
      )}
      {shift !== undefined && earlier.error && (
        <Text size="xs" c="dimmed" mt={6}>
          The earlier time cannot be shown: {earlier.error.message}
        </Text>
      )}
      <MarkList marks={marks} />
    </>
  );
}

/** Devices' newest values are on record after so long. */
const SETTLED_MS = 3_000;
/** What is taken together over longer is hardly moved by what is to come. */
const FINE_STEP_MS = 60_000;

/** Without the newest bucket, as long as only some of the devices have spoken in it. */
function withoutPart(points: Line["points"], stepMs: number, to: number): Line["points"] {
  if (stepMs > FINE_STEP_MS || points.length < 2) return points;
  const settled = Math.min(to, Date.now() - SETTLED_MS);
  return points.filter(([ts], index) => index === 0 || (ts ?? 0) + stepMs <= settled);
}

function nameOf(key: string | null, metric: string): string {
  if (key === null) return "without";
  return key === "" ? metric : key;
}

function Heading({ metric, series }: { metric: string; series: FleetSeries | undefined }) {
  return (
    <Box miw={0}>
      <Text fw={600} style={{ overflowWrap: "anywhere" }}>
        {metric}
        {series?.unit && (
          <Text span inherit c="dimmed" fw={400}>
            {" "}
            in {series.unit}
          </Text>
        )}
      </Text>
      {series?.description && (
        <Text size="sm" c="dimmed">
          {series.description}
        </Text>
      )}
      {series && (
        <Text size="xs" c="dimmed">
          A point is {formatDuration(series.resolution.stepMs)}
          {series.resolution.source === "raw"
            ? ", from the values themselves"
            : `, from rollups by ${SOURCES[series.resolution.source]}`}
          {series.resolution.approximate ? ", approximate" : ""}. Draw over a part to zoom in.
        </Text>
      )}
    </Box>
  );
}

const SOURCES: Record<string, string> = { "1m": "the minute", "1h": "the hour", "1d": "the day" };

interface ExportMenuProps {
  tenant: string;
  metric: string;
  q: string | undefined;
  from: number;
  to: number;
}

/** The values themselves, of the time and devices that are shown. */
function ExportMenu({ tenant, metric, q, from, to }: ExportMenuProps) {
  const href = (format: string) => {
    const search = new URLSearchParams({
      ...{ format, metrics: metric, from: String(from), to: String(to) },
      ...(q ? { q } : {}),
    });
    return `/api/v1/tenants/${encodeURIComponent(tenant)}/telemetry/export?${search}`;
  };
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" size="xs" leftSection={<IconDownload size={14} aria-hidden />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item component="a" href={href("csv")} download={`${metric}.csv`}>
          CSV
        </Menu.Item>
        <Menu.Item component="a" href={href("parquet")} download={`${metric}.parquet`}>
          Parquet
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** What the application measures comes before what is known of every device. */
function byInterest(a: FleetMetric, b: FleetMetric): number {
  const general = ({ metric }: FleetMetric) => Number(!isOfApplication(metric));
  return general(a) - general(b) || a.metric.localeCompare(b.metric);
}

function unitOf(metrics: readonly FleetMetric[], metric: string): string {
  return metrics.find((one) => one.metric === metric)?.unit ?? "";
}
