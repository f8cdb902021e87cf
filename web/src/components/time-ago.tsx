import { Text, Tooltip } from "@mantine/core";
import { formatExact, formatRelative } from "./format.ts";
import { useNow } from "./use-now.ts";

interface TimeAgoProps {
  /** ISO 8601 or milliseconds since the epoch. */
  time: string | number | null | undefined;
  /** What stands there when there is no time. */
  fallback?: string;
}

/** A relative time; the exact one on hover and for screen readers. */
export function TimeAgo({ time, fallback = "–" }: TimeAgoProps) {
  const now = useNow();
  if (time === null || time === undefined || time === "") {
    return (
      <Text span c="dimmed" inherit>
        {fallback}
      </Text>
    );
  }
  const moment = typeof time === "number" ? time : Date.parse(time);
  const exact = formatExact(moment);
  return (
    <Tooltip label={exact}>
      <time dateTime={new Date(moment).toISOString()} style={{ whiteSpace: "nowrap" }}>
        {formatRelative(moment, now)}
      </time>
    </Tooltip>
  );
}
