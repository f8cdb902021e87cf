import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { prepareEmbeddedDatabase, startPostgres } from "../../src/db/index.ts";

declare module "vitest" {
  interface ProvidedContext {
    postgres: { superuserUrl: string; appUrl: string; ownerUrl: string; template: string };
  }
}

/**
 * One PostgreSQL for the whole run, with a migrated template database: each test file that needs a
 * database copies it (see database.ts), which takes a fraction of a second.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-test-"));
  const server = await startPostgres({
    directory,
    skipSync: true,
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off" },
  });
  const template = "vautn_template";
  const { appUrl, ownerUrl } = await prepareEmbeddedDatabase(server, template);
  const client = new pg.Client({ connectionString: server.superuserUrl });
  await client.connect();
  await client.query(`alter database ${template} with is_template true allow_connections false`);
  await client.end();
  project.provide("postgres", {
    superuserUrl: server.superuserUrl,
    appUrl,
    ownerUrl,
    template,
  });
  return async () => {
    await server.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  };
}
