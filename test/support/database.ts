import pg from "pg";
import { inject } from "vitest";
import { Database } from "../../src/db/index.ts";

/** How long the server may take to notice that a connection was closed. */
const LEAK_GRACE_MS = 3_000;

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
  await asSuperuser(
    superuserUrl,
    `create database ${name} template ${template} owner vautn_owner strategy file_copy`,
  );
  const copy = (url: string) => url.replace(/\/[^/]*$/, `/${name}`);
  const db = new Database({ url: copy(appUrl), maxConnections: 10 });
  return {
    db,
    appUrl: copy(appUrl),
    ownerUrl: copy(ownerUrl),
    superuserUrl: copy(superuserUrl),
    async close() {
      await db.close();
      const leaked = await openConnections(superuserUrl, name);
      await asSuperuser(superuserUrl, `drop database ${name} with (force)`);
      if (leaked.length > 0) {
        throw new Error(`connections to the database were left open:\n${leaked.join("\n")}`);
      }
    },
  };
}

/** The last statement of each connection that is still there after a moment's grace. */
async function openConnections(superuserUrl: string, name: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    for (const deadline = Date.now() + LEAK_GRACE_MS; ; ) {
      const { rows } = await client.query<{ said: string }>(
        "select usename || ': ' || query as said from pg_stat_activity where datname = $1",
        [name],
      );
      if (rows.length === 0 || Date.now() > deadline) return rows.map(({ said }) => said);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } finally {
    await client.end();
  }
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
