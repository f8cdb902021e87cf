import type { ClickHouseClient } from "@clickhouse/client";
import { readRows } from "./read-rows.ts";
import { TENANT_TABLES } from "./readable.ts";
import { partitionPrefix } from "./storage-class.ts";

/** What a tenant's rows in one table take on the disk. */
export interface TableStorage {
  table: string;
  rows: number;
  sizeBytes: number;
  /** Before compression. */
  rawBytes: number;
  /** Where the parts are shared with others: the tenant's part of the rows, of the bytes of all. */
  isEstimate: boolean;
}

interface PartsRow {
  table: string;
  own: number;
  rows: number;
  bytes: number;
  raw: number;
}

export async function readStorage(
  client: ClickHouseClient,
  tenantId: string,
): Promise<TableStorage[]> {
  const parts = await readRows<PartsRow>(
    client,
    `select table, startsWith(partition, {own:String}) as own, sum(rows) as rows,
       sum(bytes_on_disk) as bytes, sum(data_uncompressed_bytes) as raw
     from system.parts
     where active and database = currentDatabase() and table in ({tables:Array(String)})
     group by table, own`,
    { own: partitionPrefix(tenantId), tables: TENANT_TABLES },
  );
  const storage: TableStorage[] = [];
  for (const table of TENANT_TABLES) {
    const own = parts.find((one) => one.table === table && one.own === 1);
    const shared = parts.find((one) => one.table === table && one.own === 0);
    const [counted] = shared
      ? await readRows<{ rows: number }>(
          client,
          `select count() as rows from ${table}
           where tenant_id = {tenant:String} and storage_class = 'shared'`,
          { tenant: tenantId },
        )
      : [];
    const rows = counted?.rows ?? 0;
    const part = shared && shared.rows > 0 ? Math.min(1, rows / shared.rows) : 0;
    storage.push({
      table,
      rows: (own?.rows ?? 0) + rows,
      sizeBytes: Math.round((own?.bytes ?? 0) + (shared?.bytes ?? 0) * part),
      rawBytes: Math.round((own?.raw ?? 0) + (shared?.raw ?? 0) * part),
      isEstimate: rows > 0,
    });
  }
  return storage;
}
