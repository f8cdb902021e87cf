import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { effectOfResult, isFinalStatus } from "../../src/commands/index.ts";
import { type ConnectionEvent, latestConnections } from "../../src/devices/connections-store.ts";
import { latestHeartbeats } from "../../src/devices/heartbeats-store.ts";
import { lateAt, nextPresence, offlineAt } from "../../src/devices/presence.ts";
import { storableJson, storableText } from "../../src/kernel/storable.ts";

const settings = { heartbeatIntervalSeconds: 60, offlineAfterMissed: 3 };

describe("presence", () => {
  it("is late after one and a half intervals and offline after three", () => {
    expect(lateAt(0, settings)).toBe(90_000);
    expect(offlineAt(0, settings)).toBe(180_000);
    expect(nextPresence("online", 0, settings, 90_000)).toEqual({
      presence: "late",
      deadlineAt: 180_000,
    });
    expect(nextPresence("late", 0, settings, 180_000)).toEqual({
      presence: "offline",
      deadlineAt: null,
    });
  });

  it("goes straight to offline when nobody looked for long", () => {
    expect(nextPresence("online", 0, settings, 3_600_000).presence).toBe("offline");
  });

  it("always ends, and never sets a deadline that has passed", () => {
    const state = fc.constantFrom("never", "online", "late", "offline" as const);
    fc.assert(
      fc.property(state, fc.option(fc.nat()), fc.nat(), (current, seenAt, now) => {
        const { presence, deadlineAt } = nextPresence(current, seenAt, settings, now);
        expect(deadlineAt === null || deadlineAt > now).toBe(true);
        expect(presence === "late").toBe(deadlineAt !== null);
      }),
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
