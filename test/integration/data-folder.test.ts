import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import pg from "pg";
import { afterAll, describe, expect, it } from "vitest";
import { startPostgres } from "../../src/db/index.ts";
import { lockDataDirectory } from "../../src/platform/data-lock.ts";

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-test-"));
afterAll(() => fs.rmSync(directory, { recursive: true, force: true }));

/** Runs `code` as a module in a process of its own; resolves once it has printed a line. */
async function startProcess(code: string) {
  const child = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(child.stdout, "data");
  return { child, line: String(line).trim() };
}

describe("the data folder", () => {
  const lockModule = path.resolve(import.meta.dirname, "../../src/platform/data-lock.ts");
  const takeLock = `
    const { lockDataDirectory } = await import(${JSON.stringify(lockModule)});
    await lockDataDirectory(${JSON.stringify(directory)});
    console.log("locked");
    setInterval(() => {}, 1000);`;

  it("is not taken by two processes at once", async () => {
    const { child } = await startProcess(takeLock);
    await expect(lockDataDirectory(directory)).rejects.toThrow(/in use by another vautn/);
    child.kill("SIGKILL");
    await once(child, "exit");
  });

  it("is free at once after its process was killed", async () => {
    const { child } = await startProcess(takeLock);
    child.kill("SIGKILL");
    await once(child, "exit");
    const lock = await lockDataDirectory(directory);
    await lock.release();
  });
});

describe("the embedded PostgreSQL", () => {
  it("keeps what was committed when its parent is killed, and starts again on the same folder", async () => {
    const place = path.join(directory, "postgres");
    const serverModule = path.resolve(import.meta.dirname, "../../src/db/index.ts");
    const { child, line } = await startProcess(`
      const { startPostgres } = await import(${JSON.stringify(serverModule)});
      const server = await startPostgres({ directory: ${JSON.stringify(place)}, skipSync: true });
      console.log(server.superuserUrl);
      setInterval(() => {}, 1000);`);
    const before = new pg.Client({ connectionString: line });
    // The server is stopped below while this connection is open.
    before.on("error", () => {});
    await before.connect();
    await before.query("create table kept (value int); insert into kept values (42)");
    child.kill("SIGKILL");
    await once(child, "exit");

    const server = await startPostgres({ directory: place });
    const after = new pg.Client({ connectionString: server.superuserUrl });
    await after.connect();
    expect((await after.query("select value from kept")).rows).toEqual([{ value: 42 }]);
    await after.end();
    await before.end().catch(() => {});
    await server.stop();
  });
});
