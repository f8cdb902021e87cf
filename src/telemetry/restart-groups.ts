import type { Timeseries } from "../timeseries/index.ts";

/** Restarts that have their reason in common. Times are device times. */
export interface RestartGroup {
  /** The reason, and the message of the boot without what differs from one to the next. */
  signature: string;
  /** As the device gave it: `watchdog`, `power-on`, `brown-out`, `update`, `command` …; "" for none. */
  reason: string;
  /** Somebody wanted it: an update, a command, a user. */
  isAsked: boolean;
  count: number;
  devices: number;
  firmware: { version: string; count: number }[];
  firstSeenAt: string;
  lastSeenAt: string;
  /** The device of the last of them. */
  exampleDeviceId: string;
}

export interface RestartQuery {
  from: number;
  to: number;
  /** Those of these devices only. */
  deviceIds?: readonly string[];
}

const ASKED = ["update", "command", "user"];
/** Groups of one answer, the most frequent first. */
const MAX_GROUPS = 100;
const COST = { maxSeconds: 10, maxRowsRead: 100_000_000 };
const REASON = "left(JSONExtractString(body, 'reason'), 256)";
const MESSAGE = `replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(
  left(splitByChar('\n', JSONExtractString(body, 'message'))[1], 200),
  '0x[0-9a-fA-F]+', '<address>'), '"[^"]*"', '<text>'), '[0-9]+([.][0-9]+)*', '<n>')`;

interface Row {
  why: string;
  text: string;
  total: number;
  devices: number;
  versions: [string[], number[]];
  first: number;
  last: number;
  example: string;
}

/** The boots that devices told of, by why they were started. */
export async function readRestartGroups(
  timeseries: Timeseries,
  tenantId: string,
  { from, to, deviceIds }: RestartQuery,
): Promise<RestartGroup[]> {
  const rows = await timeseries.tenantQuery<Row>(tenantId, {
    table: "device_events",
    select: `${REASON} as why, ${MESSAGE} as text, count() as total,
      uniqExact(device_id) as devices,
      sumMap([toString(firmware_version)], [toUInt64(1)]) as versions,
      min(toUnixTimestamp64Milli(ts)) as first, max(toUnixTimestamp64Milli(ts)) as last,
      argMax(device_id, ts) as example`,
    where: [
      "type = 'boot'",
      "ts >= fromUnixTimestamp64Milli({from:Int64})",
      "ts < fromUnixTimestamp64Milli({to:Int64})",
      ...(deviceIds ? ["has({devices:Array(String)}, device_id)"] : []),
    ],
    groupBy: "why, text",
    orderBy: "total desc, why, text",
    limit: MAX_GROUPS,
    final: true,
    cost: COST,
    params: {
      from: Math.floor(from),
      to: Math.ceil(to),
      ...(deviceIds ? { devices: [...deviceIds] } : {}),
    },
  });
  return rows.map(({ why, text, total, devices, versions: [names, counts], ...row }) => ({
    signature: [why || "(no reason given)", text].filter(Boolean).join(": "),
    reason: why,
    isAsked: ASKED.includes(why),
    ...{ count: total, devices },
    firmware: names
      .map((version, index) => ({ version, count: counts[index] ?? 0 }))
      .sort((left, right) => right.count - left.count),
    firstSeenAt: new Date(row.first).toISOString(),
    lastSeenAt: new Date(row.last).toISOString(),
    exampleDeviceId: row.example,
  }));
}
