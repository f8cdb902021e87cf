import type { ClickHouseClient } from "@clickhouse/client";
import { DERIVE_SETTINGS } from "./engine-settings.ts";
import { spansOf, WIDTH_MS } from "./rollup-progress.ts";

/**
 * The place of a point in its series as one number: of two tuples the engine finds the greater in ten times
 * as long. The lower 64 bits are the sequence number.
 */
export function placeOf(ts: string, seq: string): string {
  return `(toInt128(toUnixTimestamp64Milli(${ts})) * toInt128('18446744073709551616') + ${seq})`;
}

/**
 * Takes the newest point of each series over from rollups by the minute that were computed in the passes
 * after `after`, up to `until`; see `migrations/clickhouse/1011_latest_values.sql`. How many statements.
 */
export async function takeLatest(
  client: ClickHouseClient,
  window: { after: number; until: number },
): Promise<number> {
  const changed = "pass > {after:UInt64} and pass <= {until:UInt64}";
  const place = placeOf("last_ts", "last_seq");
  const source = `(select ts from telemetry_1m where ${changed})`;
  const spans = await spansOf(client, source, window, WIDTH_MS["1m"]);
  for (const span of spans) {
    await client.command({
      query: `INSERT INTO telemetry_latest (tenant_id, device_id, metric, ts, newest)
        SELECT tenant_id, device_id, metric, max(last_ts),
          (max(last_ts), toUInt64(max(${place})), argMax(last, ${place}))
        FROM telemetry_1m WHERE ${changed}
          and ts >= toDateTime({from:Int64} / 1000) and ts < toDateTime({to:Int64} / 1000)
        GROUP BY tenant_id, device_id, metric`,
      query_params: { ...window, ...span },
      clickhouse_settings: DERIVE_SETTINGS,
    });
  }
  return spans.length;
}
