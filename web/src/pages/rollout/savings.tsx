import { Group, Progress, Text } from "@mantine/core";
import type { RolloutView } from "../../api/index.ts";
import { formatBytes, formatPercent } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";

const SOURCES = [
  ["platform", "the platform"],
  ["store", "the store"],
  ["cache", "site caches"],
  ["unknown", "devices that do not say from where"],
] as const;

/** Who sent the bytes; of those that nobody tells of, to whom. */
function sourcesOf({ bytesBySource }: RolloutView): string {
  return SOURCES.filter(([source]) => bytesBySource[source] > 0)
    .map(([source, name]) => {
      const preposition = source === "unknown" ? "to" : "from";
      return `${formatBytes(bytesBySource[source])} ${preposition} ${name}`;
    })
    .join(", ");
}

/** What the deltas spared the fleet's links. */
export function Savings({ rollout }: { rollout: RolloutView }) {
  const { bytesDownloaded, bytesFull } = rollout;
  const saved = bytesFull > 0 ? 1 - bytesDownloaded / bytesFull : 0;
  return (
    <Panel title="Downloaded">
      {bytesFull === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing yet.
        </Text>
      ) : (
        <>
          <Group align="baseline" gap={8}>
            <Text fz={24} fw={650}>
              {formatBytes(bytesDownloaded)}
            </Text>
            <Text size="sm" c="dimmed">
              instead of {formatBytes(bytesFull)}
            </Text>
          </Group>
          <Progress
            value={(bytesDownloaded / bytesFull) * 100}
            my={8}
            aria-label="Share of the full images' bytes"
          />
          <Text size="sm" fw={600} c="var(--vautn-ok-text)">
            {formatBytes(Math.max(0, bytesFull - bytesDownloaded))} saved by deltas (
            {formatPercent(Math.max(0, saved))})
          </Text>
          <Text size="sm" c="dimmed" mt={4} title="As the devices report it">
            {sourcesOf(rollout)}
          </Text>
        </>
      )}
    </Panel>
  );
}
