import { conditionsOf, type ExportQuery, paramsOf } from "./export-store.ts";
import { seriesPosition } from "./latest-store.ts";
import { COST, type Reader } from "./series-store.ts";

/** A value that is words. */
export interface TextItem {
  deviceId: string;
  metric: string;
  /** Milliseconds since the epoch; what the device itself gave was `ts - clockShiftMs`. */
  ts: number;
  text: string;
  clockShiftMs: number;
}

export interface TextQuery extends ExportQuery {
  /** The newest of each device and metric alone. */
  latest: boolean;
  cursor?: string | undefined;
  limit: number;
}

const TABLE = { table: "telemetry_texts", final: true, cost: COST } as const;
const FIELDS = `device_id as device, metric as name, toUnixTimestamp64Milli(ts) as at, text as words,
  shift_ms as shift`;

/** The newest first, of one moment by device and metric. */
export async function readTexts(
  timeseries: Reader,
  tenantId: string,
  query: TextQuery,
): Promise<{ items: TextItem[]; nextCursor: string | null }> {
  const after = query.cursor === undefined ? undefined : readPosition(query.cursor);
  const rows = await timeseries.tenantQuery<TextRow>(tenantId, {
    ...TABLE,
    select: FIELDS,
    where: conditionsOf(query),
    ...(query.latest ? { orderBy: "ts desc", limitBy: "1 by device_id, metric" } : {}),
    stages: [
      {
        select: "device, name, at, words, shift",
        where: after
          ? ["(-at, device, name) > ({afterAt:Int64}, {afterDevice:String}, {afterMetric:String})"]
          : [],
        orderBy: "at desc, device, name",
      },
    ],
    limit: query.limit + 1,
    params: { ...paramsOf(query), ...after },
  });
  const page = rows.slice(0, query.limit);
  const last = rows.length > query.limit ? page.at(-1) : undefined;
  return {
    items: page.map(itemOf),
    nextCursor: last ? JSON.stringify([-last.at, last.device, last.name]) : null,
  };
}

const PAGE_ROWS = 10_000;

/** All of them in the order of device, metric and time, page by page. */
export async function* textPages(
  timeseries: Reader,
  tenantId: string,
  query: ExportQuery,
): AsyncGenerator<TextItem[]> {
  let after: TextRow | undefined;
  for (;;) {
    const rows = await timeseries.tenantQuery<TextRow>(tenantId, {
      ...TABLE,
      select: FIELDS,
      where: [
        ...conditionsOf(query),
        ...(after
          ? [
              `(device_id, metric, ts) > ({afterDevice:String}, {afterMetric:String},
                fromUnixTimestamp64Milli({afterAt:Int64}))`,
            ]
          : []),
      ],
      stages: [{ select: "device, name, at, words, shift", orderBy: "device, name, at" }],
      limit: PAGE_ROWS,
      params: {
        ...paramsOf(query),
        ...(after ? { afterDevice: after.device, afterMetric: after.name, afterAt: after.at } : {}),
      },
    });
    if (rows.length > 0) yield rows.map(itemOf);
    if (rows.length < PAGE_ROWS) return;
    after = rows.at(-1);
  }
}

export async function countTexts(
  timeseries: Reader,
  tenantId: string,
  query: ExportQuery,
): Promise<number> {
  const [row] = await timeseries.tenantQuery<{ n: number }>(tenantId, {
    ...TABLE,
    select: "count() as n",
    where: conditionsOf(query),
    limit: 1,
    params: paramsOf(query),
  });
  return row?.n ?? 0;
}

interface TextRow {
  device: string;
  name: string;
  at: number;
  words: string;
  shift: number;
}

function itemOf({ device, name, at, words, shift }: TextRow): TextItem {
  return { deviceId: device, metric: name, ts: at, text: words, clockShiftMs: shift };
}

function readPosition(cursor: string) {
  const [afterAt, afterDevice, afterMetric] = seriesPosition(cursor, (at): at is number =>
    Number.isSafeInteger(at),
  );
  return { afterAt, afterDevice, afterMetric };
}
