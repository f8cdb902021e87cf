import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type BlobStore, openBlobStore } from "../../src/blobs/index.ts";

const ROOM = path.resolve(import.meta.dirname, "../../src/blobs/index.ts");

/** Only root may, and not in every container. */
const mayMount = (() => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-mount-"));
  const isMounted = spawnSync("mount", ["-t", "tmpfs", "none", folder]).status === 0;
  if (isMounted) spawnSync("umount", [folder]);
  fs.rmdirSync(folder);
  return isMounted;
})();

describe("blob store", () => {
  let directory: string;
  let blobs: BlobStore;

  beforeEach(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-blobs-"));
    blobs = openBlobStore({ directory });
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  it("keeps content under its hash, also across a restart", async () => {
    const content = randomBytes(100_000);
    const stat = await blobs.put(chunks(content, 7_000), { maxBytes: 100_000 });
    expect(stat).toEqual({ sha256: sha256(content), sizeBytes: 100_000 });
    const reopened = openBlobStore({ directory });
    expect((await read(reopened, stat.sha256)).equals(content)).toBe(true);
    expect(fs.readFileSync(await reopened.localPath(stat.sha256)).equals(content)).toBe(true);
    expect(await reopened.stat(stat.sha256)).toEqual(stat);
  });

  it.skipIf(!mayMount)(
    "ends a tenant's place where a disk of its own is mounted there",
    async () => {
      const folder = path.join(directory, "tenants", "acme");
      fs.mkdirSync(folder, { recursive: true });
      expect(spawnSync("mount", ["-t", "tmpfs", "none", folder]).status).toBe(0);
      try {
        const own = blobs.own("acme");
        fs.mkdirSync(path.join(folder, "lost+found"));
        await own.put(chunks(randomBytes(100), 100), { maxBytes: 100 });
        await own.drop();
        expect(fs.readdirSync(folder)).toEqual(["lost+found"]);
        fs.rmdirSync(path.join(folder, "lost+found"));
        fs.writeFileSync(await own.temporaryPath(), "on its way");
        await own.drop();
        await own.drop();
        expect(fs.readdirSync(folder)).toEqual([]);
      } finally {
        spawnSync("umount", [folder]);
      }
      await blobs.own("acme").drop();
      expect(fs.existsSync(folder)).toBe(false);
    },
  );

  it("takes the same content twice, at once, and empty content", async () => {
    const content = randomBytes(50_000);
    const puts = [1, 2, 3].map(() => blobs.put(chunks(content, 999), { maxBytes: 50_000 }));
    const stats = await Promise.all(puts);
    expect(new Set(stats.map((stat) => stat.sha256))).toEqual(new Set([sha256(content)]));
    const empty = await blobs.put(chunks(Buffer.alloc(0), 1), { maxBytes: 1 });
    expect((await read(blobs, empty.sha256)).length).toBe(0);
  });

  it("gives any range of bytes, and refuses one outside", async () => {
    const content = randomBytes(10_000);
    const { sha256: hash } = await blobs.put(chunks(content, 10_000), { maxBytes: 10_000 });
    const middle = await read(blobs, hash, { start: 500, end: 999 });
    expect(middle.equals(content.subarray(500, 1000))).toBe(true);
    expect((await read(blobs, hash, { start: 9_999, end: 9_999 })).length).toBe(1);
    for (const range of [
      { start: 0, end: 10_000 },
      { start: 5, end: 4 },
      { start: -1, end: 4 },
    ]) {
      await expect(blobs.open(hash, range)).rejects.toMatchObject({
        code: "range-not-satisfiable",
      });
    }
  });

  it("refuses content that is too large or has another hash, and leaves nothing behind", async () => {
    const content = randomBytes(5_000);
    const tooLarge = blobs.put(chunks(content, 100), { maxBytes: 4_999 });
    await expect(tooLarge).rejects.toMatchObject({ code: "payload-too-large" });
    const other = blobs.put(chunks(content, 100), {
      maxBytes: 5_000,
      expectedSha256: "0".repeat(64),
    });
    await expect(other).rejects.toMatchObject({ code: "image-mismatch" });
    const broken = (async function* () {
      yield content;
      throw new Error("upload aborted");
    })();
    await expect(blobs.put(broken, { maxBytes: 10_000 })).rejects.toThrow("upload aborted");
    expect(await blobs.has(sha256(content))).toBe(false);
    expect(allFiles(directory)).toEqual([]);
  });

  it("knows nothing by names that are no hashes", async () => {
    for (const name of ["../../etc/passwd", "", "ABC", "f".repeat(63)]) {
      expect(await blobs.has(name)).toBe(false);
      await expect(blobs.open(name)).rejects.toMatchObject({ code: "not-found" });
    }
    await expect(blobs.open("f".repeat(64))).rejects.toMatchObject({ code: "not-found" });
  });

  it("loses only the unfinished blob when its process is killed in the middle of a write", async () => {
    const done = await blobs.put(chunks(randomBytes(1_000), 100), { maxBytes: 1_000 });
    const script = `
      const { openBlobStore } = await import(${JSON.stringify(pathToFileURL(ROOM).href)});
      const store = openBlobStore({ directory: ${JSON.stringify(directory)} });
      await store.put((async function* () {
        for (;;) { yield Buffer.alloc(4096, 7); process.stdout.write("."); }
      })(), { maxBytes: 1e12 });`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script]);
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
    expect(allFiles(directory).length).toBe(2);
    const reopened = openBlobStore({ directory });
    expect(allFiles(directory)).toEqual([await reopened.localPath(done.sha256)]);
    expect(await reopened.has(done.sha256)).toBe(true);
  });

  it("refuse what the disk has no room for, and leave nothing half", async () => {
    const store = path.resolve(import.meta.dirname, "../../src/blobs/index.ts");
    // No file may grow beyond 64 KiB: the kernel answers as a full disk does.
    const script = `
      import { Readable } from "node:stream";
      import { openBlobStore } from ${JSON.stringify(store)};
      const blobs = openBlobStore({ directory: ${JSON.stringify(directory)} });
      const code = (error) => error.code;
      const content = () => Readable.from([Buffer.alloc(50_000), Buffer.alloc(50_000)]);
      const put = await blobs.put(content(), { maxBytes: 1e6 }).catch(code);
      const writer = await blobs.staging.writer("01990000-0000-7000-8000-00000000000c", 0, null);
      await writer.write(Buffer.alloc(60_000));
      const append = await writer.write(Buffer.alloc(60_000)).catch(code);
      await writer.close();
      const huge = await blobs.staging.assertRoom(2 ** 60).catch(code);
      console.log(JSON.stringify([put, append, huge]));`;
    const limited = `trap '' XFSZ; ulimit -f 64; exec "$0" --input-type=module`;
    const { stdout, stderr } = spawnSync("bash", ["-c", limited, process.execPath], {
      input: script,
      encoding: "utf8",
    });
    expect(stdout, stderr).toBe('["storage-full","storage-full","storage-full"]\n');
    expect(fs.readdirSync(path.join(directory, "incoming"))).toEqual([]);
  });
});

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += size) {
    yield bytes.subarray(offset, offset + size);
  }
}

async function read(
  blobs: BlobStore,
  hash: string,
  range?: { start: number; end: number },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of await blobs.open(hash, range)) parts.push(chunk);
  return Buffer.concat(parts);
}

function allFiles(directory: string): string[] {
  return fs
    .readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
