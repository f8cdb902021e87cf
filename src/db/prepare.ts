import pg from "pg";
import { randomSecret } from "../kernel/index.ts";
import { migrate } from "./migrate.ts";
import type { PostgresServer } from "./postgres-server.ts";

const OWNER = "vautn_owner";
const APP = "vautn_app";

export interface DatabaseUrls {
  /** Owns the schema; used for migrations and the job queue's own tables. */
  ownerUrl: string;
  /** Owns nothing; everything else goes through it. */
  appUrl: string;
  /** Whether `appUrl` logs in as another role and has to become `vautn_app`. */
  becomeAppRole: boolean;
}

/** Roles, database and schema on the embedded server; the passwords are made anew at each start. */
export async function prepareEmbeddedDatabase(
  server: PostgresServer,
  database = "vautn",
): Promise<DatabaseUrls> {
  const client = new pg.Client({ connectionString: server.superuserUrl });
  // One for each role: who learns the application's is neither the owner nor the superuser by it.
  const passwords: Record<string, string> = { [OWNER]: randomSecret(), [APP]: randomSecret() };
  const urlOf = (role: string) => server.url(role, passwords[role] ?? "", database);
  await client.connect();
  try {
    for (const [role, password] of Object.entries(passwords)) {
      await client.query(`do $$ begin
        if not exists (select from pg_roles where rolname = '${role}') then
          create role ${role} login nosuperuser nocreatedb nocreaterole nobypassrls;
        end if; end $$`);
      await client.query(`alter role ${role} password ${client.escapeLiteral(password)}`);
    }
    const { rowCount } = await client.query("select from pg_database where datname = $1", [
      database,
    ]);
    if (rowCount === 0) {
      await client.query(`create database ${client.escapeIdentifier(database)} owner ${OWNER}`);
    }
  } finally {
    await client.end();
  }
  const ownerUrl = urlOf(OWNER);
  await migrate(ownerUrl);
  return { ownerUrl, appUrl: urlOf(APP), becomeAppRole: false };
}

/** The same on a PostgreSQL of the operator's, with the login that DATABASE_URL names. */
export async function prepareExternalDatabase(ownerUrl: string): Promise<DatabaseUrls> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    await client.query(`do $$ begin
      if not exists (select from pg_roles where rolname = '${APP}') then
        create role ${APP} nologin nosuperuser nocreatedb nocreaterole nobypassrls;
      end if; end $$`);
    await client.query(`grant ${APP} to current_user`);
  } finally {
    await client.end();
  }
  await migrate(ownerUrl);
  return { ownerUrl, appUrl: ownerUrl, becomeAppRole: true };
}
