import { newestVersions, readLife, type VersionLife, versionBefore } from "./comparison-store.ts";
import type { DevicesDeps } from "./deps.ts";
import { dimensionOf } from "./fleet-dimensions.ts";
import {
  countMatrix,
  deleteOldMoments,
  groupCrashes,
  readHistory,
  readLabelHistory,
  storeLabels,
  storeMoment,
} from "./fleet-health-store.ts";
import { compileFleetQuery } from "./fleet-query.ts";
import { listGroups } from "./groups-store.ts";
import { compareRates, type Rate, type RateComparison, rateOf } from "./rates.ts";
import type { CrashGroup, FleetMoment, MatrixCell } from "./types.ts";

const COLUMNS = ["firmware", "hardware", "product", "region"] as const;
type Column = (typeof COLUMNS)[number];
/** What the history is read by: also by group, and by the values of a tag. */
export const HISTORY_DIMENSION = new RegExp(
  `^(${COLUMNS.join("|")}|group|tags\\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})$`,
);

/** What happens to devices that a release may be to blame for. */
const COMPARED_KINDS = ["crash", "fallback", "self-test-failed", "silence"] as const;
/** How long the history reaches back. */
const HISTORY_KEPT_MS = 30 * 86_400_000;
/** Moments of one answer. */
const MAX_STEPS = 200;
const MIN_STEP_MS = 60_000;

export interface ReleaseComparison {
  from: string;
  to: string;
  /** Null where the fleet has run nothing in this time. */
  target: VersionLife | null;
  /** Null where it has run nothing else: there is nothing to compare with then, and no kinds. */
  source: VersionLife | null;
  kinds: ({ kind: string; target: Rate; source: Rate } & RateComparison)[];
}

/** How the fleet fares: crossed, over time, and from one version to the next. */
export interface FleetHealth {
  matrix(tenantId: string, by: readonly [string, string], query?: string): Promise<MatrixCell[]>;
  history(
    tenantId: string,
    /** One that `HISTORY_DIMENSION` allows; null for the fleet as a whole. */
    by: string | null,
    span: { from: number; to: number },
  ): Promise<FleetMoment[]>;
  /** Writes down how the fleet fares now. */
  remember(tenantId: string): Promise<void>;
  /** Crashes, fallbacks and failed self-tests of one cause together. */
  crashes(tenantId: string, options: { from: number; query?: string }): Promise<CrashGroup[]>;
  /** A version against another; the newest two that run, where none is named. */
  compare(
    tenantId: string,
    options: { target?: string; source?: string; from: number },
  ): Promise<ReleaseComparison>;
}

export function createFleetHealth({ db, clock }: DevicesDeps): FleetHealth {
  return {
    matrix(tenantId, [rows, columns], query = "") {
      const compiled = compileFleetQuery(query);
      const nowMs = clock.now();
      return db.tenant(tenantId, async (tx) => {
        const groups = [rows, columns].includes("group") ? await listGroups(tx) : [];
        const known = { groups, nowMs };
        const both = [dimensionOf(rows, "a", known), dimensionOf(columns, "b", known)] as const;
        return countMatrix(tx, both, compiled, nowMs);
      });
    },

    history: (tenantId, by, { from, to }) => {
      const stepMs = Math.max(MIN_STEP_MS, (to - from) / MAX_STEPS);
      const span = { from: new Date(from), to: new Date(to), stepMs };
      const isColumn = by === null || COLUMNS.includes(by as Column);
      return db.tenant(tenantId, (tx) =>
        isColumn ? readHistory(tx, by as Column | null, span) : readLabelHistory(tx, by, span),
      );
    },

    remember: (tenantId) =>
      db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        await storeMoment(tx, tenantId, now);
        const known = { groups: await listGroups(tx), nowMs: now.getTime() };
        await storeLabels(tx, tenantId, now, dimensionOf("group", "a", known));
        await deleteOldMoments(tx, new Date(now.getTime() - HISTORY_KEPT_MS));
      }),

    crashes(tenantId, { from, query = "" }) {
      const compiled = compileFleetQuery(query);
      const span = { from: new Date(from), nowMs: clock.now() };
      return db.tenant(tenantId, (tx) => groupCrashes(tx, compiled, span));
    },

    compare: (tenantId, asked) =>
      db.tenant(tenantId, async (tx) => {
        const span = { from: new Date(asked.from), to: new Date(clock.now()) };
        const newest = await newestVersions(tx);
        const chosen = asked.target ?? newest[0];
        const against =
          asked.source ??
          newest.find((version) => version !== chosen) ??
          (chosen && (await versionBefore(tx, tenantId, chosen, span.from)));
        const target = chosen ? await readLife(tx, tenantId, chosen, span) : null;
        const other = against ? await readLife(tx, tenantId, against, span) : null;
        const kinds = target && other ? judge(target, other) : [];
        const [from, to] = [span.from.toISOString(), span.to.toISOString()];
        return { from, to, target, source: other, kinds };
      }),
  };
}

function judge(target: VersionLife, source: VersionLife): ReleaseComparison["kinds"] {
  const exposureOf = ({ incidents, deviceHours }: VersionLife, kind: string) => {
    return { events: incidents[kind] ?? 0, deviceHours };
  };
  return COMPARED_KINDS.map((kind) => {
    const [ours, theirs] = [exposureOf(target, kind), exposureOf(source, kind)];
    return { kind, target: rateOf(ours), source: rateOf(theirs), ...compareRates(ours, theirs) };
  });
}
