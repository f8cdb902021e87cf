import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { describeConfig, readConfig, servesApiByTls } from "../../src/kernel/config.ts";
import { AppError, Batcher, seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import { createSealer, equalSecrets, loadMasterKey } from "../../src/kernel/sealing.ts";
import { parseTraceparent } from "../../src/kernel/tracing.ts";
import { TtlCache } from "../../src/kernel/ttl-cache.ts";

describe("a cache of answers", () => {
  const cacheOf = (clock: VirtualClock) =>
    new TtlCache<number>({ clock, ttlMs: 1_000, maxEntries: 10 });

  it("reads once for all who ask meanwhile, and again when the answer is old", async () => {
    const clock = new VirtualClock();
    const cache = cacheOf(clock);
    let reads = 0;
    const read = async () => {
      reads += 1;
      return reads;
    };
    const ask = () => cache.load("key", read);
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1]);
    await clock.advance(999);
    expect(await ask()).toBe(1);
    await clock.advance(1);
    expect(await Promise.all([ask(), ask()])).toEqual([2, 2]);
  });

  it("keeps nothing that was read before it was told to forget, and no failure", async () => {
    const cache = cacheOf(new VirtualClock());
    let release: (value: number) => void = () => {};
    const early = cache.load("key", () => new Promise((resolve) => (release = resolve)));
    cache.clear();
    expect(await cache.load("key", async () => 2)).toBe(2);
    release(1);
    expect(await early).toBe(1);
    expect(cache.get("key")).toBe(2);
    await expect(cache.load("bad", () => Promise.reject(new Error("away")))).rejects.toThrow();
    expect(await cache.load("bad", async () => 3)).toBe(3);
    expect(
      await cache.load(
        "empty",
        async () => 0,
        (value) => value > 0,
      ),
    ).toBe(0);
    expect(cache.get("empty")).toBeUndefined();
  });
});

describe("a batcher", () => {
  const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

  it("settles an item only when its batch has been written", async () => {
    let release: () => void = () => {};
    const written: number[][] = [];
    const batcher = new Batcher<number>({
      maxBatchSize: 2,
      maxDelayMs: 1,
      maxQueuedSize: 10,
      write: (items) => {
        written.push(items);
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    });
    let acknowledged = 0;
    const both = [1, 2].map((item) => batcher.add(item).then(() => (acknowledged += 1)));
    await settle();
    expect([written, acknowledged]).toEqual([[[1, 2]], 0]);
    release();
    await Promise.all(both);
    expect(acknowledged).toBe(2);
  });

  it("passes a failed write on to every item of that batch and goes on", async () => {
    let calls = 0;
    const batcher = new Batcher<number>({
      maxBatchSize: 1,
      maxDelayMs: 1,
      maxQueuedSize: 10,
      async write() {
        calls += 1;
        if (calls === 1) throw new Error("disk full");
      },
    });
    await expect(batcher.add(1)).rejects.toThrow("disk full");
    await expect(batcher.add(2)).resolves.toBeUndefined();
  });

  it("writes what came during a write together, where it gathers, and loses nothing", async () => {
    const written: number[][] = [];
    const releases: (() => void)[] = [];
    const batcher = new Batcher<number>({
      ...{ maxBatchSize: 3, maxDelayMs: 5, maxQueuedSize: 100, gathers: true },
      write: (items) => {
        written.push(items);
        return new Promise((resolve) => releases.push(resolve));
      },
    });
    const items = [1, 2, 3].map((item) => batcher.add(item));
    expect(written).toEqual([[1, 2, 3]]);
    items.push(batcher.add(4));
    // Its time has run out during the write: it goes at once.
    await settle();
    releases.shift()?.();
    await settle();
    expect(written).toEqual([[1, 2, 3], [4]]);
    releases.shift()?.();
    items.push(batcher.add(5));
    await settle();
    expect(written).toEqual([[1, 2, 3], [4], [5]]);
    items.push(...[6, 7, 8, 9].map((item) => batcher.add(item)));
    releases.shift()?.();
    await settle();
    expect(written.at(-1)).toEqual([6, 7, 8]);
    releases.shift()?.();
    await settle();
    releases.shift()?.();
    await Promise.all(items);
    expect(written.flat()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("refuses what exceeds its bound", async () => {
    const batcher = new Batcher<number>({
      maxBatchSize: 1,
      maxDelayMs: 1,
      maxQueuedSize: 2,
      write: () => new Promise((resolve) => setTimeout(resolve, 30)),
    });
    const first = [batcher.add(1), batcher.add(2)];
    await expect(batcher.add(3)).rejects.toBeInstanceOf(AppError);
    await Promise.all(first);
    await batcher.flush();
    expect(batcher.queuedSize).toBe(0);
  });
});

describe("a virtual clock", () => {
  it("fires timers in the order of their time and no cancelled one", async () => {
    const clock = new VirtualClock(0);
    const fired: string[] = [];
    clock.after(20, () => fired.push(`b@${clock.now()}`));
    clock.after(10, () => {
      fired.push(`a@${clock.now()}`);
      clock.after(5, () => fired.push(`c@${clock.now()}`));
    });
    clock.after(12, () => fired.push("never")).cancel();
    await clock.advance(30);
    expect(fired).toEqual(["a@10", "c@15", "b@20"]);
    expect(clock.now()).toBe(30);
  });
});

describe("seeded chance", () => {
  it("repeats, differs by seed and is even", () => {
    const draw = (seed: number) => {
      const random = seededRandom(seed);
      return Array.from({ length: 10_000 }, () => random.next());
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
    const values = draw(3);
    expect(values.every((value) => value >= 0 && value < 1)).toBe(true);
    expect(values.reduce((sum, value) => sum + value, 0) / values.length).toBeCloseTo(0.5, 1);
  });
});

describe("sealing", () => {
  const sealer = createSealer(Buffer.alloc(32, 7));

  it("opens only what it sealed, in the same place, unaltered", () => {
    const sealed = sealer.seal("secret", "acme/ca");
    expect(sealer.open(sealed, "acme/ca").toString()).toBe("secret");
    expect(() => sealer.open(sealed, "globex/ca")).toThrow();
    expect(() => createSealer(Buffer.alloc(32, 8)).open(sealed, "acme/ca")).toThrow();
    for (let index = 0; index < sealed.length; index += 1) {
      const altered = Buffer.from(sealed);
      altered[index] = (altered[index] as number) ^ 1;
      expect(() => sealer.open(altered, "acme/ca")).toThrow();
    }
  });

  it("keeps its master key from others", () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-key-"));
    const key = loadMasterKey(directory);
    expect(loadMasterKey(directory)).toEqual(key);
    const file = path.join(directory, "master.key");
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    fs.chmodSync(file, 0o644);
    expect(() => loadMasterKey(directory)).toThrow(/chmod 600/);
    fs.rmSync(directory, { recursive: true });
  });

  it("compares secrets of any length", () => {
    expect(equalSecrets("a", "a")).toBe(true);
    expect(equalSecrets("a", "ab")).toBe(false);
  });
});

describe("the configuration", () => {
  it("names every problem at once", () => {
    const read = () =>
      readConfig({ VAUTN_API_PORT: "x", VAUTN_ROLES: "api,boss", DATABASE_URL: "mysql://x" });
    expect(read).toThrow(/VAUTN_API_PORT[\s\S]*DATABASE_URL/);
    expect(read).toThrow(/"boss" is none of/);
  });

  it("takes ACME only with the agreement to its terms and names that HTTP-01 can prove", () => {
    const acme = { VAUTN_ACME_DIRECTORY: "https://ca.example/dir" };
    expect(() => readConfig(acme)).toThrow(/VAUTN_ACME_AGREE/);
    const agreed = { ...acme, VAUTN_ACME_AGREE: "yes" };
    expect(servesApiByTls(readConfig(agreed))).toBe(true);
    expect(servesApiByTls(readConfig({ ...agreed, VAUTN_ACME_FOR: "gateway" }))).toBe(false);
    for (const names of ["*.example.com", "10.0.0.1", "a..b", "-a.example", "a,"]) {
      expect(() => readConfig({ ...agreed, VAUTN_ACME_NAMES: names })).toThrow(/no host name/);
    }
    expect(() => readConfig({ ...agreed, VAUTN_ACME_EAB_KID: "kid" })).toThrow(/neither is of use/);
    expect(() => readConfig({ ...agreed, VAUTN_ACME_DIRECTORY: "http://ca.example/dir" })).toThrow(
      /https:/,
    );
  });

  it("takes limits of the gateway by name, and prints them as they are written", () => {
    const text = "deviceMessageRate=50,tenantRate=2.5";
    const config = readConfig({ VAUTN_GATEWAY_LIMITS: " deviceMessageRate = 50, tenantRate=2.5," });
    expect(config.gatewayLimits).toEqual({ deviceMessageRate: 50, tenantRate: 2.5 });
    expect(describeConfig(config).VAUTN_GATEWAY_LIMITS).toBe(text);
    expect(describeConfig(readConfig({})).VAUTN_GATEWAY_LIMITS).toBeNull();
    for (const wrong of ["deviceMessageRate", "a=-1", "a=0", "a=1e3", "=5", "a=b"]) {
      expect(() => readConfig({ VAUTN_GATEWAY_LIMITS: wrong })).toThrow(/no name=number/);
    }
  });

  it("is printed with secrets masked", () => {
    const config = readConfig({
      VAUTN_MASTER_KEY: "ab".repeat(32),
      DATABASE_URL: "postgres://user:hunter2@db/vautn",
    });
    const text = JSON.stringify(describeConfig(config));
    expect(text).not.toMatch(/hunter2|abab/);
    expect(text).toContain("postgres://user:[secret]@db/vautn");
  });
});

describe("a traceparent", () => {
  it("is read when it follows W3C Trace Context, and only then", () => {
    const id = "0af7651916cd43dd8448eb211c80319c";
    expect(parseTraceparent(`00-${id}-b7ad6b7169203331-01`)?.traceId).toBe(id);
    for (const bad of [
      "",
      "x",
      `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
      `01-${id}-b7ad6b7169203331-01`,
      5,
    ]) {
      expect(parseTraceparent(bad)).toBeUndefined();
    }
  });
});
