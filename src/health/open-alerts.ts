/** Below this things are calm, and after so many calm slots in a row an alert is over. */
const CALM_SCORE = 0.35;
const CALM_SLOTS = 10;
/** A series that has brought nothing for so many slots is not unusual any more: it is silent. */
const SILENT_SLOTS = 60;

/** Series of one device that become unusual within so many slots of the first have one cause. */
const COMPANY_SLOTS = 5;

/** What was found of a device, as far as an alert about several of its series tells it. */
export interface Finding {
  deviceId: string;
  metric: string;
  ts: number;
  value: number;
  usual: number;
  score: number;
}

/** A series that stands behind an open alert. */
interface OpenSeries {
  key: string;
  calm: number;
  seenAt: number;
  /** Of an alert about one device. */
  finding?: Finding;
}

/** Which alerts are open because of which series. An alert ends when all of its series are calm. */
export class OpenAlerts {
  readonly #maxSeries: number;
  readonly #slotMs: number;
  readonly #series = new Map<string, OpenSeries>();
  readonly #counts = new Map<string, number>();

  constructor(options: { maxSeries: number; slotMs: number }) {
    this.#maxSeries = options.maxSeries;
    this.#slotMs = options.slotMs;
  }

  has(series: string): boolean {
    return this.#series.has(series);
  }

  /** What an open alert that has just begun tells of the same device, the first finding first. */
  company({ deviceId, ts }: Finding): { key: string; findings: Finding[] } | undefined {
    const own = [...this.#series.values()].filter((one) => one.finding?.deviceId === deviceId);
    const since = ts - COMPANY_SLOTS * this.#slotMs;
    const first = own.find((one) => (one.finding as Finding).ts >= since);
    if (!first) return undefined;
    const { key } = first;
    const together = own.filter((one) => one.key === key).map((one) => one.finding as Finding);
    // One that began long ago and goes on growing is not joined for ever.
    return together.every((one) => one.ts >= since) ? { key, findings: together } : undefined;
  }

  /** False where there is no room: an alert that cannot be remembered could not be resolved. */
  open(series: string, key: string, ts: number, finding?: Finding): boolean {
    if (this.#series.has(series) || this.#series.size >= this.#maxSeries) return false;
    this.#series.set(series, { key, calm: 0, seenAt: ts, ...(finding && { finding }) });
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return true;
  }

  /** Takes the present score of a series; the key of the alert that ends with it. */
  settle(series: string, present: number, ts: number): string | undefined {
    const open = this.#series.get(series);
    if (!open) return undefined;
    open.seenAt = ts;
    open.calm = present < CALM_SCORE ? open.calm + 1 : 0;
    return open.calm >= CALM_SLOTS ? this.#close(series, open) : undefined;
  }

  /** Ends alerts on series from which nothing comes any more; their keys. */
  expire(nowMs: number): string[] {
    const ended: string[] = [];
    for (const [series, open] of this.#series) {
      if (open.seenAt > nowMs - SILENT_SLOTS * this.#slotMs) continue;
      const key = this.#close(series, open);
      if (key !== undefined) ended.push(key);
    }
    return ended;
  }

  snapshot(): [string, OpenSeries][] {
    return [...this.#series];
  }

  restore(entries: readonly [string, OpenSeries][]): void {
    for (const [series, one] of entries) {
      if (this.open(series, one.key, one.seenAt)) this.#series.set(series, { ...one });
    }
  }

  #close(series: string, { key }: OpenSeries): string | undefined {
    this.#series.delete(series);
    const left = (this.#counts.get(key) ?? 1) - 1;
    if (left > 0) this.#counts.set(key, left);
    else this.#counts.delete(key);
    return left > 0 ? undefined : key;
  }
}
