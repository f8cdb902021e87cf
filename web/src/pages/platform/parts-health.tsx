import { Group, Paper, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { readinessQuery } from "../../api/platform.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Loaded } from "../../components/states.tsx";
import type { Tone } from "../../theme/tones.ts";

const TONES: Record<"up" | "degraded" | "down", Tone> = { up: "ok", degraded: "late", down: "bad" };

/** What each part is, and what to look at first where it is not well. */
const PARTS: Record<string, { label: string; next: string }> = {
  postgresql: {
    label: "PostgreSQL",
    next: "See the log of the platform, or whether DATABASE_URL reaches your server.",
  },
  clickhouse: {
    label: "Time-series store",
    next: "See the log of the platform, or whether CLICKHOUSE_URL reaches your server. Devices keep what they measure.",
  },
  blobs: {
    label: "Images",
    next: "Put the folder back from a backup, with its owner and rights, or see whether BLOB_URL answers.",
  },
  disk: {
    label: "Room on the disk",
    next: "Make room in the data folder, or shorten what is kept.",
  },
  writes: {
    label: "Writes to the disk",
    next: "Nothing that was acknowledged is at risk. See what else writes to this disk, whether it fails (smartctl), or what your cloud allows it (IOPS).",
  },
  journal: {
    label: "Ingest journal",
    next: "The time-series store does not keep up: look at it first.",
  },
  bus: {
    label: "Bus between machines",
    next: "See whether the NATS server runs, and lets NATS_URL's user subscribe and publish. Nothing is lost meanwhile: machines hear of each other late.",
  },
};

/** How the parts stand that the platform depends on, in words. */
export function PartsHealth() {
  const readiness = useQuery(readinessQuery);
  return (
    <Stack>
      <Text size="sm" c="dimmed" maw={640}>
        Looked at anew every ten seconds. <code>vautn doctor</code> says the same, and rules of the
        kind “platform health” alert on it.
      </Text>
      <Paper p="md" maw={640}>
        <Loaded query={readiness}>
          {({ checks, reasons }) => (
            <Stack gap="md" component="ul" p={0} m={0} style={{ listStyle: "none" }}>
              {Object.entries(checks).map(([name, state]) => (
                <li key={name}>
                  <Group gap="sm">
                    <Text size="sm" fw={550} w={150}>
                      {PARTS[name]?.label ?? name}
                    </Text>
                    <ToneBadge tone={TONES[state]} label={state} />
                  </Group>
                  {reasons[name] && (
                    <Text size="sm" mt={4}>
                      {sentence(reasons[name])}
                    </Text>
                  )}
                  {state !== "up" && PARTS[name] && (
                    <Text size="sm" c="dimmed" mt={2}>
                      {PARTS[name].next}
                    </Text>
                  )}
                </li>
              ))}
            </Stack>
          )}
        </Loaded>
      </Paper>
    </Stack>
  );
}

function sentence(reason: string): string {
  return `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`;
}
