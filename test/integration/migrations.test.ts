import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MIGRATIONS_DIRECTORY, migrate } from "../../src/db/migrate.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

describe("migrations of the database", () => {
  let test: TestDatabase;
  let directory: string;
  const last = fs
    .readdirSync(MIGRATIONS_DIRECTORY)
    .filter((name) => name.endsWith(".sql"))
    .sort()
    .at(-1);

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-migrations-"));
    fs.cpSync(MIGRATIONS_DIRECTORY, directory, { recursive: true });
  });
  afterAll(async () => {
    fs.rmSync(directory, { recursive: true, force: true });
    await test.close();
  });

  it("are applied once", async () => {
    expect(await migrate(test.ownerUrl)).toEqual([]);
  });

  it("that an older program does not know make it refuse to start", async () => {
    fs.rmSync(path.join(directory, last as string));
    await expect(migrate(test.ownerUrl, directory)).rejects.toThrow(
      `the database is of a newer Vautn (it has ${last})`,
    );
  });

  it("that were changed since are refused", async () => {
    fs.writeFileSync(path.join(directory, last as string), "select 1;");
    await expect(migrate(test.ownerUrl, directory)).rejects.toThrow(
      `migration ${last} was changed after it had been applied`,
    );
  });
});
