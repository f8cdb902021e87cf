import { Group, SegmentedControl, Select, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type FleetMoment, fleetHistoryQuery } from "../../api/index.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { HistoryChart } from "./history-chart.tsx";

const WHOLE = "";
const MOST_PARTS = 12;
const SPANS = [
  { value: "1", label: "Day" },
  { value: "7", label: "Week" },
  { value: "30", label: "Month" },
];
const DIMENSIONS = [
  { value: WHOLE, label: "The whole fleet" },
  { value: "firmware", label: "By firmware" },
  { value: "hardware", label: "By hardware" },
  { value: "product", label: "By product" },
  { value: "region", label: "By region" },
  { value: "group", label: "By group" },
];

/** Health over time, of all devices or of each part of the fleet beside the others. */
export function HistoryPanel() {
  const [by, setBy] = useState(WHOLE);
  const [days, setDays] = useState("1");
  const input = { ...(by === WHOLE ? {} : { by }), days: Number(days) };
  const history = useQuery(fleetHistoryQuery(useTenantId(), input));
  return (
    <Panel
      title="Over time"
      actions={
        <Group gap="xs">
          <Select
            aria-label="Divide by"
            size="xs"
            w={150}
            data={DIMENSIONS}
            value={by}
            allowDeselect={false}
            onChange={(chosen) => setBy(chosen ?? WHOLE)}
          />
          <SegmentedControl
            aria-label="Time"
            size="xs"
            data={SPANS}
            value={days}
            onChange={setDays}
          />
        </Group>
      }
    >
      <Loaded query={history}>
        {({ items }) =>
          by === WHOLE || items.length === 0 ? (
            <HistoryChart moments={items} />
          ) : (
            <Parts moments={items} />
          )
        }
      </Loaded>
    </Panel>
  );
}

/** The largest parts of now, each on an axis of its own. */
function Parts({ moments }: { moments: readonly FleetMoment[] }) {
  const byKey = new Map<string, FleetMoment[]>();
  for (const moment of moments) {
    byKey.set(moment.key, [...(byKey.get(moment.key) ?? []), moment]);
  }
  const size = ([, own]: [string, FleetMoment[]]) => own.at(-1)?.total ?? 0;
  const parts = [...byKey].toSorted((a, b) => size(b) - size(a));
  return (
    <Stack gap="xs">
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        {parts.slice(0, MOST_PARTS).map(([key, own]) => (
          <div key={key}>
            <Text size="sm" fw={600} mb={4}>
              {key || "(none)"}
            </Text>
            <HistoryChart moments={own} />
          </div>
        ))}
      </SimpleGrid>
      {parts.length > MOST_PARTS && (
        <Text size="xs" c="dimmed">
          The {MOST_PARTS} largest of {parts.length} parts.
        </Text>
      )}
    </Stack>
  );
}
