import type { Kept } from "./latest-store.ts";
import { COST, type Reader } from "./series-store.ts";

export interface ExportRow {
  device: string;
  metric: string;
  ts: number;
  value: number;
  /** What was added to the time that the device gave; 0 where its clock was right. */
  clockShiftMs: number;
}

export interface ExportQuery {
  /** Null for all. */
  ids: readonly string[] | null;
  /** Absent for every metric. */
  metrics?: readonly string[] | undefined;
  /** Device times, `to` excluded. */
  from: number;
  to: number;
  /** What is kept still. */
  kept: Kept;
}

const PAGE_ROWS = 20_000;

/** Points in the order of device, metric and time, page by page: the memory is that of one page. */
export async function* exportPages(
  timeseries: Reader,
  tenantId: string,
  query: ExportQuery,
): AsyncGenerator<ExportRow[]> {
  let after: ExportRow | undefined;
  for (;;) {
    const rows = await timeseries.tenantQuery<ExportRow>(tenantId, {
      table: "points",
      select: `device_id as device, metric, toUnixTimestamp64Milli(ts) as at, value as v,
        shift_ms as clockShiftMs`,
      where: [
        ...conditionsOf(query),
        ...(after
          ? [
              `(device_id, metric, ts) > ({afterDevice:String}, {afterMetric:String},
                fromUnixTimestamp64Milli({afterTs:Int64}))`,
            ]
          : []),
      ],
      stages: [
        {
          select: "device, metric, at as ts, v as value, clockShiftMs",
          orderBy: "device, metric, ts",
        },
      ],
      final: true,
      limit: PAGE_ROWS,
      cost: COST,
      params: {
        ...paramsOf(query),
        ...(after
          ? { afterDevice: after.device, afterMetric: after.metric, afterTs: after.ts }
          : {}),
      },
    });
    if (rows.length > 0) yield rows;
    if (rows.length < PAGE_ROWS) return;
    after = rows.at(-1);
  }
}

export async function countPoints(
  timeseries: Reader,
  tenantId: string,
  query: ExportQuery,
): Promise<number> {
  const rows = await timeseries.tenantQuery<{ n: number }>(tenantId, {
    table: "points",
    select: "count() as n",
    where: conditionsOf(query),
    final: true,
    limit: 1,
    cost: COST,
    params: paramsOf(query),
  });
  return rows[0]?.n ?? 0;
}

/** Conditions on rows of points or of texts. */
export function conditionsOf({ ids, metrics, kept }: ExportQuery): string[] {
  return [
    ...kept.where,
    "ts >= fromUnixTimestamp64Milli({from:Int64})",
    "ts < fromUnixTimestamp64Milli({to:Int64})",
    ...(ids ? ["device_id in {devices:Array(String)}"] : []),
    ...(metrics ? ["metric in {metrics:Array(String)}"] : []),
  ];
}

/** And what stands in them. */
export function paramsOf({ ids, metrics, from, to, kept }: ExportQuery): Record<string, unknown> {
  return {
    ...{ from, to, ...kept.params },
    ...(ids ? { devices: ids } : {}),
    ...(metrics ? { metrics } : {}),
  };
}
