import { Button, Group, Paper, Skeleton, Stack, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { type AlertView, anomalySeriesQuery, api } from "../../api/index.ts";
import { formatFigure } from "../../components/format.ts";
import { useAction } from "../../components/use-action.ts";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";

const BandChart = lazy(() =>
  import("../device/band-chart.tsx").then(({ BandChart }) => ({ default: BandChart })),
);

const HEIGHT = 180;
const MOST_LINKS = 8;

/** What the detectors or a rule found in a metric, as far as the alert says it. */
export interface Finding {
  metric: string;
  ts: number;
  value: number | undefined;
  /** What would have been usual at this hour. */
  usual: number | undefined;
  /** What a rule holds the metric against. */
  threshold: number | undefined;
  median: number | undefined;
  peers: number | undefined;
  score: number | undefined;
  /** The device that is unusual, or the first of several. */
  deviceId: string | undefined;
  devices: string[];
  /** Other figures of the same device that became unusual with it. */
  also: string[];
}

/** Undefined for an alert of another origin. */
export function findingOf(alert: AlertView): Finding | undefined {
  if (alert.kind === "rule") return ruleFindingOf(alert);
  const { kind, details, subjectKind, subjectId } = alert;
  const { metric, ts } = details;
  const isFinding = kind === "anomaly" || kind === "fleet-anomaly";
  if (!isFinding || typeof metric !== "string" || typeof ts !== "number") return undefined;
  const devices = Array.isArray(details.devices) ? details.devices.map(String) : [];
  const numberOf = (name: string) => {
    const value = details[name];
    return typeof value === "number" ? value : undefined;
  };
  const also = Array.isArray(details.also) ? (details.also as { metric?: unknown }[]) : [];
  const finding: Finding = {
    ...{ metric, ts, devices, threshold: undefined },
    also: also.map((one) => String(one.metric)),
    value: numberOf("value"),
    usual: numberOf("usual"),
    median: numberOf("median"),
    peers: numberOf("peers") ?? numberOf("devices"),
    score: numberOf("score"),
    deviceId: subjectKind === "device" ? subjectId : devices[0],
  };
  return finding;
}

/** Of a rule on one device's metric: the figure that was found, and what it is held against. */
function ruleFindingOf({ details, subjectKind, subjectId, openedAt }: AlertView) {
  const { source, condition, value } = details as {
    source?: { kind?: unknown; metric?: unknown };
    condition?: { threshold?: unknown };
    value?: unknown;
  };
  const { metric } = source ?? {};
  if (source?.kind !== "metric" || typeof metric !== "string") return undefined;
  if (subjectKind !== "device") return undefined;
  const numberOf = (given: unknown) => (typeof given === "number" ? given : undefined);
  const finding: Finding = {
    ...{ metric, ts: Date.parse(openedAt), devices: [], also: [], deviceId: subjectId },
    ...{ value: numberOf(value), threshold: numberOf(condition?.threshold) },
    ...{ usual: undefined, median: undefined, peers: undefined, score: undefined },
  };
  return finding;
}

/** The values around a finding, what would have been usual, and whether it was worth telling. */
export function AnomalyFinding({ alert, finding }: { alert: AlertView; finding: Finding }) {
  return (
    <Stack gap="xs">
      <FindingChart finding={finding} />
      <Group gap="lg">
        {figuresOf(finding).map(([label, figure]) => (
          <div key={label}>
            <Text size="xs" c="dimmed">
              {label}
            </Text>
            <Text size="sm" fw={600}>
              {figure}
            </Text>
          </div>
        ))}
      </Group>
      {finding.also.length > 0 && <Text size="sm">Unusual with it: {finding.also.join(", ")}</Text>}
      {finding.devices.length > 0 && (
        <Group gap="xs">
          {finding.devices.slice(0, MOST_LINKS).map((device) => (
            <DeviceLink key={device} deviceId={device} />
          ))}
          {finding.devices.length > MOST_LINKS && (
            <Text size="sm" c="dimmed">
              and {finding.devices.length - MOST_LINKS} more
            </Text>
          )}
        </Group>
      )}
      {finding.threshold === undefined && <Feedback alert={alert} metric={finding.metric} />}
    </Stack>
  );
}

function figuresOf({ value, usual, threshold, median, peers, score }: Finding): [string, string][] {
  const figures: [string, number | undefined][] = [
    ["Found", value ?? median],
    ["Usual at this hour", usual],
    ["Threshold", threshold],
    ["Its peers", value === undefined ? undefined : median],
    ["Devices compared", peers],
    ["Score", score],
  ];
  return figures.flatMap(([label, figure]) =>
    figure === undefined ? [] : [[label, formatFigure(figure)] as [string, string]],
  );
}

function FindingChart({ finding }: { finding: Finding }) {
  const tenant = useTenantId();
  const { ref, width } = useElementSize();
  const series = useQuery(anomalySeriesQuery(tenant, finding));
  const what = finding.deviceId ? `${finding.metric} of ${finding.deviceId}` : finding.metric;
  return (
    <Paper withBorder p="sm" component="section" aria-label={`Chart of ${what}`}>
      <Text size="sm" fw={600} mb={4}>
        {finding.deviceId ? what : `${what}, the median of the fleet`}
      </Text>
      <div ref={ref} style={{ minHeight: HEIGHT }}>
        {series.isPending && <Skeleton height={HEIGHT} radius="sm" />}
        {series.error && (
          <Text size="sm" c="dimmed">
            The values cannot be read now: {series.error.message}
          </Text>
        )}
        {series.data?.points.length === 0 && (
          <Text size="sm" c="dimmed" py={60} ta="center">
            These values are no longer kept.
          </Text>
        )}
        {series.data && series.data.points.length > 0 && width > 0 && (
          <Suspense fallback={<Skeleton height={HEIGHT} radius="sm" />}>
            <BandChart
              {...series.data}
              width={width}
              height={HEIGHT}
              label={finding.metric}
              mark={{ ts: finding.ts, usual: finding.usual ?? finding.threshold }}
            />
          </Suspense>
        )}
      </div>
      <Text size="xs" c="dimmed">
        The upright line is the finding{dashedOf(finding)}.
      </Text>
    </Paper>
  );
}

function dashedOf({ usual, threshold }: Finding): string {
  if (usual !== undefined) return ", the dashed one the usual";
  return threshold === undefined ? "" : ", the dashed one the threshold";
}

function Feedback({ alert, metric }: { alert: AlertView; metric: string }) {
  const tenant = useTenantId();
  const may = useMay();
  const [given, setGiven] = useState<boolean>();
  const give = useAction({
    run: (useful: boolean) => api.giveFeedback(tenant, alert.id, useful),
    done: ({ threshold }) => `Noted: alerts on ${metric} begin at a score of ${threshold}`,
    refresh: ["tenant", tenant, "alerts"],
    onDone: (_, useful) => setGiven(useful),
  });
  if (!may("operate")) return null;
  return (
    <Group gap="xs">
      <Text size="sm">Was this worth telling?</Text>
      {([true, false] as const).map((useful) => (
        <Button
          key={String(useful)}
          size="compact-sm"
          variant={given === useful ? "filled" : "default"}
          aria-pressed={given === useful}
          loading={give.isPending && give.variables === useful}
          onClick={() => give.mutate(useful)}
        >
          {useful ? "Useful" : "Not useful"}
        </Button>
      ))}
    </Group>
  );
}
