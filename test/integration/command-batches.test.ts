import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { type Commands, createCommands } from "../../src/commands/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const DEVICES = ["d-1", "d-2", "d-3", "d-4", "d-5"];

let test: TestDatabase;
let clock: VirtualClock;
let tenancy: Tenancy;
let commands: Commands;
let woken: string[];
let tenants = 0;
let tenant: string;

beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.close());
beforeEach(async () => {
  clock = new VirtualClock(Date.UTC(2026, 5, 1));
  const bus = new LocalBus();
  woken = [];
  bus.subscribe("device.>", (_message, subject) => woken.push(subject.split(".").at(-1) ?? ""));
  tenancy = createTenancy({ db: test.db, clock });
  commands = createCommands({ db: test.db, clock, bus, tenancy, openPerTenant: 50 });
  tenant = `batches-${tenants++}`;
  await tenancy.tenants.create({ id: tenant, name: tenant }, SYSTEM_ACTOR);
  const devices = createDevices({ db: test.db, clock, bus, tenancy });
  for (const id of DEVICES) {
    await devices.register(null, tenant, { id, product: "hub", hardwareRevision: "a" });
  }
  await devices.groups.create(tenant, { name: "pair", query: "id in (d-1, d-2)" }, SYSTEM_ACTOR);
});

type Order = Partial<Parameters<Commands["send"]>[1]>;
function send(order: Order = {}) {
  const target = order.query === undefined && !order.group ? { deviceIds: ["d-1"] } : {};
  const command = { ...target, name: "ping", args: {}, ttlSeconds: 600, ...order };
  return commands.send(tenant, command, SYSTEM_ACTOR, null);
}
async function sendOne(order: Order = {}): Promise<string> {
  return (await send(order))[0]?.id as string;
}
const get = (id: string) => commands.get(tenant, id);
const peer = (deviceId: string) => ({ tenantId: tenant, deviceId });
async function tick(ms: number): Promise<void> {
  await clock.advance(ms);
  while ((await commands.expireDue(tenant, clock.now())).length > 0);
  await new Promise(setImmediate);
}
async function waiting(deviceId = "d-1"): Promise<string[]> {
  return (await commands.undelivered(tenant, deviceId, 100)).map(({ name }) => name);
}
async function counts(batchId: string): Promise<Record<string, number>> {
  const { counts: all } = await commands.batches.get(tenant, batchId);
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count > 0));
}

describe("the queue of a device", () => {
  it("is ordered by priority, then by age", async () => {
    for (const [name, priority] of [
      ["later", -5],
      ["usual", 0],
      ["urgent", 50],
      ["urgent-too", 50],
    ] as const) {
      await send({ name, priority });
    }
    expect(await waiting()).toEqual(["urgent", "urgent-too", "usual", "later"]);
  });

  it("holds only the newest undelivered command of a key", async () => {
    const first = await sendOne({ name: "set-interval", coalesceKey: "interval" });
    const other = await sendOne({ name: "set-level", coalesceKey: "level" });
    const second = await sendOne({ name: "set-interval", coalesceKey: "interval" });
    expect(await get(first)).toMatchObject({ status: "replaced", replacedBy: second });
    expect((await get(other)).status).toBe("queued");
    await commands.markDelivered(tenant, "d-1", [first, second]);
    expect((await get(first)).status).toBe("replaced");
    await sendOne({ name: "set-interval", coalesceKey: "interval" });
    expect((await get(second)).status).toBe("delivered");
    await commands.recordResult(peer("d-1"), first, { status: "succeeded" });
    expect(await get(first)).toMatchObject({
      status: "replaced",
      lateResult: { status: "succeeded" },
    });
  });

  it("takes an order that makes its own room", async () => {
    await Promise.all(Array.from({ length: 49 }, () => send()));
    await send({ coalesceKey: "interval" });
    await expect(send()).rejects.toMatchObject({
      code: "quota-exceeded",
      details: { limit: 50, open: 50 },
    });
    await expect(send({ query: "" })).rejects.toMatchObject({ code: "quota-exceeded" });
    expect((await commands.batches.list(tenant)).items).toEqual([]);
    await clock.advance(601_000);
    await tick(0);
    expect(await send()).toHaveLength(1);
  });

  it("takes orders to many devices until the queue is full, and counts each once", async () => {
    const whole = Math.floor(50 / DEVICES.length);
    for (let order = 0; order < whole; order += 1) {
      await send({ query: "" });
      // What was counted is forgotten: the next order counts anew.
      await clock.advance(2_500);
    }
    const open = whole * DEVICES.length;
    await expect(send({ query: "" })).rejects.toMatchObject({
      ...{ code: "quota-exceeded", details: { limit: 50, open } },
    });
    for (let left = 50 - open; left > 0; left -= 1) await send();
    await expect(send()).rejects.toMatchObject({ details: { limit: 50, open: 50 } });
  });

  it("refuses what is wrong with one order beside others without harm to them", async () => {
    const orders = [send({ name: "a" }), send({ deviceIds: ["nobody"] }), send({ name: "b" })];
    const [a, nobody, b] = await Promise.allSettled(orders);
    expect([a?.status, b?.status]).toEqual(["fulfilled", "fulfilled"]);
    expect(nobody).toMatchObject({ status: "rejected", reason: { code: "not-found" } });
    expect(await waiting()).toEqual(["a", "b"]);
  });

  it("takes orders to several devices together, each for all of its devices or for none", async () => {
    const pair = { deviceIds: ["d-2", "d-1", "d-2"] };
    const orders = [
      send({ ...pair, name: "a" }),
      send({ deviceIds: ["d-3", "nobody", "d-1"] }),
      send({ name: "b" }),
      send({ ...pair, name: "c" }),
      send({ deviceIds: Array.from({ length: 51 }, (_, index) => `d-${index}`) }),
    ];
    const [a, unknown, b, c, beyond] = await Promise.allSettled(orders);
    expect([a?.status, b?.status, c?.status]).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
    expect(unknown).toMatchObject({
      reason: { code: "not-found", details: { deviceIds: ["nobody"] } },
    });
    expect(beyond).toMatchObject({ reason: { code: "quota-exceeded", details: { limit: 50 } } });
    expect([await waiting("d-1"), await waiting("d-2")]).toEqual([
      ["a", "b", "c"],
      ["a", "c"],
    ]);
    expect(await waiting("d-3")).toEqual([]);
    const { items } = await commands.batches.list(tenant);
    expect(items.map(({ name, devices }) => [name, devices]).sort()).toEqual([
      ["a", 2],
      ["c", 2],
    ]);
    expect(woken.toSorted()).toEqual(["d-1", "d-1", "d-1", "d-2", "d-2"]);
  });
});

describe("the deadline of each phase", () => {
  const deadlines = { deliveredSeconds: 10, acceptedSeconds: 20, runningSeconds: 30 };

  it("ends a command that is not delivered, not accepted or not finished in time", async () => {
    const undelivered = await sendOne({ deadlines });
    const unaccepted = await sendOne({ deadlines });
    const unfinished = await sendOne({ deadlines });
    await commands.markDelivered(tenant, "d-1", [unaccepted, unfinished]);
    await tick(10_000);
    expect(await get(undelivered)).toMatchObject({
      status: "timed-out",
      error: "it was not delivered in time",
    });
    expect(await waiting()).toEqual([]);
    await commands.recordResult(peer("d-1"), unfinished, { status: "accepted" });
    await tick(10_000);
    expect((await get(unaccepted)).error).toBe("the device did not accept it in time");
    await commands.recordResult(peer("d-1"), unfinished, { status: "running" });
    await tick(19_999);
    expect((await get(unfinished)).status).toBe("running");
    await tick(1);
    expect((await get(unfinished)).error).toBe("the device did not finish it in time");
  });

  it("does not outlive the expiry of the order, in flight or under way", async () => {
    const id = await sendOne({ ttlSeconds: 15, deadlines: { runningSeconds: 100 } });
    await commands.recordResult(peer("d-1"), id, { status: "running" });
    await tick(15_000);
    expect((await get(id)).status).toBe("expired");
  });
});

describe("the retry policy", () => {
  const retry = { attempts: 3, delaySeconds: 5, on: ["failed", "timed-out"] as const };

  it("makes each new attempt a command of its own, until one succeeds", async () => {
    const first = await sendOne({ retry });
    await commands.recordResult(peer("d-1"), first, { status: "failed", error: "no" });
    await commands.recordResult(peer("d-1"), first, { status: "failed", error: "an echo" });
    const second = (await get(first)).retriedBy as string;
    expect(await get(second)).toMatchObject({ status: "waiting", attempt: 2, retryOf: first });
    expect(await waiting()).toEqual([]);
    woken.length = 0;
    await tick(5_000);
    expect(woken).toEqual(["d-1"]);
    const [message] = await commands.undelivered(tenant, "d-1", 10);
    expect(message).toMatchObject({ id: second, attempt: 2 });
    await commands.recordResult(peer("d-1"), second, { status: "succeeded" });
    expect(await get(second)).toMatchObject({ status: "succeeded", retriedBy: null });
  });

  it("ends with the last attempt, with the expiry, and with a newer order of the key", async () => {
    const timed = await sendOne({
      retry: { ...retry, attempts: 2, delaySeconds: 0 },
      deadlines: { deliveredSeconds: 1 },
    });
    await tick(1_000);
    const second = (await get(timed)).retriedBy as string;
    await tick(0);
    expect((await get(second)).status).toBe("queued");
    await tick(1_000);
    expect(await get(second)).toMatchObject({ status: "timed-out", retriedBy: null });

    const short = await sendOne({ retry, ttlSeconds: 4 });
    await commands.recordResult(peer("d-1"), short, { status: "failed" });
    expect((await get(short)).retriedBy).toBeNull();

    const older = await sendOne({ retry, coalesceKey: "interval" });
    await commands.markDelivered(tenant, "d-1", [older]);
    await send({ coalesceKey: "interval" });
    await commands.recordResult(peer("d-1"), older, { status: "failed" });
    expect((await get(older)).retriedBy).toBeNull();
  });
});

describe("what a running command says", () => {
  it("is kept: its progress and the end of its stream, piece by piece, once each", async () => {
    const id = await sendOne();
    const say = (seq: number, text: string, progress: number) =>
      commands.recordResult(peer("d-1"), id, {
        status: "running",
        progress,
        stream: { seq, text },
      });
    await say(0, "one ", 0.1);
    await say(1, "two ", 0.2);
    await say(1, "two ", 0.2);
    expect(await get(id)).toMatchObject({ progress: 0.2, stream: "one two ", streamCut: false });
    for (let seq = 2; seq < 8; seq += 1) await say(seq, String(seq).repeat(16_000), 0.5);
    const { stream, streamCut } = await get(id);
    expect([stream?.length, streamCut]).toEqual([65_536, true]);
    expect(stream?.endsWith("7".repeat(16_000))).toBe(true);
    expect((await commands.list(tenant)).items[0]?.stream).toBeNull();
    await commands.recordResult(peer("d-1"), id, { status: "succeeded", output: 1 });
    await say(8, "late", 0.9);
    expect(await get(id)).toMatchObject({ status: "succeeded", output: 1, progress: 0.5 });
  });
});

describe("a command batch", () => {
  it("is what several devices are sent, and is counted and listed by their states", async () => {
    expect((await send())[0]?.batchId).toBeNull();
    const sent = await send({ group: "pair" });
    const batchId = sent[0]?.batchId as string;
    expect(await commands.batches.get(tenant, batchId)).toMatchObject({
      targetKind: "group",
      target: "pair",
      state: "running",
      devices: 2,
      counts: { queued: 2, failed: 0 },
    });
    await commands.recordResult(peer("d-1"), sent[0]?.id as string, { status: "succeeded" });
    await commands.recordResult(peer("d-2"), sent[1]?.id as string, { status: "failed" });
    expect(await counts(batchId)).toEqual({ succeeded: 1, failed: 1 });
    expect((await commands.batches.get(tenant, batchId)).state).toBe("done");
    const failed = await commands.batches.devices(tenant, batchId, { status: "failed" });
    expect(failed.items.map(({ deviceId }) => deviceId)).toEqual(["d-2"]);
    const page = await commands.batches.devices(tenant, batchId, { limit: 1 });
    const rest = await commands.batches.devices(tenant, batchId, {
      cursor: page.nextCursor as string,
    });
    expect([...page.items, ...rest.items].map(({ deviceId }) => deviceId).sort()).toEqual([
      "d-1",
      "d-2",
    ]);
    await expect(send({ group: "none" })).rejects.toMatchObject({ code: "not-found" });
  });

  it("goes out by groups, an interval apart; waiting costs no lifetime", async () => {
    const pace = { batchSize: 2, intervalSeconds: 60 };
    const sent = await send({ query: "", pace, ttlSeconds: 30 });
    const batchId = sent[0]?.batchId as string;
    expect(sent.map(({ status }) => status).sort()).toEqual([
      "queued",
      "queued",
      "waiting",
      "waiting",
      "waiting",
    ]);
    await tick(59_000);
    expect(await counts(batchId)).toEqual({ expired: 2, waiting: 3 });
    await tick(1_000);
    expect(await counts(batchId)).toEqual({ expired: 2, queued: 2, waiting: 1 });
    // A pause takes back what waits; to resume makes nothing due before its time.
    await commands.batches.pause(tenant, batchId, SYSTEM_ACTOR);
    await commands.batches.resume(tenant, batchId, SYSTEM_ACTOR);
    expect(await counts(batchId)).toEqual({ expired: 2, waiting: 3 });
    await tick(60_000);
    expect(await counts(batchId)).toEqual({ expired: 2, queued: 2, waiting: 1 });
    await tick(60_000);
    await tick(60_000);
    expect(await counts(batchId)).toEqual({ expired: 5 });
  });

  it("keeps no more under way than it was told", async () => {
    const sent = await send({ query: "", pace: { concurrency: 2 } });
    const batchId = sent[0]?.batchId as string;
    for (let round = 0; round < 5; round += 1) {
      expect((await counts(batchId)).queued).toBe(Math.min(2, 5 - round));
      const [next] = (await commands.batches.devices(tenant, batchId, { status: "queued" })).items;
      await commands.recordResult(peer(next?.deviceId as string), next?.id as string, {
        status: "succeeded",
      });
      await tick(500);
    }
    expect(await counts(batchId)).toEqual({ succeeded: 5 });
  });

  it("lets new attempts take their turn too", async () => {
    const retry = { attempts: 2, delaySeconds: 0, on: ["failed"] as const };
    const sent = await send({ group: "pair", pace: { concurrency: 1 }, retry });
    const batchId = sent[0]?.batchId as string;
    const { deviceId, id } = sent[0] as NonNullable<(typeof sent)[0]>;
    await commands.recordResult(peer(deviceId), id, { status: "failed" });
    await tick(500);
    expect(await counts(batchId)).toEqual({ queued: 1, waiting: 1 });
    expect(await waiting(deviceId)).toEqual([]);
    await commands.recordResult(peer("d-2"), sent[1]?.id as string, { status: "succeeded" });
    await tick(500);
    expect(await counts(batchId)).toEqual({ queued: 1, succeeded: 1 });
    const [attempt] = await commands.undelivered(tenant, deviceId, 10);
    expect(attempt?.attempt).toBe(2);
  });

  it("stays done when it is to be cancelled, paused or resumed after its end", async () => {
    const sent = await send({ query: "" });
    const batchId = sent[0]?.batchId as string;
    await tick(900_000);
    const { batches } = commands;
    for (const steer of [batches.cancel, batches.pause, batches.resume]) {
      await expect(steer(tenant, batchId, SYSTEM_ACTOR)).rejects.toMatchObject({
        code: "conflict",
        details: { state: "done" },
      });
    }
    expect((await batches.get(tenant, batchId)).state).toBe("done");
  });

  it("can be paused, resumed and cancelled; what devices hold goes on", async () => {
    const sent = await send({ query: "" });
    const batchId = sent[0]?.batchId as string;
    const { batches } = commands;
    await commands.markDelivered(tenant, sent[0]?.deviceId as string, [sent[0]?.id as string]);
    expect((await batches.pause(tenant, batchId, SYSTEM_ACTOR)).state).toBe("paused");
    expect(await counts(batchId)).toEqual({ delivered: 1, waiting: 4 });
    await tick(900_000);
    expect(await counts(batchId)).toEqual({ expired: 1, waiting: 4 });
    // Its acknowledgement had been on the way.
    await commands.markDelivered(tenant, sent[1]?.deviceId as string, [sent[1]?.id as string]);
    woken.length = 0;
    await batches.resume(tenant, batchId, SYSTEM_ACTOR);
    expect(await counts(batchId)).toEqual({ delivered: 1, expired: 1, queued: 3 });
    expect(woken).toHaveLength(3);
    expect((await batches.cancel(tenant, batchId, SYSTEM_ACTOR)).state).toBe("cancelled");
    expect(await counts(batchId)).toEqual({ cancelled: 3, delivered: 1, expired: 1 });
    await expect(batches.resume(tenant, batchId, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "conflict",
    });
    const { items } = await tenancy.audit.list(tenant);
    expect(items.slice(0, 3).map(({ action }) => action)).toEqual([
      "command-batch.cancel",
      "command-batch.resume",
      "command-batch.pause",
    ]);
  });

  it.each([
    [{ priority: 101 }],
    [{ coalesceKey: "a b" }],
    [{ deadlines: { acceptedSeconds: 0 } }],
    [{ retry: { attempts: 11, delaySeconds: 0, on: ["failed" as const] } }],
    [{ query: "", pace: { batchSize: 5 } }],
    [{ query: "", group: "pair" }],
  ])("is refused with %j", async (order) => {
    await expect(send(order)).rejects.toMatchObject({ code: "invalid-request" });
  });
});
