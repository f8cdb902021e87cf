import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { ArtifactSource, StorageFile } from "../../src/agent/ports.ts";
import { downloadOffer } from "../../src/agent/update/download.ts";
import { DownloadPace, type Ticket } from "../../src/device-http/download-pace.ts";
import { isAppError, messageOf } from "../../src/kernel/index.ts";
import { seededRandom } from "../../src/kernel/random.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";

const FREE = { concurrent: 1_000_000, bytesPerSecond: 0 };
const CHUNK = 16 * 1024;

function memoryFile(): StorageFile {
  let content = Buffer.alloc(0);
  return {
    sizeBytes: async () => content.length,
    async read(offset: number, length: number) {
      return content.subarray(offset, offset + length);
    },
    async write(offset: number, chunk: Uint8Array) {
      content = Buffer.concat([content.subarray(0, offset), chunk]);
    },
    async truncate(sizeBytes: number) {
      content = content.subarray(0, sizeBytes);
    },
    sync: async () => {},
    close: async () => {},
  } as StorageFile;
}

describe("downloads at a pace", () => {
  it("let 1,000 devices that come at once finish, below the limits at every moment", async () => {
    const clock = new VirtualClock(0);
    const random = seededRandom(6);
    const limits = { concurrent: 50, bytesPerSecond: 1_000_000 };
    const pace = new DownloadPace({ clock, random }, FREE);
    const image = Buffer.alloc(2 * CHUNK, 7);
    const sha256 = createHash("sha256").update(image).digest("hex");
    const perSecond = new Map<number, number>();
    let active = 0;
    let mostActive = 0;
    let refused = 0;

    async function* body(ticket: Ticket, from: number) {
      try {
        for (let at = from; at < image.length; at += CHUNK) {
          await ticket.take(CHUNK);
          const second = Math.floor(clock.now() / 1000);
          perSecond.set(second, (perSecond.get(second) ?? 0) + CHUNK);
          yield image.subarray(at, at + CHUNK);
        }
      } finally {
        active -= 1;
        ticket.leave();
      }
    }
    const source = (deviceId: string): ArtifactSource => ({
      async fetch(_url, offset) {
        try {
          const request = { tenantId: "acme", deviceId, tenant: FREE };
          const ticket = pace.enter({ ...request, rollout: { id: "r", limits } });
          active += 1;
          mostActive = Math.max(mostActive, active);
          return { status: offset > 0 ? 206 : 200, body: body(ticket, offset) };
        } catch (error) {
          if (!isAppError(error)) throw error;
          refused += 1;
          const { retryAfterSeconds } = error.details as { retryAfterSeconds: number };
          return { status: error.status, retryAfterSeconds, body: (async function* () {})() };
        }
      },
    });
    let finished = 0;
    const failures: string[] = [];
    for (let index = 0; index < 1_000; index += 1) {
      const file = memoryFile();
      downloadOffer({
        offer: { url: "", sha256, sizeBytes: image.length },
        storage: { open: async () => file } as never,
        source: source(`d-${index}`),
        clock,
        random,
        signal: new AbortController().signal,
        stagedBytes: 0,
        onStaged: async () => {},
        onRetry: () => {},
        onReceived: () => {},
      }).then(
        () => {
          finished += 1;
        },
        (error) => failures.push(messageOf(error)),
      );
    }
    await clock.advance(20 * 60_000);
    expect(failures).toEqual([]);
    expect(finished).toBe(1_000);
    expect(refused).toBeGreaterThan(900);
    // Nobody asks in vain again and again: a handful of times each.
    expect(refused).toBeLessThan(10_000);
    expect(mostActive).toBeLessThanOrEqual(50);
    // One chunk may fall on the edge of a second.
    expect(Math.max(...perSecond.values())).toBeLessThanOrEqual(limits.bytesPerSecond + CHUNK);
  });

  it("spread those who wait over the time that they need", () => {
    const clock = new VirtualClock(0);
    const pace = new DownloadPace({ clock, random: seededRandom(1) }, FREE);
    const tenant = { concurrent: 1, bytesPerSecond: 0 };
    pace.enter({ tenantId: "acme", deviceId: "first", tenant });
    const told = Array.from({ length: 200 }, (_, index) => {
      try {
        pace.enter({ tenantId: "acme", deviceId: `d-${index}`, tenant });
        return 0;
      } catch (error) {
        expect(isAppError(error, "rate-limited")).toBe(true);
        return (error as { details: { retryAfterSeconds: number } }).details.retryAfterSeconds;
      }
    });
    expect(Math.min(...told)).toBeGreaterThanOrEqual(1);
    expect(new Set(told).size).toBeGreaterThan(20);
    expect(Math.max(...told)).toBeLessThanOrEqual(302);
  });

  it("keep a place for a tenant that comes late", () => {
    const deps = { clock: new VirtualClock(0), random: seededRandom(2) };
    const pace = new DownloadPace(deps, { concurrent: 100, bytesPerSecond: 0 });
    const enter = (tenantId: string, index: number) =>
      pace.enter({ tenantId, deviceId: `d-${index}`, tenant: FREE });
    for (let index = 0; index < 75; index += 1) enter("greedy", index);
    enter("modest", 0);
    expect(() => enter("greedy", 75)).toThrow(/enough downloads/);
    for (let index = 1; index < 25; index += 1) enter("modest", index);
    expect(() => enter("modest", 25)).toThrow(/enough downloads/);
  });

  it("share the bytes out by tenant, not by stream", async () => {
    const clock = new VirtualClock(0);
    const platform = { concurrent: 100, bytesPerSecond: 1_000_000 };
    const pace = new DownloadPace({ clock, random: seededRandom(3) }, platform);
    const got = { many: 0, one: 0 };
    const run = async (tenantId: "many" | "one", index: number) => {
      const ticket = pace.enter({ tenantId, deviceId: `d-${index}`, tenant: FREE });
      for (;;) {
        await ticket.take(10_000);
        got[tenantId] += 10_000;
      }
    };
    for (let index = 0; index < 30; index += 1) void run("many", index);
    void run("one", 0);
    await clock.advance(10_000);
    expect(got.one / got.many).toBeGreaterThan(0.8);
    expect(got.one + got.many).toBeLessThanOrEqual(10_020_000);
  });

  it("forget whose download has ended while it waited for its turn", async () => {
    const clock = new VirtualClock(0);
    const tenant = { concurrent: 10, bytesPerSecond: 50_000 };
    const pace = new DownloadPace({ clock, random: seededRandom(4) }, FREE);
    const first = pace.enter({ tenantId: "acme", deviceId: "a", tenant });
    const second = pace.enter({ tenantId: "acme", deviceId: "b", tenant });
    await first.take(100_000);
    const waiting = second.take(100_000);
    second.leave();
    await expect(waiting).rejects.toThrow("has ended");
    first.leave();
    first.leave();
    pace.enter({ tenantId: "acme", deviceId: "c", tenant });
  });
});
