import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { ClickHouseClient } from "@clickhouse/client";
import { tokenizeSql } from "./sql-tokens.ts";

const DIRECTORY = path.resolve(import.meta.dirname, "../../migrations/clickhouse");

/**
 * Applies the migrations that the database lacks, in the order of their names. Their statements bear
 * being run twice (`if not exists`): two processes may migrate at once, and one may be killed.
 */
export async function migrateTimeseries(client: ClickHouseClient): Promise<string[]> {
  await client.command({
    query: `CREATE TABLE IF NOT EXISTS vautn_migrations (name String, sha256 String,
      applied_at DateTime64(3, 'UTC') default now64(3, 'UTC'))
      ENGINE = ReplacingMergeTree ORDER BY name`,
  });
  const answer = await client.query({
    query: "SELECT name, sha256 FROM vautn_migrations FINAL",
    format: "JSONEachRow",
  });
  const rows = await answer.json<{ name: string; sha256: string }>();
  const applied = new Map(rows.map((row) => [row.name, row.sha256]));
  const added: string[] = [];
  const files = fs.readdirSync(DIRECTORY).filter((file) => file.endsWith(".sql"));
  for (const name of files.sort()) {
    const text = fs.readFileSync(path.join(DIRECTORY, name), "utf8");
    const sha256 = createHash("sha256").update(text).digest("hex");
    if (applied.get(name) === sha256) continue;
    if (applied.has(name)) throw new Error(`migration ${name} was changed after it was applied`);
    for (const query of splitStatements(text)) await client.command({ query });
    await client.insert({
      table: "vautn_migrations",
      columns: ["name", "sha256"],
      values: [{ name, sha256 }],
      format: "JSONEachRow",
    });
    added.push(name);
  }
  return added;
}

/** The statements of a file, each ended by a semicolon. */
function splitStatements(text: string): string[] {
  const ends = (tokenizeSql(text) ?? []).filter(
    (token) => token.kind === "symbol" && token.text === ";",
  );
  let start = 0;
  return ends.map((end) => {
    const statement = text.slice(start, end.start);
    start = end.start + 1;
    return statement;
  });
}
