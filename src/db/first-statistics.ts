import type pg from "pg";

const FIRST_VERSION_THAT_TAKES_THEM = 180_000;

/**
 * Tells the planner of each table whose rows nobody has counted yet that they may all be one
 * tenant's. Without that it takes a tenant, who stands in the condition of every statement, for one
 * with a single row: until the first ANALYZE, a minute later, statements that look up a batch by its
 * ids read all rows of the tenant for each of them. What ANALYZE finds takes the place of this. A
 * server that takes no statistics does without them.
 */
export async function giveFirstStatistics(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: number }>(
    "select current_setting('server_version_num')::int as version",
  );
  if ((rows[0]?.version ?? 0) < FIRST_VERSION_THAT_TAKES_THEM) return;
  await client.query(`
    select pg_restore_attribute_stats(
      'schemaname', n.nspname::text, 'relname', c.relname::text,
      'attname', a.attname::text, 'inherited', false,
      'version', current_setting('server_version_num')::int,
      'null_frac', 0::real, 'avg_width', 8, 'n_distinct', 1::real)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
    where n.nspname = current_schema() and c.relkind = 'r' and c.relrowsecurity
      and pg_has_role(c.relowner, 'member')
      -- Neither analyzed nor vacuumed; the statistics themselves hide from who is under policies.
      and c.reltuples < 0`);
}
