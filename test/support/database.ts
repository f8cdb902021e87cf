import pg from "pg";
import { inject } from "vitest";
import { Database } from "../../src/db/index.ts";

let copies = 0;

export interface TestDatabase {
  db: Database;
  /** Login `vautn_app`, which owns nothing. */
  appUrl: string;
  /** Login `vautn_owner`. */
  ownerUrl: string;
  superuserUrl: string;
  close(): Promise<void>;
}

/** A fresh copy of the migrated template database; real PostgreSQL, real row-level security. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { superuserUrl, appUrl, ownerUrl, template } = inject("postgres");
  const name = `test_${process.pid}_${copies++}`;
  await asSuperuser(superuserUrl, `create database ${name} template ${template} owner vautn_owner`);
  const copy = (url: string) => url.replace(/\/[^/]*$/, `/${name}`);
  const db = new Database({ url: copy(appUrl), maxConnections: 10 });
  return {
    db,
    appUrl: copy(appUrl),
    ownerUrl: copy(ownerUrl),
    superuserUrl: copy(superuserUrl),
    async close() {
      await db.close();
      await asSuperuser(superuserUrl, `drop database ${name} with (force)`);
    },
  };
}

async function asSuperuser(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
