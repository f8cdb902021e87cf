import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { effectOfResult, isFinalStatus } from "../../src/commands/index.ts";
import { type ConnectionEvent, latestConnections } from "../../src/devices/connections-store.ts";
import { latestHeartbeats } from "../../src/devices/heartbeats-store.ts";
import { lateAt, nextPresence, offlineAt } from "../../src/devices/presence.ts";
import { storableJson, storableText } from "../../src/kernel/storable.ts";

const rule = { heartbeatIntervalSeconds: 60, offlineAfterMissed: 3, sleep: [] };
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe("presence", () => {
  it("is late after one and a half intervals and offline after three", () => {
    expect(lateAt(0, rule)).toBe(90_000);
    expect(offlineAt(0, rule)).toBe(180_000);
    const heard = { lastSeenAt: 0 };
    expect(nextPresence("online", heard, rule, 90_000)).toEqual({
      presence: "late",
      deadlineAt: 180_000,
    });
    expect(nextPresence("late", heard, rule, 180_000)).toEqual({
      presence: "offline",
      deadlineAt: null,
    });
  });

  it("goes straight to offline when nobody looked for long", () => {
    expect(nextPresence("online", { lastSeenAt: 0 }, rule, 3_600_000).presence).toBe("offline");
  });

  it("waits longer for a line that jitters, but notices its end within seconds", () => {
    expect(lateAt(0, rule, 15_000)).toBe(120_000);
    expect(offlineAt(0, rule, 15_000)).toBe(181_500);
    fc.assert(
      fc.property(fc.nat(1e9), (jitterMs) => {
        expect(lateAt(0, rule, jitterMs)).toBeLessThanOrEqual(offlineAt(0, rule, jitterMs));
        expect(offlineAt(0, rule, jitterMs)).toBeLessThanOrEqual(181_500);
      }),
    );
  });

  it("lets a device sleep that has said so, and misses it when it does not wake", () => {
    const heard = { lastSeenAt: 0, asleepUntil: HOUR };
    const step = nextPresence("online", heard, rule, 3 * MINUTE);
    expect(step).toEqual({ presence: "online", deadlineAt: HOUR + 90_000 });
    expect(nextPresence("online", heard, rule, HOUR + 3 * MINUTE).presence).toBe("offline");
  });

  it("lets a product sleep in its windows, over midnight too, and counts from their end", () => {
    const nightly = { ...rule, sleep: [{ from: "22:00", to: "06:00" }] };
    const heard = { lastSeenAt: 22 * HOUR - MINUTE };
    const asleep = nextPresence("online", heard, nightly, 24 * HOUR);
    expect(asleep).toEqual({ presence: "online", deadlineAt: 30 * HOUR + 90_000 });
    expect(nextPresence("online", heard, nightly, 30 * HOUR + 3 * MINUTE).presence).toBe("offline");
    // Who went before the night, went awake.
    const gone = { lastSeenAt: 20 * HOUR };
    expect(nextPresence("online", gone, nightly, 20 * HOUR + 3 * MINUTE).presence).toBe("offline");
    expect(nextPresence("offline", gone, nightly, 24 * HOUR).presence).toBe("offline");
  });

  it("gives more time where the product's interval has grown since the deadline was set", () => {
    const slower = { ...rule, heartbeatIntervalSeconds: 300 };
    expect(nextPresence("online", { lastSeenAt: 0 }, slower, 90_000)).toEqual({
      presence: "online",
      deadlineAt: 450_000,
    });
  });

  it("always ends, and never sets a deadline that has passed", () => {
    const state = fc.constantFrom("never", "online", "late", "offline" as const);
    const times = ["00:00", "06:30", "12:00", "23:59"];
    const sleep = fc.subarray([
      { from: times[0] as string, to: times[1] as string },
      { from: times[3] as string, to: times[0] as string },
    ]);
    fc.assert(
      fc.property(
        state,
        fc.option(fc.nat()),
        fc.nat(),
        fc.nat(1e7),
        sleep,
        (current, seenAt, now, ahead, windows) => {
          const heard = { lastSeenAt: seenAt, asleepUntil: (seenAt ?? 0) + ahead, jitterMs: ahead };
          const step = nextPresence(current, heard, { ...rule, sleep: windows }, now);
          expect(step.deadlineAt === null || step.deadlineAt > now).toBe(true);
          const ends = ["never", "offline"].includes(step.presence);
          expect(ends).toBe(step.deadlineAt === null);
        },
      ),
    );
  });
});

describe("a batch of heartbeats", () => {
  const beat = (deviceId: string, bootId: string, seq: number) =>
    ({ tenantId: "t", deviceId, receivedAt: 0, heartbeat: { bootId, seq } }) as never;

  it("counts the newest of each device and forgets what is older of the same boot", () => {
    const batch = [beat("a", "x", 2), beat("b", "x", 1), beat("a", "x", 1), beat("b", "y", 0)];
    expect(latestHeartbeats(batch)).toEqual([batch[0], batch[3]]);
  });
});

describe("a batch of connection events", () => {
  const event = (connectionId: string, kind: "began" | "ended"): ConnectionEvent => ({
    tenantId: "t",
    deviceId: "d",
    connectionId,
    at: 0,
    change: kind === "began" ? { kind, gatewayId: "g" } : { kind, reason: "closed" },
  });

  it("keeps the connection that took over when the old one ends after it", () => {
    const batch = [event("1", "began"), event("2", "began"), event("1", "ended")];
    expect(latestConnections(batch)).toEqual([batch[1]]);
  });

  it("ends a connection that began in the same batch", () => {
    const batch = [event("1", "began"), event("1", "ended")];
    expect(latestConnections(batch)).toEqual([batch[1]]);
  });
});

describe("the life of a command", () => {
  const statuses = [
    ...["queued", "delivered", "accepted", "running"],
    ...["succeeded", "failed", "rejected", "expired", "cancelled"],
  ] as const;
  const any = fc.constantFrom(...statuses) as fc.Arbitrary<Parameters<typeof effectOfResult>[0]>;

  it("never leaves a final state, and a repeated report changes nothing", () => {
    fc.assert(
      fc.property(any, any, (current, reported) => {
        const effect = effectOfResult(current, reported);
        if (isFinalStatus(current)) expect(["ignore", "record-late"]).toContain(effect);
        if (current === reported) expect(effect).not.toBe("advance");
        expect(effectOfResult(reported, reported)).not.toMatch(/advance|finish/);
      }),
    );
  });
});

describe("what is stored of a device's words", () => {
  it("holds no NUL and no lone surrogate, wherever they stood", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ noUnicodeString: false }),
        fc.string({ unit: "binary" }),
        (value, text) => {
          const stored = storableJson({ [text]: value, list: [text, { nested: text }] });
          expect(stored).not.toMatch(/(?<!\\)(\\\\)*\\u(0000|d[89a-f])/i);
          expect(storableText(text).isWellFormed()).toBe(true);
          expect(() => JSON.parse(stored)).not.toThrow();
        },
      ),
    );
  });

  it("leaves ordinary values as they are", () => {
    const value = { a: [1, null, "text", true], b: { c: -0.5 } };
    expect(JSON.parse(storableJson(value))).toEqual(value);
  });

  it("survives the prototype's own name as a key", () => {
    expect(storableJson(JSON.parse('{"__proto__": {"x": 1}}'))).toBe('{"__proto__":{"x":1}}');
  });
});
