import { Badge } from "@mantine/core";
import type { Channel, ReleaseView } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";

const CHANNEL_COLORS: Record<Channel, string> = { dev: "gray", beta: "amber", stable: "moss" };

export function ChannelBadge({ channel }: { channel: Channel }) {
  return (
    <Badge color={CHANNEL_COLORS[channel]} variant="light" radius="sm" tt="none" fw={550}>
      {channel}
    </Badge>
  );
}

/** How far a release has come, or that it is withdrawn, which is all that matters then. */
export function StandingBadge({ release }: { release: Pick<ReleaseView, "channel" | "status"> }) {
  if (release.status === "yanked") return <ToneBadge tone="bad" label="Withdrawn" />;
  return <ChannelBadge channel={release.channel} />;
}
