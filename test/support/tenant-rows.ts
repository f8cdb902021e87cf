import { createHash } from "node:crypto";
import pg from "pg";

/** Kept up to date by reading alone, or written by every refusal: no change of the tenant's things. */
const IGNORED_TABLES = ["audit_entries", "audit_heads", "idempotency_keys"];
const IGNORED_COLUMNS = ["last_used_at"];

/** Every row of a tenant in every table that has tenants, as hashes: table -> sorted hashes. */
export async function tenantRows(
  superuserUrl: string,
  tenantId: string,
): Promise<Record<string, string[]>> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      `select table_name as name from information_schema.columns
       where table_schema = 'public' and column_name = 'tenant_id' order by 1`,
    );
    const found: Record<string, string[]> = {};
    for (const { name } of tables) {
      if (IGNORED_TABLES.includes(name)) continue;
      const { rows } = await client.query<{ row: Record<string, unknown> }>(
        `select to_jsonb(t) as row from ${client.escapeIdentifier(name)} t where tenant_id = $1`,
        [tenantId],
      );
      found[name] = rows.map(({ row }) => digest(row)).sort();
    }
    return found;
  } finally {
    await client.end();
  }
}

function digest(row: Record<string, unknown>): string {
  const kept = Object.entries(row).filter(([column]) => !IGNORED_COLUMNS.includes(column));
  return createHash("sha256").update(JSON.stringify(kept)).digest("hex").slice(0, 16);
}
