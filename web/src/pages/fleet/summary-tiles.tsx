import { Group, Paper, SimpleGrid, Skeleton, Text, UnstyledButton } from "@mantine/core";
import {
  IconBellRinging,
  IconCircleCheck,
  IconCircleDashed,
  IconClock,
  IconPlugConnectedX,
  IconRocket,
} from "@tabler/icons-react";
import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { FleetSummary } from "../../api/index.ts";
import { formatNumber, formatPercent } from "../../components/format.ts";
import { ErrorState } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { type Tone, toneFill } from "../../theme/tones.ts";
import { hasTerm } from "./fleet-query.ts";

interface SummaryTilesProps {
  query: string;
  summary: UseQueryResult<FleetSummary>;
  onDrill: (field: string, value: string) => void;
}

interface TileSpec {
  key: keyof FleetSummary;
  label: string;
  icon: typeof IconClock;
  tone: Tone;
}

const PRESENCE_TILES: readonly TileSpec[] = [
  { key: "online", label: "Online", icon: IconCircleCheck, tone: "ok" },
  { key: "late", label: "Late", icon: IconClock, tone: "late" },
  { key: "offline", label: "Offline", icon: IconPlugConnectedX, tone: "bad" },
  { key: "never", label: "Never seen", icon: IconCircleDashed, tone: "idle" },
];
const PLACE_TILES: readonly (TileSpec & { to: string })[] = [
  { key: "openAlerts", label: "Open alerts", icon: IconBellRinging, tone: "bad", to: "alerts" },
  {
    key: "runningRollouts",
    label: "Running rollouts",
    icon: IconRocket,
    tone: "busy",
    to: "rollouts",
  },
];

/** The fleet in six figures; each leads to what it counts. */
export function SummaryTiles({ query, summary, onDrill }: SummaryTilesProps) {
  const tenant = useTenantId();
  const { data, error } = summary;
  if (error && !data) return <ErrorState error={error} retry={() => void summary.refetch()} />;
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} spacing="sm">
      {PRESENCE_TILES.map((tile) => {
        const active = hasTerm(query, "presence", tile.key);
        return (
          <UnstyledButton
            key={tile.key}
            aria-pressed={active}
            onClick={() => onDrill("presence", tile.key)}
          >
            <Tile
              tile={tile}
              active={active}
              value={data?.[tile.key]}
              share={data && data.total > 0 ? data[tile.key] / data.total : undefined}
            />
          </UnstyledButton>
        );
      })}
      {PLACE_TILES.map((tile) => (
        <UnstyledButton key={tile.key} component={Link} to={`/t/${tenant}/${tile.to}`}>
          <Tile tile={tile} value={data?.[tile.key]} />
        </UnstyledButton>
      ))}
    </SimpleGrid>
  );
}

interface TileProps {
  tile: TileSpec;
  value: number | undefined;
  share?: number | undefined;
  active?: boolean;
}

function Tile({ tile, value, share, active = false }: TileProps) {
  const Icon = tile.icon;
  const lively = value !== undefined && value > 0;
  return (
    <Paper
      p="md"
      h="100%"
      className="tile"
      style={
        active ? { borderColor: toneFill("busy"), boxShadow: `0 0 0 1px ${toneFill("busy")}` } : {}
      }
    >
      <Group justify="space-between" wrap="nowrap">
        <Text size="xs" c="dimmed" fw={500} truncate>
          {tile.label}
        </Text>
        <Icon
          size={17}
          stroke={1.8}
          aria-hidden
          color={lively ? toneFill(tile.tone) : "var(--mantine-color-dimmed)"}
        />
      </Group>
      <Group align="baseline" gap={8} mt={4}>
        {value === undefined ? (
          <Skeleton h={28} w={56} />
        ) : (
          <Text fz={26} lh={1.2} fw={650} style={{ letterSpacing: "-0.02em" }}>
            {formatNumber(value)}
          </Text>
        )}
        {share !== undefined && lively && (
          <Text size="xs" c="dimmed">
            {formatPercent(share)}
          </Text>
        )}
      </Group>
    </Paper>
  );
}
