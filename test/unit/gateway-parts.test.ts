import v8 from "node:v8";
import vm from "node:vm";
import fc from "fast-check";
import mqttPacket from "mqtt-packet";
import { describe, expect, it } from "vitest";
import { readPacket } from "../../src/gateway/codec.ts";
import { Framer } from "../../src/gateway/framer.ts";
import { incidentsOf } from "../../src/gateway/incidents.ts";
import { DEFAULT_GATEWAY_LIMITS } from "../../src/gateway/limits.ts";
import { overdue, restsUntil } from "../../src/gateway/liveness.ts";
import { type AckRun, OrderedAcks } from "../../src/gateway/ordered-acks.ts";
import { Outbound } from "../../src/gateway/outbound.ts";
import { Pace } from "../../src/gateway/pacing.ts";
import { REASON } from "../../src/gateway/reason-codes.ts";
import { Subscriptions } from "../../src/gateway/subscriptions.ts";
import { TokenBuckets } from "../../src/gateway/token-bucket.ts";
import { fuzzCodec } from "../support/mqtt-fuzz.ts";

const publish = (payload: Buffer) =>
  mqttPacket.generate({
    cmd: "publish",
    topic: "t",
    payload,
    qos: 0,
    dup: false,
    retain: false,
  }) as Buffer;

describe("the framer", () => {
  it("gives back the packets that were put in, however the bytes are cut", () => {
    const packets = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 });
    const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(packets, cuts, (payloads, sizes) => {
        const whole = payloads.map((payload) => publish(Buffer.from(payload)));
        const stream = Buffer.concat(whole);
        const framer = new Framer();
        const found: Buffer[] = [];
        for (let offset = 0, turn = 0; offset < stream.length; turn += 1) {
          const size = sizes[turn % sizes.length] as number;
          framer.push(stream.subarray(offset, offset + size));
          offset += size;
          for (let next = framer.next(1_000); next; next = framer.next(1_000)) {
            found.push(Buffer.from(next));
          }
        }
        expect(found).toEqual(whole);
        expect(framer.size).toBe(0);
      }),
    );
  });

  it("refuses an oversized packet by its header, before there is anything of it", () => {
    const framer = new Framer();
    framer.push(Buffer.from([0x30, 0xff, 0xff, 0x7f]));
    expect(() => framer.next(256 * 1024)).toThrow(/more than/);
  });

  it("holds little more than the bytes of a packet, however finely it is cut", () => {
    v8.setFlagsFromString("--expose-gc");
    const collect = vm.runInNewContext("gc") as () => void;
    const held = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const before = held();
    const framer = new Framer();
    framer.push(Buffer.from([0x10, 0xf8, 0xff, 0x04]));
    let packets = 0;
    for (let index = 0; index < 80_000; index += 1) {
      framer.push(Buffer.from(new ArrayBuffer(1)));
      if (framer.next(81_920)) packets += 1;
    }
    const growth = held() - before;
    expect(packets).toBe(0);
    expect(framer.size).toBe(80_004);
    expect(growth).toBeLessThan(2_000_000);
  });

  it("refuses a length of five bytes", () => {
    const framer = new Framer();
    framer.push(Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]));
    expect(() => framer.next(1_000)).toThrow(/too many bytes/);
  });
});

describe("the codec", () => {
  it("answers any bytes with packets or a fault, and is whole again afterwards", () => {
    const { understood, refused } = fuzzCodec(20_261_123, 30_000);
    expect(understood).toBeGreaterThan(1_000);
    expect(refused).toBeGreaterThan(1_000);
    const bytes = publish(Buffer.from("still"));
    expect(readPacket(bytes, 4)).toMatchObject({ cmd: "publish", topic: "t" });
  });

  it("refuses strings that are no UTF-8 or hold U+0000, and keeps payloads as they are", () => {
    const withTopic = (...topic: number[]) =>
      Buffer.from([0x30, 2 + topic.length, 0, topic.length, ...topic]);
    for (const topic of [[0xc3, 0x28], [0xed, 0xa0, 0x80], [0x61, 0x00], [0xff]]) {
      expect(() => readPacket(withTopic(...topic), 4)).toThrow(/no UTF-8/);
    }
    const payload = Buffer.from([0, 0xff, 0xc3, 0x28]);
    expect(readPacket(publish(payload), 4)).toMatchObject({ payload });
  });
});

describe("pacing", () => {
  it("never lets a sender have more than its burst and its rate, if it waits as told", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(sizes, (amounts) => {
        const pace = new Pace(100, 200);
        let now = 1_000;
        let taken = 0;
        for (const amount of amounts) {
          taken += amount;
          now += pace.take(amount, now);
          expect(taken).toBeLessThanOrEqual(200.001 + (100 * (now - 1_000)) / 1_000);
        }
      }),
    );
  });
});

describe("acknowledgements", () => {
  it("go out in the order of their messages, whichever is stored first", () => {
    const order = fc.integer({ min: 1, max: 30 }).chain((count) =>
      fc.shuffledSubarray(
        Array.from({ length: count }, (_, index) => index),
        { minLength: count },
      ),
    );
    fc.assert(
      fc.property(order, (finished) => {
        const acks = new OrderedAcks();
        const sent: number[] = [];
        const slots = finished.map(() => acks.reserve(0));
        for (const index of finished) slots[index]?.(() => sent.push(index));
        expect(sent).toEqual(finished.toSorted((left, right) => left - right));
      }),
    );
  });
});

describe("acknowledgements of messages that share a place", () => {
  /** How a message is taken: in a batch of the store, or by itself. */
  const ways = fc.array(fc.constantFrom("a", "a", "b", "alone"), { minLength: 1, maxLength: 30 });

  it("keep the order of all messages, also where a batch fails and each is settled by itself", () => {
    fc.assert(
      fc.property(ways, fc.infiniteStream(fc.nat()), fc.boolean(), (taken, choices, fails) => {
        const acks = new OrderedAcks();
        const sent: number[] = [];
        const open: (() => void)[] = [];
        const batches = { a: {}, b: {} };
        const runs = { a: new Set<AckRun>(), b: new Set<AckRun>() };
        for (const [id, way] of taken.entries()) {
          if (way === "a" || way === "b") {
            runs[way].add(acks.join(0, batches[way], id));
            continue;
          }
          const settle = acks.reserve(0);
          open.push(() => settle(() => sent.push(id)));
        }
        for (const run of runs.a) {
          const { ids = [] } = run;
          if (!fails) open.push(() => acks.settleRun(run, (all) => sent.push(...all)));
          else {
            for (const [at, settle] of acks.splitRun(run).entries()) {
              open.push(() => settle(() => sent.push(ids[at] as number)));
            }
          }
        }
        for (const run of runs.b) {
          open.push(() => acks.settleRun(run, (all) => sent.push(...all)));
        }
        while (open.length > 0) {
          open.splice((choices.next().value as number) % open.length, 1)[0]?.();
          // Nothing goes out before what came before it.
          expect(sent).toEqual(sent.toSorted((left, right) => left - right));
          expect(sent.every((id, at) => id === at)).toBe(true);
        }
        expect(sent).toHaveLength(taken.length);
        expect(acks.oldestAt).toBeUndefined();
      }),
    );
  });
});

describe("messages to a device", () => {
  const outbound = (options: Partial<ConstructorParameters<typeof Outbound>[0]> = {}) =>
    new Outbound({
      ...{ write: () => {}, version: 5, window: 2, maxPacketBytes: 1_000 },
      save: async () => true,
      ...options,
    });
  const message = { topic: "t", payload: "p", qos: 1, properties: {} } as const;

  it("have identifiers of their own while they are under way", async () => {
    const written: number[] = [];
    const out = outbound({ write: (bytes) => written.push(bytes.readUInt16BE(5)) });
    const first = out.send(message);
    void out.send(message);
    expect(out.free).toBe(0);
    expect(out.acknowledge(1, 0)).toBe(true);
    expect(out.acknowledge(1, 0)).toBe(false);
    expect(await first).toBe("acknowledged");
    for (let time = 0; time < 65_535; time += 1) {
      void out.send(message);
      out.acknowledge(written.at(-1) as number, 0);
    }
    expect(written.filter((id) => id === 2)).toHaveLength(1);
    expect(Math.min(...written)).toBe(1);
  });

  it("are given back when the connection ends, and refused ones are told apart", async () => {
    const out = outbound();
    const refused = out.send(message);
    const lost = out.send(message);
    out.acknowledge(1, 0x97);
    out.close();
    expect(await Promise.all([refused, lost])).toEqual(["refused", "closed"]);
    expect(await outbound({ maxPacketBytes: 5 }).send(message)).toBe("too-large");
  });
});

describe("subscriptions", () => {
  it("overlap into one copy with the highest QoS and every identifier", () => {
    const subscriptions = new Subscriptions(3);
    expect(subscriptions.match("a/b")).toBeUndefined();
    subscriptions.add("a/#", { qos: 0, identifier: 4 });
    subscriptions.add("a/+", { qos: 1, identifier: undefined });
    subscriptions.add("x", { qos: 1, identifier: 9 });
    expect(subscriptions.match("a/b")).toMatchObject({ qos: 1, identifiers: [4] });
    expect(subscriptions.add("one/more", { qos: 0, identifier: undefined })).toBe(false);
    expect(subscriptions.add("x", { qos: 0, identifier: undefined })).toBe(true);
    expect(subscriptions.remove("x")).toBe(true);
    expect(subscriptions.remove("x")).toBe(false);
  });
});

describe("a token bucket", () => {
  it("never grants more than the burst and what the time has brought", () => {
    const steps = fc.array(fc.nat({ max: 500 }), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (gaps) => {
        const buckets = new TokenBuckets(10, 5);
        let now = 0;
        let granted = 0;
        for (const gap of gaps) {
          now += gap;
          if (buckets.take("a", now)) granted += 1;
        }
        expect(granted).toBeLessThanOrEqual(5 + Math.ceil(now / 100));
      }),
    );
  });

  it("forgets who has rested longest when there are too many", () => {
    const buckets = new TokenBuckets(1, 1);
    for (let index = 0; index < 25_000; index += 1) buckets.take(String(index), 0);
    expect(buckets.size).toBe(20_000);
    expect(buckets.take("24999", 0)).toBe(false);
  });
});

describe("the passing of time", () => {
  const facts = {
    startedAt: 0,
    accepted: { keepAliveSeconds: 60, notAfterMs: 1e12 },
    lastHeardAt: 0,
    packetSince: undefined,
    isHeld: false,
    unwrittenBytes: 0,
  };
  const at = (nowMs: number, changes: Partial<Parameters<typeof overdue>[0]> = {}) =>
    overdue({ ...facts, ...changes }, DEFAULT_GATEWAY_LIMITS, nowMs);

  it("ends a connection that is silent for one and a half keep-alives, unless we do not read", () => {
    expect(at(90_000)).toBeUndefined();
    expect(at(90_001)).toMatchObject({ kind: "fail", fault: { reason: REASON.keepAliveTimeout } });
    expect(at(90_001, { isHeld: true })).toBeUndefined();
  });

  it("ends one that sends no CONNECT, never finishes a packet, does not read, or has expired", () => {
    expect(at(10_001, { accepted: undefined })).toMatchObject({ kind: "drop" });
    expect(at(300_001, { packetSince: 0, lastHeardAt: 300_000 })).toMatchObject({ kind: "drop" });
    expect(at(1, { unwrittenBytes: 1e6 })).toMatchObject({ why: "slow reader" });
    expect(at(1, { accepted: { keepAliveSeconds: 60, notAfterMs: 1 } })).toMatchObject({
      fault: { reason: REASON.notAuthorized },
    });
  });
});

describe("a connection that rests", () => {
  it("need not be looked at before its time: whatever is heard meanwhile, none has run out", () => {
    const facts = fc.record({
      startedAt: fc.constant(0),
      accepted: fc.record({
        keepAliveSeconds: fc.integer({ min: 1, max: 65_535 }),
        notAfterMs: fc.integer({ min: 0, max: 1e12 }),
      }),
      lastHeardAt: fc.integer({ min: 0, max: 1e9 }),
      packetSince: fc.constant(undefined),
      isHeld: fc.boolean(),
      unwrittenBytes: fc.constant(0),
    });
    const laterMs = fc.integer({ min: 0, max: 1e8 });
    fc.assert(
      fc.property(facts, laterMs, fc.boolean(), (given, heardLaterMs, isHeld) => {
        const lastMs = restsUntil(given) - 1;
        const later = { ...given, isHeld, lastHeardAt: given.lastHeardAt + heardLaterMs };
        expect(overdue(later, DEFAULT_GATEWAY_LIMITS, lastMs)).toBeUndefined();
      }),
    );
  });

  it("is looked at always before it is accepted", () => {
    const facts = { startedAt: 0, accepted: undefined, lastHeardAt: 0, packetSince: undefined };
    expect(restsUntil({ ...facts, isHeld: false, unwrittenBytes: 0 })).toBe(0);
  });
});

describe("incidents in a device's events", () => {
  const event = (type: string, extra = {}) => ({ ts: 1, seq: 1, type, bootId: "b", ...extra });
  const kinds = (...events: ReturnType<typeof event>[]) =>
    incidentsOf({ tenantId: "t", deviceId: "d" }, events).map((incident) => incident.kind);

  it("are crashes, fallbacks, failed self-tests and boots that nobody asked for", () => {
    expect(kinds(event("crash"), event("fallback"))).toEqual(["crash", "fallback"]);
    expect(
      kinds(event("boot", { reason: "watchdog" }), event("boot", { reason: "update" })),
    ).toEqual(["crash"]);
    expect(
      kinds(event("self-test", { passed: false }), event("self-test", { passed: true })),
    ).toEqual(["self-test-failed"]);
    expect(kinds(event("door-opened"))).toEqual([]);
  });
});
