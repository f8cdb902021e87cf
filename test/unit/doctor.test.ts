import { once } from "node:events";
import fs from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { describe, expect, it, vi } from "vitest";
import { openBlobStore } from "../../src/blobs/index.ts";
import { nextStepOf } from "../../src/cli/cli-error.ts";
import { judge, judgeRoom } from "../../src/cli/commands/operations.ts";
import { checkClock, findingsOf, readReadiness } from "../../src/cli/server-checks.ts";
import { ApiClient, PlatformUnreachable } from "../../src/client/index.ts";
import { createHealthChecks, Unwell } from "../../src/kernel/health-checks.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createPlatformHealth, durableWriteMs } from "../../src/platform/health.ts";
import { named, storesStatus } from "../../src/platform/stores.ts";
import { runInPipe } from "../support/run-cli.ts";

const DAY_MS = 86_400_000;

describe("vautn doctor", () => {
  it("tells what works badly from what does not, and what to do next", () => {
    const found = findingsOf({
      checks: { postgresql: "up", clickhouse: "down", disk: "degraded" },
      reasons: { clickhouse: "no answer", disk: "900 MiB are free" },
    });
    expect(found).toMatchObject([
      { state: "ok", detail: "up" },
      { state: "problem", detail: expect.stringContaining("down; no answer; embedded: see ") },
      { state: "note", detail: expect.stringContaining("900 MiB are free; make room") },
    ]);
  });

  it("does not say of a store that is merely slow that it does not come back", () => {
    const [slow] = findingsOf({
      checks: { postgresql: "degraded" },
      reasons: { postgresql: "took 1400 ms to answer" },
    });
    expect(slow).toMatchObject({ state: "note", detail: expect.stringContaining("and slowly") });
    expect(slow?.detail).not.toMatch(/is it running|vautn up/);
  });

  it("hears of stores that are started and of those that are only reached", () => {
    const url = "postgresql://db.example/vautn";
    expect(storesStatus({})).toBe("starting PostgreSQL and the ClickHouse engine");
    expect(storesStatus({ databaseUrl: url })).toBe(
      "starting the ClickHouse engine, reaching PostgreSQL by the given address",
    );
    expect(storesStatus({ databaseUrl: url, clickhouseUrl: "http://ch.example" })).toBe(
      "reaching PostgreSQL and ClickHouse by the given address",
    );
  });

  it("hears by which setting a store was looked for that is not there", () => {
    const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    expect(String(named(refused, "DATABASE_URL"))).toContain("DATABASE_URL leads nowhere: connect");
    const other = Object.assign(new Error("password authentication failed"), { code: "28P01" });
    expect(named(other, "DATABASE_URL")).toBe(other);
  });

  it("measures how far the clock is off", () => {
    const now = Date.parse("2026-11-29T12:00:00Z");
    const at = (ms: number) => checkClock(new Date(now - ms).toUTCString(), now).state;
    expect([at(0), at(10_000), at(-120_000)]).toEqual(["ok", "note", "problem"]);
    expect(checkClock(null, now).state).toBe("note");
  });

  it("tells a disk that is full from one that will be, and both from one with room", () => {
    const of = (mib: number) => judgeRoom("/data", mib * 1024 ** 2);
    expect([20_000, 5_000, 900, 100].map((mib) => of(mib).state)).toEqual([
      ...["ok", "note", "problem", "problem"],
    ]);
    expect(of(900).detail).toContain("900 MiB free: make room before devices have to wait");
    expect(of(100).detail).toContain("100 MiB free: full; devices wait until there is room");
  });

  it("takes no other program's answer for the platform's", () => {
    const body = JSON.stringify({ ready: true, checks: { disk: "up" }, reasons: {} });
    expect(readReadiness(body)?.checks).toEqual({ disk: "up" });
    for (const other of ["<html>", "null", "{}", '{"checks":{}}', '{"checks":7}']) {
      expect(readReadiness(other), other).toBeUndefined();
    }
  });

  it("names what is wrong with the way to the platform, and what to do", async () => {
    const home = await fs.mkdtemp(path.join(os.tmpdir(), "vautn-doctor-"));
    const doctor = async (environment: Record<string, string>) => {
      const ports = { VAUTN_MQTT_PORT: "1", VAUTN_DEVICE_HTTP_PORT: "1" };
      const set = { XDG_CONFIG_HOME: home, VAUTN_DATA: home, ...ports, ...environment };
      const { status, out } = await runInPipe(["doctor", "--json"], set);
      const { items } = JSON.parse(out) as { items: { check: string; detail: string }[] };
      return [status, items.find(({ check }) => check === "platform")?.detail];
    };
    const other = http.createServer((_request, response) => response.end("<html>")).listen(0);
    await once(other, "listening");
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const notOurs = `${url} answers 200, and not as Vautn does: is the address right (vautn login URL)?`;
    expect(await doctor({ VAUTN_URL: url })).toEqual([1, notOurs]);
    other.close();
    other.closeAllConnections();
    await once(other, "close");
    const key = { VAUTN_API_KEY: "vk_x" };
    const gone = `${url} does not answer (ECONNREFUSED); start it (vautn up), or read what it wrote last`;
    expect(await doctor({ VAUTN_URL: url, ...key })).toEqual([1, gone]);
    const unread = await doctor({ VAUTN_URL: url, VAUTN_CA: path.join(home, "none.pem") });
    expect(unread).toEqual([1, expect.stringMatching(/^VAUTN_CA: ENOENT/)]);
    await fs.mkdir(path.join(home, "vautn"));
    await fs.writeFile(path.join(home, "vautn/context.json"), "{");
    expect(await doctor({})).toEqual([1, expect.stringMatching(/is damaged; remove it and sign/)]);
    await fs.rm(home, { recursive: true });
  });

  it("tells an authority that is not known from a certificate that nobody can accept", () => {
    const next = (code: string) =>
      nextStepOf(new PlatformUnreachable("https://x", { cause: { code } }));
    expect(next("DEPTH_ZERO_SELF_SIGNED_CERT")).toContain("VAUTN_CA=");
    expect(next("CERT_HAS_EXPIRED")).toContain("clock, or renew the platform's certificate");
    expect(next("ERR_TLS_CERT_ALTNAME_INVALID")).toContain("a name that its certificate is for");
    expect(next("ECONNREFUSED")).toContain("vautn up");
  });

  it("is not kept waiting by a platform that does not answer in time", async () => {
    const silent = http.createServer(() => {}).listen(0);
    await once(silent, "listening");
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const call = new ApiClient(url, { timeoutMs: 50 }).call("getAcmeStatus", {});
    await expect(call).rejects.toThrow(/does not answer/);
    silent.close();
    silent.closeAllConnections();
  });

  it("notes a certificate before it ends", () => {
    const found = { protocol: "TLSv1.3", cipher: "c", group: "X25519MLKEM768" };
    const of = (leftMs: number) =>
      judge({ ...found, subject: "s", issuer: "i", notAfter: new Date(leftMs) }, 0).state;
    expect([of(30 * DAY_MS), of(DAY_MS / 2), of(-1)]).toEqual(["ok", "note", "problem"]);
  });
});

describe("the platform's health", () => {
  it("says that other machines are not reached where there are others", async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "vautn-health-"));
    const clock = new VirtualClock(0);
    const ping = async () => undefined;
    const store = { ping };
    const bus: { isUplinkUp?: boolean } = { isUplinkUp: false };
    const parts = { clock, db: store, timeseries: store, blobs: store, bus };
    const config = { dataDirectory: directory };
    const ofMachines = createPlatformHealth({
      ...parts,
      config: { ...config, natsUrl: "nats://n" },
    });
    const found = async (health = ofMachines) =>
      (await health()).find(({ name }) => name === "bus");
    expect(await found(createPlatformHealth({ ...parts, config }))).toBeUndefined();
    const reason = "machines hear of each other late";
    expect(await found()).toEqual({ name: "bus", state: "degraded", reason });
    bus.isUplinkUp = true;
    await clock.advance(2_000);
    expect(await found()).toEqual({ name: "bus", state: "ok", reason: "" });
  });

  it("misses a folder of images that is not there, and says so without its name", async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "vautn-health-"));
    const blobs = openBlobStore({ directory: path.join(directory, "blobs") });
    const clock = new VirtualClock(0);
    const ping = async () => undefined;
    const parts = { db: { ping }, timeseries: { ping }, blobs, bus: {} };
    const health = createPlatformHealth({ config: { dataDirectory: directory }, clock, ...parts });
    const found = async () => (await health()).find(({ name }) => name === "blobs");
    expect(await found()).toEqual({ name: "blobs", state: "ok", reason: "" });
    await fs.rm(path.join(directory, "blobs"), { recursive: true });
    await clock.advance(2_000);
    const reason = "the folder of images is missing";
    expect(await found()).toEqual({ name: "blobs", state: "failed", reason });
    await fs.rm(directory, { recursive: true });
  });

  it("writes nothing more to a disk that hangs, however often it is asked, and says that it is slow", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const clock = new VirtualClock(0);
      const ping = async () => undefined;
      const parts = { db: { ping }, timeseries: { ping }, blobs: { ping }, bus: {} };
      let begun = 0;
      let end: (ms: number) => void = () => {};
      const writeMs = () => {
        begun += 1;
        return new Promise<number>((resolve) => {
          end = resolve;
        });
      };
      const config = { dataDirectory: "." };
      const health = createPlatformHealth({ config, clock, ...parts, writeMs });
      const look = async () => {
        const answers = [health()];
        await clock.advance(1_100);
        answers.push(health());
        await vi.advanceTimersByTimeAsync(2_500);
        const states = await Promise.all(answers);
        await clock.advance(11_000);
        return states.map((all) => all.find(({ name }) => name === "writes")?.state);
      };
      expect(await look()).toEqual(["ok", "ok"]);
      expect(await look()).toEqual(["degraded", "degraded"]);
      expect(begun).toBe(1);
      end(60_000);
      await vi.advanceTimersByTimeAsync(0);
      const after = health();
      end(1);
      expect((await after).find(({ name }) => name === "writes")?.state).toBe("ok");
      expect(begun).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });

  it("says of a disk that twice takes long that it is slow, and of one slow write nothing", async () => {
    const clock = new VirtualClock(0);
    const ping = async () => undefined;
    const parts = { db: { ping }, timeseries: { ping }, blobs: { ping }, bus: {} };
    let tookMs = 3;
    const writeMs = async () => tookMs;
    const health = createPlatformHealth({
      ...{ config: { dataDirectory: "." }, clock, ...parts, writeMs },
    });
    const lookAfter = async (ms: number) => {
      tookMs = ms;
      await clock.advance(11_000);
      return (await health()).find(({ name }) => name === "writes");
    };
    expect(await lookAfter(3)).toMatchObject({ state: "ok" });
    expect(await lookAfter(900)).toMatchObject({ state: "ok" });
    const slow = await lookAfter(900);
    const reason = "a small write took 900 ms to reach the disk; devices wait as long";
    expect(slow).toEqual({ name: "writes", state: "degraded", reason });
    expect(findingsOf({ checks: { writes: "degraded" }, reasons: { writes: reason } })).toEqual([
      { check: "writes", state: "note", detail: expect.stringMatching(/900 ms.*smartctl/) },
    ]);
    // Between two looks nothing is written.
    tookMs = 3;
    await clock.advance(2_000);
    expect(await health()).toContainEqual(slow);
    expect(await lookAfter(3)).toMatchObject({ state: "ok" });
  });

  it("measures a write that is there, and leaves no file behind", async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "vautn-health-"));
    expect(await durableWriteMs(directory)).toBeGreaterThan(0);
    expect(await fs.readdir(directory)).toEqual([]);
    expect(await durableWriteMs(path.join(directory, "none"))).toBe(0);
    await fs.rm(directory, { recursive: true });
  });

  it("asks each part at most once a second, and gives no more than it may say away", async () => {
    const clock = new VirtualClock(0);
    let asked = 0;
    const health = createHealthChecks(clock, {
      fine: async () => {
        asked += 1;
        return undefined;
      },
      slow: async () => ({ reason: "took 2000 ms to answer" }),
      full: async () => {
        throw new Unwell("3 MiB are free");
      },
      broken: async () => {
        throw new Error("password authentication failed for user admin at 10.0.0.3");
      },
    });
    expect(await health()).toEqual([
      { name: "fine", state: "ok", reason: "" },
      { name: "slow", state: "degraded", reason: "took 2000 ms to answer" },
      { name: "full", state: "failed", reason: "3 MiB are free" },
      { name: "broken", state: "failed", reason: "no answer" },
    ]);
    await health();
    expect(asked).toBe(1);
    await clock.advance(1_001);
    await health();
    expect(asked).toBe(2);
  });
});
