import { confinementIn } from "../kernel/confinement.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { type KeptDays, keptDaysOf, type RetentionPolicy } from "../protocol/index.ts";
import { horizonsOf, type TableStorage, type Timeseries } from "../timeseries/index.ts";
import { type MeaningsOf, UNKNOWN } from "./meanings.ts";
import * as store from "./usage-store.ts";

export interface MetricUse {
  metric: string;
  unit: string;
  points: number;
  /** Of the points, and of their rollups. */
  pointBytes: number;
  rollupBytes: number;
  rollups: { minutes: number; hours: number; days: number };
  kept: KeptDays;
}

/** What a tenant's telemetry takes. Bytes of shared tables are its part of the rows. */
export interface TelemetryUse {
  at: number;
  tables: (TableStorage & { bytesPerRow: number; compression: number })[];
  points: number;
  /** Of points and rollups together. */
  sizeBytes: number;
  /** Without rollups, and with them; null without points. */
  bytesPerPoint: number | null;
  bytesPerPointWithRollups: number | null;
  /** Greatest first. */
  metrics: MetricUse[];
  /** By the day (UTC) in which they were measured. */
  days: { day: number; points: number; sizeBytes: number }[];
}

/** What another retention would remove now; 0 where it keeps more. */
export interface RetentionEstimate {
  points: { rows: number; sizeBytes: number };
  rollups: { rows: number; sizeBytes: number };
  sizeBytes: number;
  /** Part of what the telemetry takes now, 0 to 1. */
  share: number;
}

export interface TelemetryUsage {
  usage(tenantId: string): Promise<TelemetryUse>;
  estimate(tenantId: string, policy: RetentionPolicy): Promise<RetentionEstimate>;
}

export interface TelemetryUsageDeps {
  timeseries: Pick<Timeseries, "tenantQuery" | "storage">;
  clock: Clock;
  meanings: MeaningsOf;
  retention(tenantId: string): Promise<RetentionPolicy>;
  /** Runs it in the tenant's turn. */
  inTurn<T>(tenantId: string, work: () => Promise<T>): Promise<T>;
}

const DAY_MS = 86_400_000;
const DAYS_SHOWN = 30;
const COUNTED_FOR_MS = 30_000;
const TENANTS_KNOWN = 50;
const ROLLUPS = { minutes: "telemetry_1m", hours: "telemetry_1h", days: "telemetry_1d" } as const;
const LEVELS = ["minutes", "hours", "days"] as const;

interface Counts {
  at: number;
  storage: TableStorage[];
  narrow: Map<string, number>;
  wide: Map<string, number>;
  texts: Map<string, number>;
  rollups: Record<keyof typeof ROLLUPS, Map<string, number>>;
  days: store.DayCount[];
}

export function createTelemetryUsage(deps: TelemetryUsageDeps): TelemetryUsage {
  const { timeseries, clock, meanings, retention, inTurn } = deps;
  const known = new TtlCache<Counts>({
    ...{ clock, ttlMs: COUNTED_FOR_MS, maxEntries: TENANTS_KNOWN },
  });
  const countsOf = (tenantId: string) => {
    assertWhole(tenantId);
    return known.load(tenantId, () => inTurn(tenantId, () => count(timeseries, tenantId, clock)));
  };
  return {
    async usage(tenantId) {
      const counts = await countsOf(tenantId);
      return summaryOf(counts, await retention(tenantId), await meanings(tenantId));
    },

    async estimate(tenantId, policy) {
      const counts = await countsOf(tenantId);
      const today = Math.floor(clock.now() / DAY_MS) * DAY_MS;
      return inTurn(tenantId, async () => {
        const before = (table: store.RollupTableName, level: keyof KeptDays, of = policy) =>
          store.countBefore(timeseries, tenantId, table, horizonsOf(of, level, today));
        // Rollups tell of points that are gone: those are no saving.
        const gone = await before("telemetry_1d", "points", await retention(tenantId));
        const points = { rows: 0, sizeBytes: 0 };
        for (const [metric, over] of await before("telemetry_1d", "points")) {
          const rows = Math.max(0, over.points - (gone.get(metric)?.points ?? 0));
          points.rows += rows;
          points.sizeBytes += rows * bytesPerPointOf(counts, metric);
        }
        const rollups = { rows: 0, sizeBytes: 0 };
        for (const level of LEVELS) {
          const bytes = bytesPerRow(counts.storage, ROLLUPS[level]);
          for (const { rows } of (await before(ROLLUPS[level], level)).values()) {
            rollups.rows += rows;
            rollups.sizeBytes += rows * bytes;
          }
        }
        const sizeBytes = Math.round(points.sizeBytes + rollups.sizeBytes);
        const all = telemetryBytes(counts.storage);
        return {
          points: { rows: points.rows, sizeBytes: Math.round(points.sizeBytes) },
          rollups: { rows: rollups.rows, sizeBytes: Math.round(rollups.sizeBytes) },
          sizeBytes,
          share: all > 0 ? Math.min(1, sizeBytes / all) : 0,
        };
      });
    },
  };
}

/** Figures of the tenant as a whole tell of devices that somebody does not see. */
function assertWhole(tenantId: string): void {
  if (!confinementIn(tenantId)) return;
  throw new AppError("forbidden", "who is confined to groups sees no figures of the whole tenant");
}

async function count(
  timeseries: TelemetryUsageDeps["timeseries"],
  tenantId: string,
  clock: Clock,
): Promise<Counts> {
  const at = clock.now();
  const by = (table: "telemetry" | "telemetry_texts" | store.RollupTableName) =>
    store.countByMetric(timeseries, tenantId, table);
  return {
    at,
    storage: await timeseries.storage(tenantId),
    narrow: await by("telemetry"),
    wide: await store.countWide(timeseries, tenantId),
    texts: await by("telemetry_texts"),
    rollups: {
      minutes: await by("telemetry_1m"),
      hours: await by("telemetry_1h"),
      days: await by("telemetry_1d"),
    },
    days: await store.countByDay(timeseries, tenantId, at - DAYS_SHOWN * DAY_MS, DAYS_SHOWN + 2),
  };
}

const TELEMETRY = [
  ...["telemetry", "telemetry_wide", "telemetry_texts", "telemetry_latest"],
  ...Object.values(ROLLUPS),
];

function summaryOf(
  counts: Counts,
  policy: RetentionPolicy,
  meanings: Awaited<ReturnType<MeaningsOf>>,
): TelemetryUse {
  const { storage, narrow, wide, texts, rollups, days } = counts;
  const names = new Set([...narrow.keys(), ...wide.keys(), ...texts.keys()]);
  for (const level of LEVELS) for (const name of rollups[level].keys()) names.add(name);
  const metrics = [...names].map((metric): MetricUse => {
    const rows = (level: keyof typeof ROLLUPS) => rollups[level].get(metric) ?? 0;
    const rollupBytes = LEVELS.reduce(
      (sum, level) => sum + rows(level) * bytesPerRow(storage, ROLLUPS[level]),
      0,
    );
    return {
      metric,
      unit: (meanings.get(metric) ?? UNKNOWN).unit,
      points: [narrow, wide, texts].reduce((sum, one) => sum + (one.get(metric) ?? 0), 0),
      pointBytes: Math.round(pointBytes(counts, metric)),
      rollupBytes: Math.round(rollupBytes),
      rollups: { minutes: rows("minutes"), hours: rows("hours"), days: rows("days") },
      kept: keptDaysOf(policy, metric),
    };
  });
  metrics.sort((a, b) => b.pointBytes + b.rollupBytes - (a.pointBytes + a.rollupBytes));
  const points = metrics.reduce((sum, one) => sum + one.points, 0);
  const ofPoints = metrics.reduce((sum, one) => sum + one.pointBytes, 0);
  const sizeBytes = telemetryBytes(storage);
  const perPoint = points > 0 ? sizeBytes / points : 0;
  return {
    at: counts.at,
    tables: storage.map((table) => ({
      ...table,
      bytesPerRow: table.rows > 0 ? table.sizeBytes / table.rows : 0,
      compression: table.sizeBytes > 0 ? table.rawBytes / table.sizeBytes : 0,
    })),
    points,
    sizeBytes,
    bytesPerPoint: points > 0 ? ofPoints / points : null,
    bytesPerPointWithRollups: points > 0 ? perPoint : null,
    metrics,
    days: days.map((one) => ({ ...one, sizeBytes: Math.round(one.points * perPoint) })),
  };
}

function telemetryBytes(storage: readonly TableStorage[]): number {
  return storage
    .filter(({ table }) => TELEMETRY.includes(table))
    .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function bytesPerRow(storage: readonly TableStorage[], table: string): number {
  const found = storage.find((one) => one.table === table);
  return found && found.rows > 0 ? found.sizeBytes / found.rows : 0;
}

/** Of a metric's points however they are stored; a wide row's bytes are its values' alike. */
function pointBytes({ storage, narrow, wide, texts }: Counts, metric: string): number {
  const wideValues = [...wide.values()].reduce((sum, values) => sum + values, 0);
  const wideBytes = storage.find(({ table }) => table === "telemetry_wide")?.sizeBytes ?? 0;
  const perValue = wideValues > 0 ? wideBytes / wideValues : 0;
  return (
    (narrow.get(metric) ?? 0) * bytesPerRow(storage, "telemetry") +
    (texts.get(metric) ?? 0) * bytesPerRow(storage, "telemetry_texts") +
    (wide.get(metric) ?? 0) * perValue
  );
}

function bytesPerPointOf(counts: Counts, metric: string): number {
  const points = (counts.narrow.get(metric) ?? 0) + (counts.wide.get(metric) ?? 0);
  return points > 0 ? pointBytes(counts, metric) / points : 0;
}
