import type { ClickHouseClient } from "@clickhouse/client";
import { assert } from "../kernel/index.ts";
import { isTenantId } from "../protocol/index.ts";
import { readRows } from "./read-rows.ts";
import { TENANT_TABLES } from "./readable.ts";

/** What rows of a tenant that is kept apart have as their class. No class of all others is so named. */
const OWN = "tenant/";

/**
 * Says whose rows lie in partitions of their own from now on. An INSERT names no class: the engine
 * gives it by the column's default, so that every writer, old or new, puts a row where it belongs.
 */
export async function keepApart(
  client: ClickHouseClient,
  tenantIds: readonly string[],
): Promise<void> {
  assert(tenantIds.every(isTenantId), "classes are named after tenants");
  const wanted = [...tenantIds].sort();
  const names = wanted.map((id) => `'${id}'`).join(", ");
  const expression =
    wanted.length === 0
      ? "'shared'"
      : `if(tenant_id in (${names}), concat('${OWN}', tenant_id), 'shared')`;
  for (const { table, known } of await currentDefaults(client)) {
    if (known.join() === wanted.join()) continue;
    await client.command({
      query: `ALTER TABLE ${table} MODIFY COLUMN storage_class DEFAULT ${expression}`,
    });
  }
}

/** Whose rows the table of points keeps apart. */
export async function keptApart(client: ClickHouseClient): Promise<string[]> {
  const defaults = await currentDefaults(client);
  return defaults.find(({ table }) => table === "telemetry")?.known ?? [];
}

async function currentDefaults(
  client: ClickHouseClient,
): Promise<{ table: string; known: string[] }[]> {
  const rows = await readRows<{ table: string; expression: string }>(
    client,
    `SELECT table, default_expression AS expression FROM system.columns
      WHERE database = currentDatabase() AND name = 'storage_class'
        AND table IN ({tables:Array(String)})`,
    { tables: TENANT_TABLES },
  );
  return rows.map(({ table, expression }) => {
    // Of `if((tenant_id IN ('acme', 'zeta')), …` what stands in the list.
    const list = /\bin \(?([^)]*)\)/i.exec(expression)?.[1] ?? "";
    const known = [...list.matchAll(/'([^']*)'/g)].map(([, id = ""]) => id);
    return { table, known: known.sort() };
  });
}

export interface OwnPartition {
  table: string;
  id: string;
}

/** Partitions that hold rows of this tenant and of nobody else. */
export async function ownPartitions(
  client: ClickHouseClient,
  tenantId: string,
): Promise<OwnPartition[]> {
  assert(isTenantId(tenantId), "a partition is a tenant's");
  return readRows<OwnPartition>(
    client,
    `SELECT DISTINCT table, partition_id AS id FROM system.parts
      WHERE active AND database = currentDatabase() AND table IN ({tables:Array(String)})
        AND startsWith(partition, {own:String})`,
    { tables: TENANT_TABLES, own: partitionPrefix(tenantId) },
  );
}

/** The class of a tenant that is kept apart. */
export function ownClass(tenantId: string): string {
  return `${OWN}${tenantId}`;
}

/** How the names of these partitions begin. */
export function partitionPrefix(tenantId: string): string {
  return `('${OWN}${tenantId}',`;
}

/** Removes them as a whole: their parts are gone at once, nothing is rewritten. */
export async function dropOwnPartitions(client: ClickHouseClient, tenantId: string): Promise<void> {
  for (const { table, id } of await ownPartitions(client, tenantId)) {
    assert(/^[\w-]+$/.test(id), "the engine names partitions plainly");
    await client.command({ query: `ALTER TABLE ${table} DROP PARTITION ID '${id}'` });
  }
}
