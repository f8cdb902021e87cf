/** A point as the store has it; `seq` decides between two of one moment. */
export interface ReferencePoint {
  deviceId: string;
  metric: string;
  ts: number;
  seq: number;
  value: number;
}

export interface ReferenceQuery {
  metric: string;
  from: number;
  to: number;
  stepMs: number;
  aggregate: string;
  transform?: "none" | "increase" | "rate" | "delta";
  across?: string;
  /** The series of a device, none where it is left out. */
  keysOf(deviceId: string): (string | null)[];
}

type ReferenceSeries = Map<string | null, Map<number, number>>;

/** What a query over many devices ought to answer, worked out point by point. */
export function referenceSeries(
  points: readonly ReferencePoint[],
  query: ReferenceQuery,
): ReferenceSeries {
  const { stepMs, transform = "none", aggregate, across } = query;
  const from = Math.floor(query.from / stepMs) * stepMs;
  const bucketOf = (ts: number) => from + Math.floor((ts - from) / stepMs) * stepMs;
  const own = uniquePoints(points.filter(({ metric }) => metric === query.metric));
  // device, bucket -> values in the order of their times
  const perDevice = new Map<string, Map<number, number[]>>();
  for (const [device, list] of own) {
    const buckets = new Map<number, number[]>();
    for (const [index, { ts, value }] of list.entries()) {
      if (ts < from || ts >= query.to) continue;
      const taken = transform === "none" ? value : grown(list, index, from, stepMs, transform);
      const bucket = bucketOf(ts);
      buckets.set(bucket, [...(buckets.get(bucket) ?? []), taken]);
    }
    perDevice.set(device, buckets);
  }
  const collected = new Map<string | null, Map<number, number[]>>();
  const isPooled = transform === "none" && across === undefined;
  for (const [device, buckets] of perDevice) {
    for (const key of query.keysOf(device)) {
      const series = collected.get(key) ?? new Map<number, number[]>();
      collected.set(key, series);
      for (const [bucket, values] of buckets) {
        const mine = isPooled ? values : [devicesOwn(values, query)];
        series.set(bucket, [...(series.get(bucket) ?? []), ...mine]);
      }
    }
  }
  const last = isPooled ? aggregate : (across ?? "sum");
  return new Map(
    [...collected].map(([key, series]) => [
      key,
      new Map([...series].map(([bucket, values]) => [bucket, together(values, last)])),
    ]),
  );
}

function devicesOwn(values: number[], { transform, aggregate, stepMs }: ReferenceQuery): number {
  if (!transform || transform === "none") return together(values, aggregate);
  const sum = together(values, "sum");
  return transform === "rate" ? (sum * 1000) / stepMs : sum;
}

/** By device and in the order of their times; of those of one moment the greatest sequence. */
function uniquePoints(points: readonly ReferencePoint[]): Map<string, ReferencePoint[]> {
  const byDevice = new Map<string, Map<number, ReferencePoint>>();
  for (const point of points) {
    const own = byDevice.get(point.deviceId) ?? new Map<number, ReferencePoint>();
    byDevice.set(point.deviceId, own);
    const known = own.get(point.ts);
    if (!known || point.seq >= known.seq) own.set(point.ts, point);
  }
  return new Map(
    [...byDevice].map(([device, own]) => [
      device,
      [...own.values()].sort((left, right) => left.ts - right.ts),
    ]),
  );
}

function grown(
  list: readonly ReferencePoint[],
  index: number,
  from: number,
  stepMs: number,
  transform: string,
): number {
  const { value } = list[index] as ReferencePoint;
  const before = list[index - 1];
  if (!before || before.ts < from - Math.max(stepMs, 600_000)) return 0;
  if (transform === "delta") return value - before.value;
  return value >= before.value ? value - before.value : value;
}

export function together(values: readonly number[], aggregate: string): number {
  const sorted = [...values].sort((left, right) => left - right);
  const sum = values.reduce((total, value) => total + value, 0);
  switch (aggregate) {
    case "avg":
      return sum / values.length;
    case "sum":
      return sum;
    case "count":
      return values.length;
    case "min":
      return sorted[0] as number;
    case "max":
      return sorted.at(-1) as number;
    case "last":
      return values.at(-1) as number;
    default: {
      // `floor` and `ceil` before a percentile: the values between which it lies.
      const [, round, percent] = /^(floor|ceil|)p(.+)$/.exec(aggregate) ?? [];
      const exact = (Number(percent) / 100) * (values.length - 1);
      const place = round === "floor" ? Math.floor(exact) : round ? Math.ceil(exact) : exact;
      const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]] as number[];
      return (low as number) + ((high as number) - (low as number)) * (place - Math.floor(place));
    }
  }
}
