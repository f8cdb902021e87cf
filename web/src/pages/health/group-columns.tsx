import { Text } from "@mantine/core";
import type { Column } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { TimeAgo } from "../../components/time-ago.tsx";

/** What groups of crashes and of restarts tell alike. */
interface Group {
  signature: string;
  count: number;
  devices: number;
  firmware: { version: string; count: number }[];
  lastSeenAt: string;
}

const MOST_VERSIONS = 3;

export function signatureColumn(header: string): Column<Group> {
  return {
    id: "signature",
    header,
    cell: ({ signature }) => (
      <Text size="sm" ff="monospace" style={{ overflowWrap: "anywhere" }}>
        {signature}
      </Text>
    ),
  };
}

/** How many, on how many devices, and of which versions. */
export const COUNT_COLUMNS: Column<Group>[] = [
  { id: "count", header: "Count", align: "right", cell: ({ count }) => formatNumber(count) },
  {
    id: "devices",
    header: "Devices",
    align: "right",
    cell: ({ devices }) => formatNumber(devices),
  },
  {
    id: "firmware",
    header: "Firmware",
    visibleFrom: "sm",
    cell: ({ firmware }) =>
      firmware
        .slice(0, MOST_VERSIONS)
        .map(({ version, count }) => `${version || "not known"} (${count})`)
        .join(", "),
  },
];

export const LAST_COLUMN: Column<Group> = {
  id: "last",
  header: "Last",
  // On a phone it would be cut by the edge.
  visibleFrom: "xs",
  cell: ({ lastSeenAt }) => <TimeAgo time={lastSeenAt} />,
};
