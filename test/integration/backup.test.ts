import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type PostgresServer, startPostgres } from "../../src/db/index.ts";
import { lockDataDirectory } from "../../src/platform/data-lock.ts";
import { backUp, restoreBackup } from "../../src/platform/index.ts";

describe("a backup of the data folder", () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-backup-"));
  const at = (name: string) => path.join(root, name);
  const key = randomBytes(32).toString("hex");
  const servers: PostgresServer[] = [];

  const start = async (directory: string) => {
    const server = await startPostgres({
      directory: path.join(directory, "postgres"),
      skipSync: true,
    });
    servers.push(server);
    return server;
  };
  const ask = async (server: PostgresServer, sql: string) => {
    const client = new pg.Client({ connectionString: server.superuserUrl });
    client.on("error", () => {}); // The server is ended below it.
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const take = (name: string, withKey = false, data = "data") =>
    backUp({ dataDirectory: at(data), target: at(name), version: "1.0.0", withKey });
  /** A data folder of a few files: a server's own take their time, each forced to the disk. */
  const small = (name: string) => {
    fs.mkdirSync(at(`${name}/postgres/cluster`), { recursive: true });
    fs.writeFileSync(at(`${name}/postgres/cluster/PG_VERSION`), "18\n");
    fs.writeFileSync(at(`${name}/master.key`), `${key}\n`, { mode: 0o600 });
  };

  beforeAll(async () => {
    // Others pass through the temporary folder, for PostgreSQL runs as somebody else.
    fs.chmodSync(root, 0o711);
    const server = await start(at("data"));
    await ask(server, "create table pumps as select 'pump-1' as id");
    fs.writeFileSync(at("data/master.key"), `${key}\n`, { mode: 0o600 });
    fs.mkdirSync(at("data/blobs/ab"), { recursive: true });
    fs.writeFileSync(at("data/blobs/ab/image"), randomBytes(300_000));
    fs.mkdirSync(at("data/clickhouse/store/metadata"), { recursive: true });
    fs.symlinkSync("../../blobs", at("data/clickhouse/store/metadata/vautn"));
  });
  afterAll(async () => {
    for (const server of servers) await server.stop();
    fs.rmSync(root, { recursive: true, force: true });
  });

  it("is refused while a platform runs there, and where it would lie in the folder itself", async () => {
    const lock = await lockDataDirectory(at("data"));
    await expect(take("while-running")).rejects.toMatchObject({ code: "conflict" });
    await lock.release();
    await expect(take("data/inside")).rejects.toMatchObject({ code: "conflict" });
    const nothing = { dataDirectory: at("nowhere"), target: at("x"), version: "1", withKey: false };
    await expect(backUp(nothing)).rejects.toMatchObject({ code: "not-found" });
    expect(fs.readdirSync(root)).toEqual(["data"]);
  });

  it("stops a server that a killed platform left behind, and comes back with its rows", async () => {
    const contents = await take("taken");
    expect(contents).toMatchObject({ hasKey: false, links: [{ target: "../../blobs" }] });
    await expect(take("taken")).rejects.toMatchObject({ code: "already-exists" });
    expect(fs.existsSync(at("taken/data/master.key"))).toBe(false);

    const back = { source: at("taken"), dataDirectory: at("back") };
    await expect(restoreBackup(back)).rejects.toMatchObject({ code: "invalid-content" });
    const wrong = { ...back, masterKey: randomBytes(32).toString("hex") };
    await expect(restoreBackup(wrong)).rejects.toMatchObject({ code: "invalid-content" });
    expect(fs.existsSync(at("back"))).toBe(false);
    await restoreBackup({ ...back, masterKey: key });
    expect(fs.readFileSync(at("back/master.key"), "utf8")).toBe(`${key}\n`);
    expect(fs.readFileSync(at("back/blobs/ab/image"))).toEqual(
      fs.readFileSync(at("data/blobs/ab/image")),
    );
    const server = await start(at("back"));
    expect(await ask(server, "select id from pumps")).toEqual([{ id: "pump-1" }]);
    const again = restoreBackup({ ...back, masterKey: key });
    await expect(again).rejects.toMatchObject({ code: "already-exists" });
  });

  it("holds the key where that is asked for", async () => {
    expect(await take("with-key", true)).toMatchObject({ hasKey: true });
    await restoreBackup({ source: at("with-key"), dataDirectory: at("with-key-back") });
    expect(fs.readFileSync(at("with-key-back/master.key"), "utf8")).toBe(`${key}\n`);
  });

  it("is refused when it is damaged, and leaves no data folder then", async () => {
    await take("damaged", true);
    const image = at("damaged/data/blobs/ab/image");
    const bytes = fs.readFileSync(image);
    bytes.writeUInt8((bytes.readUInt8(7) ^ 1) & 0xff, 7);
    fs.writeFileSync(image, bytes);
    const damaged = { code: "invalid-content", message: expect.stringContaining("blobs/ab/image") };
    await expect(restoreBackup({ source: at("damaged") })).rejects.toMatchObject(damaged);
    const into = { source: at("damaged"), dataDirectory: at("damaged-back") };
    await expect(restoreBackup(into)).rejects.toMatchObject(damaged);
    expect(fs.existsSync(at("damaged-back"))).toBe(false);
    fs.rmSync(image);
    await expect(restoreBackup({ source: at("damaged") })).rejects.toMatchObject(damaged);
  });

  it("is refused where a link leads out of the folder: what lies there would be missing", async () => {
    small("linking");
    fs.mkdirSync(at("other-disk"));
    fs.symlinkSync(at("other-disk"), at("linking/journal"));
    const refused = { code: "conflict", message: expect.stringContaining("linking/journal") };
    await expect(take("led-out", false, "linking")).rejects.toMatchObject(refused);
    expect(fs.readdirSync(root).filter((name) => name.startsWith("led-out"))).toEqual([]);
  });

  it("removes neither what it copies nor what it is put back from, whatever their names", async () => {
    small("kept.partial");
    fs.symlinkSync(at("kept.partial"), at("elsewhere"));
    const inside = take("elsewhere/inside", true, "kept.partial");
    await expect(inside).rejects.toMatchObject({ code: "conflict" });
    const onto = take("kept", true, "kept.partial");
    await expect(onto).rejects.toMatchObject({ code: "conflict" });
    await take("again.partial", true, "kept.partial");
    const back = restoreBackup({ source: at("again.partial"), dataDirectory: at("again") });
    await expect(back).rejects.toMatchObject({ code: "conflict" });
    const into = restoreBackup({
      source: at("again.partial"),
      dataDirectory: at("again.partial/x"),
    });
    await expect(into).rejects.toMatchObject({ code: "conflict" });
    expect(await restoreBackup({ source: at("again.partial") })).toMatchObject({ hasKey: true });
  });

  it("says before it copies that a folder cannot be replaced, and takes an empty one", async () => {
    small("to-place");
    await take("placed", true, "to-place");
    fs.mkdirSync(at("real"));
    fs.symlinkSync(at("real"), at("linked"));
    const to = (name: string) =>
      restoreBackup({
        source: at("placed"),
        dataDirectory: at(name),
        onProgress: () => (copied += 1),
      });
    let copied = 0;
    await expect(to("linked")).rejects.toMatchObject({ code: "conflict" });
    expect(copied).toBe(0);
    await to("real");
    expect(fs.readdirSync(at("real"))).toContain("postgres");
  });

  it("puts a key that came from the environment into no folder that had none", async () => {
    small("keyless");
    fs.rmSync(at("keyless/master.key"));
    await take("without", false, "keyless");
    const back = (name: string, keys: object) =>
      restoreBackup({ source: at("without"), dataDirectory: at(name), ...keys });
    await back("from-environment", { environmentKey: key });
    expect(fs.existsSync(at("from-environment/master.key"))).toBe(false);
    await back("from-file", { masterKey: key });
    expect(fs.readFileSync(at("from-file/master.key"), "utf8")).toBe(`${key}\n`);
  });

  it("leads to no place outside", async () => {
    await take("crafted", true);
    const file = at("crafted/backup.json");
    const honest = JSON.parse(fs.readFileSync(file, "utf8"));
    const image = honest.files.find((one: { path: string }) => one.path === "blobs/ab/image");
    fs.mkdirSync(at("crafted/data/out"));
    fs.copyFileSync(at("crafted/data/blobs/ab/image"), at("crafted/data/out/dropped"));
    const crafted = [
      { ...honest, files: [{ ...honest.files[0], path: "../outside" }] },
      { ...honest, folders: [{ path: "/etc/vautn", mode: 0o700 }] },
      { ...honest, links: [{ path: "blobs/link", target: "../../outside" }] },
      { ...honest, links: [{ path: "link", target: "/etc" }] },
      // A link that leads in by its letters, and out through another one.
      {
        ...honest,
        links: [
          { path: "blobs/ab/up", target: "../../clickhouse" },
          { path: "out", target: "blobs/ab/up/../.." },
        ],
        files: [{ ...image, path: "out/dropped" }],
      },
      { ...honest, files: [{ ...honest.files[0], path: "blobs/../../dropped" }] },
      { ...honest, files: [{ ...honest.files[0], path: 7 }] },
      { format: honest.format },
      null,
      { ...honest, format: "vautn-backup-9" },
    ];
    for (const contents of crafted) {
      fs.writeFileSync(file, JSON.stringify(contents));
      const refused = restoreBackup({ source: at("crafted"), dataDirectory: at("crafted-back") });
      await expect(refused).rejects.toMatchObject({ code: "invalid-content" });
    }
    expect(fs.existsSync(at("dropped"))).toBe(false);
    fs.writeFileSync(file, "{");
    const torn = restoreBackup({ source: at("crafted") });
    await expect(torn).rejects.toMatchObject({ code: "invalid-content" });
    await expect(restoreBackup({ source: at("data") })).rejects.toMatchObject({
      code: "not-found",
    });
  });
});
