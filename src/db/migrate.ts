import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import pg from "pg";
import { giveFirstStatistics } from "./first-statistics.ts";

export const MIGRATIONS_DIRECTORY = path.resolve(import.meta.dirname, "../../migrations");

/** Any number; the same for every process that migrates. */
const ADVISORY_LOCK = 7_246_530_188;

/**
 * Applies the migrations that the database lacks, in the order of their names, each in a
 * transaction, one process at a time. A migration that was changed after it ran, or that is not known
 * here, is an error.
 */
export async function migrate(
  ownerUrl: string,
  directory = MIGRATIONS_DIRECTORY,
): Promise<string[]> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [ADVISORY_LOCK]);
    await client.query(`create table if not exists vautn_migrations (
      name text primary key, sha256 text not null, applied_at timestamptz not null default now())`);
    const { rows } = await client.query("select name, sha256 from vautn_migrations");
    const applied = new Map<string, string>(rows.map((row) => [row.name, row.sha256]));
    const added: string[] = [];
    const names = fs.readdirSync(directory).filter((file) => file.endsWith(".sql"));
    const unknown = [...applied.keys()].find((name) => !names.includes(name));
    if (unknown) {
      throw new Error(
        `the database is of a newer Vautn (it has ${unknown}): install that one, or put a backup back`,
      );
    }
    for (const name of names.sort()) {
      const text = fs.readFileSync(path.join(directory, name), "utf8");
      const sha256 = createHash("sha256").update(text).digest("hex");
      const earlier = applied.get(name);
      if (earlier === sha256) continue;
      if (earlier) throw new Error(`migration ${name} was changed after it had been applied`);
      await apply(client, name, text, sha256);
      added.push(name);
    }
    await giveFirstStatistics(client);
    return added;
  } finally {
    await client.end();
  }
}

async function apply(client: pg.Client, name: string, text: string, sha256: string): Promise<void> {
  try {
    await client.query("begin");
    await client.query(text);
    await client.query("insert into vautn_migrations (name, sha256) values ($1, $2)", [
      name,
      sha256,
    ]);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw new Error(`migration ${name} failed: ${(error as Error).message}`, { cause: error });
  }
}
