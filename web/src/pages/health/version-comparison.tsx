import { Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type ComparisonView, firmwareComparisonQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatFigure, formatNumber, humanize } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";

type Kind = ComparisonView["kinds"][number];

const VERDICTS: Record<Kind["verdict"], { tone: Tone; label: string }> = {
  better: { tone: "ok", label: "Better" },
  worse: { tone: "bad", label: "Worse" },
  "no-difference-shown": { tone: "idle", label: "No difference shown" },
  "too-little-to-say": { tone: "idle", label: "Too little to say" },
};

/** The newest version against the one before it, with confidence. */
export function VersionComparison() {
  const tenant = useTenantId();
  const { data } = useQuery(firmwareComparisonQuery(tenant));
  if (!data?.target || !data.source) {
    return (
      <Panel title="This version against the last">
        <Text size="sm" c="dimmed">
          As soon as the fleet has run two versions within a week, they are compared here.
        </Text>
      </Panel>
    );
  }
  const { target, source } = data;
  const columns: Column<Kind>[] = [
    { id: "kind", header: "Events", cell: ({ kind }) => humanize(kind) },
    { id: "target", header: target.version, cell: (row) => <Side rate={row.target} /> },
    { id: "source", header: source.version, cell: (row) => <Side rate={row.source} /> },
    {
      id: "ratio",
      header: "Ratio",
      visibleFrom: "sm",
      cell: ({ ratio, low, high }) =>
        ratio === null
          ? "–"
          : `${formatFigure(ratio)}× (${formatFigure(low)} to ${high === null ? "∞" : formatFigure(high)})`,
    },
    {
      id: "verdict",
      header: "Verdict",
      cell: ({ verdict }) => <ToneBadge {...VERDICTS[verdict]} />,
    },
  ];
  return (
    <Panel title={`${target.version} against ${source.version}`} flush>
      <Stack gap="xs">
        <Group gap="lg" px="md">
          {[target, source].map((life) => (
            <Text key={life.version} size="sm" c="dimmed">
              {life.version}: {formatNumber(life.devices)} devices, {formatFigure(life.deviceHours)}{" "}
              device-hours
            </Text>
          ))}
        </Group>
        <DataTable
          caption="Events in a thousand device-hours, by version"
          columns={columns}
          rows={data.kinds}
          rowId={({ kind }) => kind}
        />
        <Text size="xs" c="dimmed" px="md" pb="md">
          Events in a thousand device-hours of seven days, with 95 % intervals (Byar; the ratio by
          Wilson). An event counts once a device and day.
        </Text>
      </Stack>
    </Panel>
  );
}

function Side({ rate: { events, rate, low, high } }: { rate: Kind["target"] }) {
  return (
    <>
      <Text span size="sm" fw={550}>
        {rate === null ? "–" : formatFigure(rate)}
      </Text>
      <Text span size="xs" c="dimmed">
        {" "}
        {rate !== null && `${formatFigure(low ?? 0)} to ${formatFigure(high ?? 0)} · `}
        {formatNumber(events)}
      </Text>
    </>
  );
}
