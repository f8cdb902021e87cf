import { seededRandom } from "../src/kernel/index.ts";
import type { TelemetryRow } from "../src/timeseries/index.ts";

export const METRICS = ["temperature", "humidity", "voltage", "current", "vibration"];
export const DAY_MS = 86_400_000;
export const START = Date.UTC(2026, 5, 1);
const PERIOD_MS = 10_000;

/** One day of every device, in the order of time, with a clock that jitters by 50 ms. */
export function* pointBatches(devices: number, batch: number): Generator<TelemetryRow[]> {
  const random = seededRandom(1);
  const levels = new Float64Array(devices * METRICS.length).fill(20);
  let rows: TelemetryRow[] = [];
  for (let at = 0, seq = 0; at < DAY_MS; at += PERIOD_MS, seq += 1) {
    for (let device = 0; device < devices; device += 1) {
      const ts = START + at + Math.floor(random.next() * 50);
      for (const [index, metric] of METRICS.entries()) {
        const place = device * METRICS.length + index;
        levels[place] = (levels[place] as number) + random.next() - 0.5;
        const value = Math.round((levels[place] as number) * 100) / 100;
        rows.push({ tenantId: "bench", deviceId: `device-${device}`, metric, ts, seq, value });
      }
      if (rows.length < batch) continue;
      yield rows;
      rows = [];
    }
  }
  if (rows.length > 0) yield rows;
}
