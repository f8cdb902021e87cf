/**
 * A device may tell of one crash twice: by a `crash` event, and by a `boot` event whose reason is a
 * crash or the watchdog. Which reports are about the same crash is decided here; pure.
 */

/** How long before a boot the crash may have happened that led to it. */
export const BEFORE_BOOT_MS = 10 * 60_000;
/** How long after a boot a device may take to tell, in that boot, of the crash before it. */
export const POST_MORTEM_MS = 60_000;

export interface CrashReport {
  deviceId: string;
  key: string;
  /** The boot in which it was told. */
  bootId: string | null;
  toldByBoot: boolean;
  /** Milliseconds since the epoch. */
  occurredAt: number;
  /** Key of the other report of the same crash. */
  alsoKey: string | null;
}

export interface MatchedCrashes<Report extends CrashReport> {
  /** Crashes that nobody had told of. */
  fresh: Report[];
  /** Known crashes of which another report has come in. */
  paired: { deviceId: string; key: string; alsoKey: string }[];
}

/** Tells new crashes from repeats and from second reports of a known one; each pairs only once. */
export function matchCrashes<Report extends CrashReport>(
  known: readonly CrashReport[],
  reports: readonly Report[],
): MatchedCrashes<Report> {
  const crashes = Map.groupBy<string, CrashReport>(
    known.map((crash) => ({ ...crash })),
    (crash) => crash.deviceId,
  );
  const matched: MatchedCrashes<Report> = { fresh: [], paired: [] };
  for (const report of reports) {
    const own = crashes.get(report.deviceId) ?? [];
    crashes.set(report.deviceId, own);
    const { deviceId, key } = report;
    if (own.some((crash) => crash.key === key || crash.alsoKey === key)) continue;
    const same = latestOf(own.filter((crash) => areOneCrash(crash, report)));
    if (same) {
      same.alsoKey = key;
      const early = matched.fresh.find(
        (item) => item.deviceId === deviceId && item.key === same.key,
      );
      if (early) early.alsoKey = key;
      else matched.paired.push({ deviceId, key: same.key, alsoKey: key });
    } else {
      own.push({ ...report });
      matched.fresh.push({ ...report });
    }
  }
  return matched;
}

function areOneCrash(left: CrashReport, right: CrashReport): boolean {
  if (left.alsoKey !== null || left.toldByBoot === right.toldByBoot) return false;
  const [boot, crash] = left.toldByBoot ? [left, right] : [right, left];
  const aheadMs = boot.occurredAt - crash.occurredAt;
  if (boot.bootId !== null && boot.bootId === crash.bootId)
    return Math.abs(aheadMs) <= POST_MORTEM_MS;
  return aheadMs >= 0 && aheadMs <= BEFORE_BOOT_MS;
}

function latestOf(crashes: readonly CrashReport[]): CrashReport | undefined {
  return crashes.toSorted((left, right) => right.occurredAt - left.occurredAt)[0];
}
