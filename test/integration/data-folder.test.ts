import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import pg from "pg";
import { afterAll, describe, expect, it } from "vitest";
import { startPostgres } from "../../src/db/index.ts";
import { readConfig } from "../../src/kernel/config.ts";
import { lockDataDirectory } from "../../src/platform/data-lock.ts";
import { startStores } from "../../src/platform/stores.ts";
import { silentLogger } from "../support/timeseries.ts";

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
  const place = path.join(directory, "postgres");

  it("keeps what was committed when its parent is killed, and starts again on the same folder", async () => {
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

  it.skipIf(process.platform !== "linux")(
    "starts where the one that was killed is dead, but its number not free",
    async () => {
      // A program in the place of the shell, which takes no note of what that has started.
      const { uid } = fs.statSync(path.join(place, "cluster"));
      const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 60"], { uid, cwd: "/" });
      const pid = Number(String((await once(parent.stdout, "data"))[0]));
      const state = () => / ([A-Z]) /.exec(fs.readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1];
      await expect.poll(state, { timeout: 20_000 }).toBe("Z");
      fs.writeFileSync(path.join(place, "cluster/postmaster.pid"), `${pid}\n`);
      const server = await startPostgres({ directory: place });
      await server.stop();
      parent.kill();
      await once(parent, "exit");
    },
  );
});

/** Processes that this one has started and that have not ended. */
function children(): string[] {
  const tasks = fs.readdirSync("/proc/self/task");
  const lists = tasks.map((task) => fs.readFileSync(`/proc/self/task/${task}/children`, "utf8"));
  return lists.flatMap((list) => list.split(" ").filter(Boolean));
}

describe.skipIf(process.platform !== "linux")("a store that does not start", () => {
  it("is named, and leaves the other one stopped", async () => {
    const place = path.join(directory, "damaged");
    fs.mkdirSync(path.join(place, "postgres/cluster"), { recursive: true });
    fs.writeFileSync(path.join(place, "postgres/superuser-password"), "secret");
    fs.writeFileSync(path.join(place, "postgres/cluster/PG_VERSION"), "18");
    const before = children();
    const config = readConfig({ VAUTN_DATA: place });
    await expect(startStores(config, silentLogger)).rejects.toThrow(/PostgreSQL ended with status/);
    expect(children()).toEqual(before);
  });
});
