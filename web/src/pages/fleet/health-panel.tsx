import { Group, Stack, Text, Tooltip, UnstyledButton } from "@mantine/core";
import { IconBolt } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { fleetHealthQuery, type HealthRow } from "../../api/index.ts";
import { formatNumber, plural } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { StackedBar } from "../../components/stacked-bar.tsx";
import { ListSkeleton, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { hasTerm } from "./fleet-query.ts";

const SHOWN_FIRST = 6;

interface HealthPanelProps {
  by: "firmware" | "hardware" | "region";
  /** The field of the fleet query that a click narrows. */
  field: string;
  title: string;
  query: string;
  onDrill: (field: string, value: string) => void;
}

/** How the fleet fares, by one of its dimensions; a row narrows the list of devices. */
export function HealthPanel({ by, field, title, query, onDrill }: HealthPanelProps) {
  const tenant = useTenantId();
  // The dimension's own filter stays out, so that the other rows remain there to be chosen.
  const health = useQuery(fleetHealthQuery(tenant, by, ""));
  const [all, setAll] = useState(false);
  return (
    <Panel title={title} actions={<Legend />}>
      <Loaded query={health} skeleton={<ListSkeleton rows={3} />}>
        {({ items }) => {
          const rows = items.toSorted((a, b) => b.total - a.total);
          const largest = Math.max(1, ...rows.map((row) => row.total));
          const shown = all ? rows : rows.slice(0, SHOWN_FIRST);
          return (
            <Stack gap={2} mx={-8}>
              {shown.map((row) => (
                <HealthBar
                  key={row.key}
                  row={row}
                  largest={largest}
                  active={hasTerm(query, field, row.key)}
                  onClick={row.key ? () => onDrill(field, row.key) : undefined}
                />
              ))}
              {rows.length > SHOWN_FIRST && (
                <UnstyledButton
                  className="row-button"
                  fz="xs"
                  c="dimmed"
                  onClick={() => setAll(!all)}
                >
                  {all ? "Show fewer" : `Show ${rows.length - SHOWN_FIRST} more`}
                </UnstyledButton>
              )}
              {rows.length === 0 && (
                <Text size="sm" c="dimmed" px={8}>
                  Nothing to show yet.
                </Text>
              )}
            </Stack>
          );
        }}
      </Loaded>
    </Panel>
  );
}

interface HealthBarProps {
  row: HealthRow;
  largest: number;
  active: boolean;
  onClick: (() => void) | undefined;
}

function HealthBar({ row, largest, active, onClick }: HealthBarProps) {
  const name = row.key || "Not known yet";
  return (
    <UnstyledButton
      className="row-button"
      data-active={active}
      aria-pressed={active}
      aria-label={`${name}: ${plural(row.total, "device")}. Show only these`}
      disabled={!onClick}
      onClick={onClick}
    >
      <Group justify="space-between" wrap="nowrap" gap="xs" mb={4}>
        <Text size="sm" fw={active ? 650 : 500} truncate>
          {name}
        </Text>
        <Group gap={8} wrap="nowrap">
          {row.crashes24h > 0 && (
            <Tooltip label={`${plural(row.crashes24h, "crash").replace(/hs$/, "hes")} in 24 hours`}>
              <Group gap={2} wrap="nowrap" c="var(--vautn-bad-text)">
                <IconBolt size={13} aria-hidden />
                <Text size="xs" fw={600}>
                  {formatNumber(row.crashes24h)}
                </Text>
              </Group>
            </Tooltip>
          )}
          <Text size="xs" c="dimmed">
            {formatNumber(row.total)}
          </Text>
        </Group>
      </Group>
      <StackedBar
        label={name}
        total={largest}
        parts={[
          { label: "Online", value: row.online, tone: "ok" },
          { label: "Late", value: row.late, tone: "late" },
          { label: "Offline", value: row.offline, tone: "bad" },
          { label: "Never seen", value: row.never, tone: "idle" },
        ]}
      />
    </UnstyledButton>
  );
}

function Legend() {
  return (
    <Text size="xs" c="dimmed">
      click to filter
    </Text>
  );
}
