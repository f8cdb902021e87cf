import { Group, Stack, Text } from "@mantine/core";
import type { DeviceView } from "../../api/index.ts";
import { HealthBadge } from "../../components/badges.tsx";
import { humanize } from "../../components/format.ts";
import { Fact, Panel } from "../../components/page.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";

/** What the platform thinks of the device, and every reason for it. */
export function HealthPanel({ device }: { device: DeviceView }) {
  return (
    <Panel title="Health">
      <Fact label="State">
        <Group gap="xs" justify="flex-end">
          <HealthBadge health={device.health} />
          {device.healthChangedAt && (
            <Text span size="xs" c="dimmed">
              <TimeAgo time={device.healthChangedAt} />
            </Text>
          )}
        </Group>
      </Fact>
      {device.healthReasons.length === 0 ? (
        <Text size="sm" c="dimmed">
          {device.health === "unknown" ? "It was never heard." : "Nothing speaks against it."}
        </Text>
      ) : (
        <Stack gap="xs" mt="xs">
          {device.healthReasons.map(({ code, message, since }) => (
            <div key={code}>
              <Group justify="space-between" gap="xs" wrap="nowrap">
                <Text size="sm" fw={550}>
                  {humanize(code)}
                </Text>
                <Text size="xs" c="dimmed">
                  <TimeAgo time={since} />
                </Text>
              </Group>
              <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                {message}
              </Text>
            </div>
          ))}
        </Stack>
      )}
    </Panel>
  );
}
