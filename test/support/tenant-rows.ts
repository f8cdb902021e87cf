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
    // One statement for all tables: hundreds of looks at them are most of the time of some tests.
    const kept = tables.filter(({ name }) => !IGNORED_TABLES.includes(name));
    const parts = kept.map(
      ({ name }) => `select ${client.escapeLiteral(name)} as name,
        (select coalesce(json_agg(to_jsonb(t)), '[]') from ${client.escapeIdentifier(name)} t
         where tenant_id = $1) as rows`,
    );
    const { rows } = await client.query<{ name: string; rows: Record<string, unknown>[] }>(
      parts.join(" union all "),
      [tenantId],
    );
    const found = Object.fromEntries(rows.map((one) => [one.name, one.rows.map(digest).sort()]));
    return found;
  } finally {
    await client.end();
  }
}

function digest(row: Record<string, unknown>): string {
  const kept = Object.entries(row).filter(([column]) => !IGNORED_COLUMNS.includes(column));
  return createHash("sha256").update(JSON.stringify(kept)).digest("hex").slice(0, 16);
}
