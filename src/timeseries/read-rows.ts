import type { ClickHouseClient } from "@clickhouse/client";
import { READ_SETTINGS } from "./engine-settings.ts";

/** Rows of a statement of our own, whatever tenant they are of; what a tenant asks goes through `runQuery`. */
export async function readRows<Row>(
  client: ClickHouseClient,
  sql: string,
  params: Record<string, unknown>,
): Promise<Row[]> {
  const answer = await client.query({
    query: sql,
    query_params: params,
    format: "JSONEachRow",
    clickhouse_settings: READ_SETTINGS,
  });
  return answer.json<Row>();
}
