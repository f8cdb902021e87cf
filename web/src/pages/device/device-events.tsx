import { Group, Text, Timeline } from "@mantine/core";
import {
  IconActivity,
  IconArrowBackUp,
  IconBolt,
  IconChecklist,
  IconPower,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type DeviceEventRecord, deviceEventsQuery } from "../../api/index.ts";
import { humanize } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

const ICONS: Record<string, typeof IconActivity> = {
  boot: IconPower,
  crash: IconBolt,
  fallback: IconArrowBackUp,
  "self-test": IconChecklist,
};

/** Boots, crashes, self-tests: what happened on the device, the newest first. */
export function DeviceEvents({ deviceId, limit }: { deviceId: string; limit?: number }) {
  const tenant = useTenantId();
  const events = useQuery(deviceEventsQuery(tenant, deviceId));
  return (
    <Panel title="Events">
      <Loaded query={events}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed">
              Nothing has happened yet.
            </Text>
          ) : (
            <Timeline bulletSize={24} lineWidth={1}>
              {items.slice(0, limit).map((event, index) => {
                const Icon = ICONS[event.type] ?? IconActivity;
                return (
                  <Timeline.Item
                    // biome-ignore lint/suspicious/noArrayIndexKey: two events may share all the rest
                    key={`${event.ts} ${event.type} ${index}`}
                    bullet={
                      <Icon
                        size={13}
                        aria-hidden
                        color={isBad(event) ? "var(--vautn-bad)" : undefined}
                      />
                    }
                  >
                    <Group gap="xs" justify="space-between">
                      <Text size="sm" fw={500}>
                        {humanize(event.type)}
                        <Text span inherit c="dimmed" fw={400}>
                          {" "}
                          {summaryOf(event)}
                        </Text>
                      </Text>
                      <Text size="xs" c="dimmed">
                        <TimeAgo time={event.ts} />
                      </Text>
                    </Group>
                  </Timeline.Item>
                );
              })}
            </Timeline>
          )
        }
      </Loaded>
    </Panel>
  );
}

function isBad(event: DeviceEventRecord): boolean {
  return (
    ["crash", "fallback", "silence"].includes(event.type) ||
    (event.type === "self-test" && event.details.passed === false)
  );
}

function summaryOf({ type, details }: DeviceEventRecord): string {
  const words: string[] = [];
  if (type === "self-test" && typeof details.passed === "boolean") {
    words.push(details.passed ? "passed" : "failed");
  }
  const firmware = details.firmware as { version?: string } | undefined;
  for (const part of [details.reason, details.element, details.message]) {
    if (typeof part === "string" && part) words.push(part);
  }
  if (firmware?.version) words.push(`on ${firmware.version}`);
  return words.join(" · ");
}
