import { Box, Group, Paper, SimpleGrid, Stack, Text, Tooltip } from "@mantine/core";
import { IconDatabaseOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type TelemetryUse, telemetryUsageQuery } from "../../api/index.ts";
import { DataTable } from "../../components/data-table.tsx";
import { formatBytes, formatExact, formatNumber } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** What the tenant's telemetry takes on the disk, and of what. */
export function StoragePanel() {
  const usage = useQuery(telemetryUsageQuery(useTenantId()));
  return (
    <Loaded query={usage}>
      {(found) =>
        found.points === 0 ? (
          <EmptyState icon={IconDatabaseOff} title="Nothing is stored">
            What devices measure takes room here as it comes in.
          </EmptyState>
        ) : (
          <Found usage={found} />
        )
      }
    </Loaded>
  );
}

function Found({ usage }: { usage: TelemetryUse }) {
  const tables = usage.tables.filter(({ rows }) => rows > 0);
  const lastDays = usage.days.slice(0, -1).slice(-7);
  const perDay =
    lastDays.length > 0
      ? lastDays.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) / lastDays.length
      : undefined;
  const isSeparate = usage.storageClass === "separate";
  return (
    <Stack>
      <SimpleGrid cols={{ base: 2, md: 4 }}>
        <Figure
          label="On the disk"
          value={formatBytes(usage.sizeBytes)}
          note="points and rollups"
        />
        <Figure
          label="A point"
          value={bytesText(usage.bytesPerPoint)}
          note={`${bytesText(usage.bytesPerPointWithRollups)} with its rollups`}
        />
        <Figure label="Points" value={formatNumber(usage.points)} note="that are kept" />
        <Figure
          label="Growth a day"
          value={perDay === undefined ? "–" : formatBytes(perDay)}
          note="mean of up to seven whole days"
        />
      </SimpleGrid>
      <Text size="sm" c="dimmed" maw={760}>
        {isSeparate
          ? "This tenant's rows lie in partitions of their own: the figures are those of its files."
          : "Tenants share files: bytes are this tenant's part of the rows in them."}{" "}
        Counted at {formatExact(usage.at)}.
      </Text>
      <Panel title="Points by the day in which they were measured">
        {usage.days.length === 0 ? (
          <Text size="sm" c="dimmed">
            The first day appears here with its first rollups.
          </Text>
        ) : (
          <Days days={usage.days} />
        )}
      </Panel>
      <Panel title="By metric" flush>
        <DataTable
          caption="What each metric takes"
          rows={usage.metrics}
          rowId={({ metric }) => metric}
          columns={[
            { id: "metric", header: "Metric", cell: ({ metric }) => metric },
            {
              id: "points",
              header: "Points",
              align: "right",
              visibleFrom: "sm",
              cell: ({ points }) => formatNumber(points),
            },
            {
              id: "bytes",
              header: "Bytes",
              align: "right",
              cell: ({ pointBytes }) => formatBytes(pointBytes),
            },
            {
              id: "each",
              header: "A point",
              align: "right",
              visibleFrom: "sm",
              cell: ({ points, pointBytes }) => bytesText(points > 0 ? pointBytes / points : null),
            },
            {
              id: "rollups",
              header: "Rollups",
              align: "right",
              cell: ({ rollupBytes }) => formatBytes(rollupBytes),
            },
            {
              id: "kept",
              header: "Kept for",
              visibleFrom: "md",
              cell: ({ kept }) =>
                `${kept.points} d; rollups ${kept.minutes}, ${kept.hours}, ${kept.days} d`,
            },
          ]}
        />
      </Panel>
      <Panel title="By table" flush>
        <DataTable
          caption="What each table takes"
          rows={tables}
          rowId={({ table }) => table}
          columns={[
            { id: "table", header: "Table", cell: ({ table }) => TABLES[table] ?? table },
            { id: "rows", header: "Rows", align: "right", cell: ({ rows }) => formatNumber(rows) },
            {
              id: "bytes",
              header: "Bytes",
              align: "right",
              cell: ({ sizeBytes }) => formatBytes(sizeBytes),
            },
            {
              id: "row",
              header: "A row",
              align: "right",
              visibleFrom: "sm",
              cell: ({ bytesPerRow }) => bytesText(bytesPerRow),
            },
            {
              id: "compression",
              header: "Compression",
              align: "right",
              visibleFrom: "sm",
              cell: ({ compression }) => `${compression.toFixed(1)}×`,
            },
          ]}
        />
      </Panel>
    </Stack>
  );
}

const TABLES: Record<string, string> = {
  telemetry: "Points",
  telemetry_wide: "Points of declared metrics",
  telemetry_texts: "Texts",
  telemetry_1m: "Rollups by the minute",
  telemetry_1h: "Rollups by the hour",
  telemetry_1d: "Rollups by the day",
  telemetry_fleet_1m: "Rollups of the fleet by the minute",
  telemetry_fleet_1h: "Rollups of the fleet by the hour",
  telemetry_fleet_1d: "Rollups of the fleet by the day",
  telemetry_latest: "Newest values",
  heartbeats: "Heartbeats",
  device_events: "Events",
  logs: "Log lines",
  spans: "Spans of traces",
};

function bytesText(bytes: number | null): string {
  if (bytes === null) return "–";
  return bytes < 1_000 ? `${bytes.toFixed(bytes < 100 ? 1 : 0)} B` : formatBytes(bytes);
}

function Figure({ label, value, note }: { label: string; value: string; note: string }) {
  return (
    <Paper p="md">
      <Text size="xs" c="dimmed" fw={550}>
        {label}
      </Text>
      <Text fz={24} fw={650} className="figures">
        {value}
      </Text>
      <Text size="xs" c="dimmed">
        {note}
      </Text>
    </Paper>
  );
}

const BAR_HEIGHT = 110;
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

function Days({ days }: { days: TelemetryUse["days"] }) {
  const most = Math.max(1, ...days.map(({ points }) => points));
  return (
    <Group gap={3} align="flex-end" wrap="nowrap" h={BAR_HEIGHT + 20}>
      {days.map(({ day, points, sizeBytes }) => (
        <Tooltip
          key={day}
          label={`${DAY.format(day)}: ${formatNumber(points)} points, about ${formatBytes(sizeBytes)}`}
        >
          <Box flex={1} maw={48} miw={4}>
            <Box
              h={Math.max(2, (points / most) * BAR_HEIGHT)}
              bg="var(--vautn-busy)"
              style={{ borderRadius: "4px 4px 0 0" }}
            />
            <Text
              size="10px"
              c="dimmed"
              ta="center"
              {...(days.length > 7 ? { visibleFrom: "sm" as const } : {})}
              style={{ whiteSpace: "nowrap" }}
            >
              {days.length <= 16 || day === days.at(-1)?.day ? DAY.format(day) : "\u00a0"}
            </Text>
          </Box>
        </Tooltip>
      ))}
    </Group>
  );
}
