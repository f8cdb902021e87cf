import pg from "pg";
import { randomSecret } from "../kernel/index.ts";
import { migrate } from "./migrate.ts";
import type { PostgresServer } from "./postgres-server.ts";

const OWNER = "vautn_owner";
const APP = "vautn_app";
/** What `vautn_app` becomes for somebody who is confined to groups of devices. */
const CONFINED = "vautn_confined";

/** Made by whoever may make roles; nobody has its rights but by becoming it. */
async function createConfinedRole(client: pg.Client, members: readonly string[]): Promise<void> {
  await client.query(`do $$ begin
    if not exists (select from pg_roles where rolname = '${CONFINED}') then
      create role ${CONFINED} nologin nosuperuser nocreatedb nocreaterole nobypassrls;
    end if; end $$`);
  for (const member of members) {
    await client.query(`grant ${CONFINED} to ${member} with inherit false, set true`);
  }
}

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
    await createConfinedRole(client, [APP]);
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
    await createConfinedRole(client, [APP, "current_user"]);
  } finally {
    await client.end();
  }
  await migrate(ownerUrl);
  return { ownerUrl, appUrl: ownerUrl, becomeAppRole: true };
}
