import { Group, MultiSelect, SegmentedControl, Stack, Text } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { type DeviceView, isOfApplication, metricsQuery } from "../../api/index.ts";
import { EmptyState, ListSkeleton, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { TextsPanel } from "./texts-panel.tsx";

const MetricChart = lazy(() =>
  import("./metric-chart.tsx").then(({ MetricChart }) => ({ default: MetricChart })),
);

const HOUR = 3_600_000;
const RANGES = [
  { label: "15 min", value: String(HOUR / 4) },
  { label: "1 h", value: String(HOUR) },
  { label: "6 h", value: String(6 * HOUR) },
  { label: "24 h", value: String(24 * HOUR) },
  { label: "7 d", value: String(7 * 24 * HOUR) },
  { label: "30 d", value: String(30 * 24 * HOUR) },
];
const CHARTS_AT_FIRST = 4;
const CHARTS_AT_MOST = 12;

/** What the application measures comes before what is known of every device. */
function byInterest(a: string, b: string): number {
  const general = (name: string) => Number(!isOfApplication(name));
  return general(a) - general(b) || a.localeCompare(b);
}

/** A device that has just come would draw a short stroke at the edge of a long axis. */
function firstRange({ createdAt }: DeviceView): string {
  return String(Date.now() - Date.parse(createdAt) < HOUR ? HOUR / 4 : HOUR);
}

/** Charts of what the device measures, on one time axis. */
export function TelemetryPanel({ device }: { device: DeviceView }) {
  const deviceId = device.id;
  const tenant = useTenantId();
  const metrics = useQuery(metricsQuery(tenant, deviceId));
  const [picked, setPicked] = useState<string[]>();
  const [range, setRange] = useState(() => firstRange(device));

  return (
    <Loaded query={metrics}>
      {({ items }) => {
        const names = items.map((item) => item.metric).toSorted(byInterest);
        const shown = picked ?? names.slice(0, CHARTS_AT_FIRST);
        if (names.length === 0) {
          return (
            <Stack>
              <TextsPanel deviceId={deviceId} />
              <EmptyState icon={IconChartLine} title="No telemetry yet">
                As soon as the device publishes to its telemetry topic, its metrics can be chosen
                here.
              </EmptyState>
            </Stack>
          );
        }
        return (
          <Stack>
            <Group align="flex-end" justify="space-between">
              <MultiSelect
                label="Metrics"
                data={names}
                value={shown}
                onChange={setPicked}
                maxValues={CHARTS_AT_MOST}
                searchable
                clearable
                maw={640}
                miw={260}
                flex={1}
              />
              <SegmentedControl
                aria-label="Time range"
                data={RANGES}
                value={range}
                onChange={setRange}
              />
            </Group>
            {shown.length === 0 && (
              <Text size="sm" c="dimmed">
                Choose a metric to see its chart.
              </Text>
            )}
            <Suspense fallback={<ListSkeleton rows={4} />}>
              {shown.map((metric) => (
                <MetricChart
                  key={metric}
                  deviceId={deviceId}
                  metric={metric}
                  rangeMs={Number(range)}
                  latest={items.find((item) => item.metric === metric)}
                />
              ))}
            </Suspense>
            <TextsPanel deviceId={deviceId} />
          </Stack>
        );
      }}
    </Loaded>
  );
}
