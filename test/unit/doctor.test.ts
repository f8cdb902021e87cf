import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { openBlobStore } from "../../src/blobs/index.ts";
import { judge } from "../../src/cli/commands/operations.ts";
import { checkClock, findingsOf } from "../../src/cli/server-checks.ts";
import { createHealthChecks, Unwell } from "../../src/kernel/health-checks.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createPlatformHealth } from "../../src/platform/health.ts";

const DAY_MS = 86_400_000;

describe("vautn doctor", () => {
  it("tells what works badly from what does not, and what to do next", () => {
    const found = findingsOf({
      checks: { postgresql: "up", clickhouse: "down", disk: "degraded" },
      reasons: { clickhouse: "no answer", disk: "900 MiB are free" },
    });
    expect(found).toMatchObject([
      { state: "ok", detail: "up" },
      { state: "problem", detail: expect.stringContaining("down; no answer; is it running") },
      { state: "note", detail: expect.stringContaining("900 MiB are free; make room") },
    ]);
  });

  it("measures how far the clock is off", () => {
    const now = Date.parse("2026-11-29T12:00:00Z");
    const at = (ms: number) => checkClock(new Date(now - ms).toUTCString(), now).state;
    expect([at(0), at(10_000), at(-120_000)]).toEqual(["ok", "note", "problem"]);
    expect(checkClock(null, now).state).toBe("note");
  });

  it("notes a certificate before it ends", () => {
    const found = { protocol: "TLSv1.3", cipher: "c", group: "X25519MLKEM768" };
    const of = (leftMs: number) =>
      judge({ ...found, subject: "s", issuer: "i", notAfter: new Date(leftMs) }, 0).state;
    expect([of(30 * DAY_MS), of(DAY_MS / 2), of(-1)]).toEqual(["ok", "note", "problem"]);
  });
});

describe("the platform's health", () => {
  it("misses a folder of images that is not there, and says so without its name", async () => {
    const directory = await fs.mkdtemp(path.join(os.tmpdir(), "vautn-health-"));
    const blobs = openBlobStore({ directory: path.join(directory, "blobs") });
    const clock = new VirtualClock(0);
    const ping = async () => undefined;
    const parts = { db: { ping }, timeseries: { ping }, blobs };
    const health = createPlatformHealth({ config: { dataDirectory: directory }, clock, ...parts });
    const found = async () => (await health()).find(({ name }) => name === "blobs");
    expect(await found()).toEqual({ name: "blobs", state: "ok", reason: "" });
    await fs.rm(path.join(directory, "blobs"), { recursive: true });
    await clock.advance(2_000);
    const reason = "the folder of images is missing";
    expect(await found()).toEqual({ name: "blobs", state: "failed", reason });
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
