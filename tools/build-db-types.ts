// Writes src/db/schema.ts from the migrations: applies them to an empty PostgreSQL and reads the
// catalogue. `--check` only says whether the committed file is the one that would be written.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import pg from "pg";
import { prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";

const FILE = path.resolve(import.meta.dirname, "../src/db/schema.ts");

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-types-"));
const server = await startPostgres({ directory, skipSync: true, settings: { fsync: "off" } });
try {
  const { ownerUrl } = await prepareEmbeddedDatabase(server);
  const text = await schemaOf(ownerUrl);
  if (!process.argv.includes("--check")) fs.writeFileSync(FILE, text);
  else if (fs.readFileSync(FILE, "utf8") !== text) {
    console.error("src/db/schema.ts does not match the migrations: run tools/build-db-types.ts");
    process.exitCode = 1;
  }
} finally {
  await server.stop();
  fs.rmSync(directory, { recursive: true });
}

async function schemaOf(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const columns = await client.query(`
    select table_name, column_name, data_type, udt_name, is_nullable = 'YES' as nullable,
           column_default is not null or is_identity = 'YES' as generated
    from information_schema.columns
    where table_schema = 'public' and table_name <> 'vautn_migrations'
    order by table_name, ordinal_position`);
  const checks = await client.query(`
    select conrelid::regclass::text as table_name, pg_get_constraintdef(oid) as definition
    from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace`);
  await client.end();

  const unions = new Map<string, string>();
  for (const { table_name, definition } of checks.rows) {
    const match = /^CHECK \(\((\w+) = ANY \(ARRAY\[(.*)\]\)\)\)$/.exec(definition);
    if (!match) continue;
    const values = [...(match[2] as string).matchAll(/'([^']*)'::text/g)].map(
      ([, value]) => `"${value}"`,
    );
    unions.set(`${table_name}.${match[1]}`, values.join(" | "));
  }
  const tables = new Map<string, string[]>();
  for (const row of columns.rows) {
    const base =
      unions.get(`${row.table_name}.${row.column_name}`) ?? typeOf(row.data_type, row.udt_name);
    const lines = tables.get(row.table_name) ?? [];
    lines.push(`  ${row.column_name}: ${columnType(base, row.nullable, row.generated)};`);
    tables.set(row.table_name, lines);
  }
  const pascal = (name: string) =>
    name.replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
  const text = `// Written by tools/build-db-types.ts from migrations/. Do not edit.
import type { ColumnType, Generated } from "kysely";

// biome-ignore lint/suspicious/noExplicitAny: the shape is the owning module's
type AnyJson = any;
/** JSON as the driver returns it; give arrays to it as text, objects as they are. */
export type Json = ColumnType<AnyJson, object | string, object | string>;
export type OptionalJson = ColumnType<AnyJson, object | string | null | undefined, object | string | null>;

${[...tables].map(([name, lines]) => `export interface ${pascal(name)}Table {\n${lines.join("\n")}\n}`).join("\n\n")}

export interface Schema {
${[...tables.keys()].map((name) => `  ${name}: ${pascal(name)}Table;`).join("\n")}
}
`;
  const unformatted = path.join(directory, "schema.ts");
  fs.writeFileSync(unformatted, text);
  const biome = path.resolve(import.meta.dirname, "../node_modules/@biomejs/biome/bin/biome");
  return execFileSync(process.execPath, [biome, "format", `--stdin-file-path=${FILE}`], {
    input: text,
    encoding: "utf8",
  });
}

function columnType(base: string, nullable: boolean, generated: boolean): string {
  if (base === "Json") return nullable || generated ? "OptionalJson" : "Json";
  const type = nullable ? `${base} | null` : base;
  return generated ? `Generated<${type}>` : type;
}

function typeOf(dataType: string, udtName: string): string {
  const arrays: Record<string, string> = { _text: "string[]", _int4: "number[]" };
  if (dataType === "ARRAY") return arrays[udtName] ?? "unknown[]";
  const types: Record<string, string> = {
    text: "string",
    uuid: "string",
    smallint: "number",
    integer: "number",
    bigint: "number",
    real: "number",
    "double precision": "number",
    boolean: "boolean",
    json: "Json",
    jsonb: "Json",
    bytea: "Buffer",
    // A transaction's number: text to the driver.
    xid8: "string",
    "timestamp with time zone": "Date",
  };
  const type = types[dataType];
  if (!type) throw new Error(`no TypeScript type for ${dataType}`);
  return type;
}
