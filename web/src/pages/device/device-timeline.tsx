import { Group, Text, Timeline } from "@mantine/core";
import {
  IconActivityHeartbeat,
  IconBell,
  IconBellCheck,
  IconBolt,
  IconVersions,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type TimelineEntry, timelineQuery } from "../../api/index.ts";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { humanize } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { healthTone, toneFill } from "../../theme/tones.ts";

const ICONS: Record<string, typeof IconBell> = {
  health: IconActivityHeartbeat,
  firmware: IconVersions,
  incident: IconBolt,
  "alert-raised": IconBell,
  "alert-resolved": IconBellCheck,
};

/** What the platform has found out about a device, the newest first. */
export function DeviceTimeline({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const pages = useCursors(`${tenant}/${deviceId}`);
  const timeline = useQuery(timelineQuery(tenant, deviceId, pages.cursor));
  return (
    <Panel title="Timeline">
      <Loaded query={timeline}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed">
              Nothing has happened yet. Changes of health, incidents, alerts and new firmware appear
              here.
            </Text>
          ) : (
            <>
              <Timeline bulletSize={24} lineWidth={1}>
                {items.map((entry) => (
                  <Entry key={`${entry.at} ${entry.id}`} entry={entry} />
                ))}
              </Timeline>
              <CursorPager
                pages={pages}
                nextCursor={nextCursor}
                summary={`${items.length} ${items.length === 1 ? "entry" : "entries"}`}
              />
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Entry({ entry, ...rest }: { entry: TimelineEntry }) {
  const { title, text, color } = describe(entry);
  const Icon = ICONS[entry.kind] ?? IconBolt;
  return (
    <Timeline.Item {...rest} bullet={<Icon size={13} aria-hidden color={color} />}>
      <Group gap="xs" justify="space-between" wrap="nowrap" align="flex-start">
        <Text size="sm" fw={500}>
          {title}
        </Text>
        <Text size="xs" c="dimmed">
          <TimeAgo time={entry.at} />
        </Text>
      </Group>
      {text && (
        <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
          {text}
        </Text>
      )}
    </Timeline.Item>
  );
}

function describe({ kind, details }: TimelineEntry) {
  const word = (name: string) => (typeof details[name] === "string" ? String(details[name]) : "");
  if (kind === "health") {
    const reasons = (details.reasons ?? []) as { message: string }[];
    return {
      title: `${humanize(word("from"))} → ${humanize(word("to"))}`,
      text:
        reasons.map(({ message }) => message).join("; ") || "Nothing speaks against it any more",
      color: toneFill(healthTone(word("to"))),
    };
  }
  if (kind === "firmware") {
    const from = word("from");
    return {
      title: `Firmware ${word("to")}`,
      text: `${from ? `after ${from}, ` : ""}in slot ${word("slot")}`,
      color: undefined,
    };
  }
  if (kind === "incident") {
    const text = [word("reason"), word("element"), word("message")].filter(Boolean).join(" · ");
    return { title: humanize(word("incident")), text, color: toneFill("bad") };
  }
  const color = kind === "alert-raised" ? toneFill("late") : toneFill("ok");
  return { title: humanize(kind), text: word("title"), color };
}
