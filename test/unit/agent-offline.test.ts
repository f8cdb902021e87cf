import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { Outbox, type OutboxOptions, StateStore } from "../../src/agent/index.ts";
import { setClockForward } from "../../src/agent/offline/machine-clock.ts";
import { seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import { PagePool, SimulatedFlash } from "../../src/simulator/index.ts";
import { startBench } from "../support/bench-device.ts";
import { createTestPki } from "../support/device-pki.ts";

const DAY_MS = 86_400_000;
const YEAR_MS = 365 * DAY_MS;

function outbox(options?: Partial<OutboxOptions>) {
  const clock = new VirtualClock();
  const storage = new SimulatedFlash(new PagePool(), seededRandom(1)).mount();
  const sent: { topic: string; seqs: number[]; at: number }[] = [];
  const world = { connected: false };
  const box = new Outbox({
    ...{ storage, clock, onProblem: () => {} },
    options: { keep: "newest", backlogItemsPerSecond: 100_000, ...options },
    isConnected: () => world.connected,
    async publish(topic, payload) {
      const items = [JSON.parse(payload)].flat() as { seq: number }[];
      sent.push({ topic, seqs: items.map(({ seq }) => seq), at: clock.now() });
    },
  });
  const drain = async () => {
    world.connected = true;
    box.wake();
    while (box.figures().waiting > 0) await clock.advance(100);
  };
  return { box, clock, sent, world, drain };
}

const sample = (seq: number) => ({ ts: 0, seq, values: { x: seq } });

describe("the queue of a device without a connection", () => {
  it("sends events before telemetry, also those that come while a backlog is on its way", async () => {
    const { box, clock, sent, world, drain } = outbox({ backlogItemsPerSecond: 100 });
    for (let seq = 1; seq <= 400; seq += 1) await box.add("telemetry", sample(seq));
    await box.add("events", { ts: 0, seq: 401, type: "boot" });
    world.connected = true;
    box.wake();
    while (sent.length < 3) await clock.advance(50);
    await box.add("events", { ts: 0, seq: 402, type: "crash" });
    await drain();
    expect(sent[0]).toMatchObject({ topic: "events", seqs: [401] });
    const crash = sent.findIndex(({ seqs }) => seqs.includes(402));
    expect(crash).toBeGreaterThan(1);
    expect(crash).toBeLessThan(sent.length - 2);
    expect(sent.flatMap(({ seqs }) => seqs)).toHaveLength(402);
  });

  it("keeps the newest or the oldest, as it is told, and counts the others", async () => {
    for (const [keep, first] of [
      ["newest", 501],
      ["oldest", 1],
    ] as const) {
      const { box, sent, drain } = outbox({ keep });
      for (let seq = 1; seq <= 2_500; seq += 1) await box.add("telemetry", sample(seq));
      expect(box.figures()).toEqual({ waiting: 2_000, dropped: 500 });
      await drain();
      const seqs = sent.flatMap((message) => message.seqs);
      expect([seqs[0], seqs.length]).toEqual([first, 2_000]);
    }
  });

  it("is bounded in bytes as well", async () => {
    const { box } = outbox();
    for (let seq = 1; seq <= 100; seq += 1) {
      const message = "x".repeat(10_000);
      await box.add("logs", { ts: 0, seq, level: "info", message });
    }
    const { waiting, dropped } = box.figures();
    expect(waiting + dropped).toBe(100);
    expect(waiting).toBeLessThanOrEqual(26);
  });

  it("sends a backlog at its pace", async () => {
    const { box, sent, drain } = outbox({ backlogItemsPerSecond: 100 });
    for (let seq = 1; seq <= 1_000; seq += 1) await box.add("telemetry", sample(seq));
    await drain();
    const took = (sent.at(-1)?.at ?? 0) - (sent[0]?.at ?? 0);
    expect(took).toBeGreaterThanOrEqual(9_000);
  });
});

describe("a clock that is wrong", () => {
  async function stateAt(clock: VirtualClock) {
    const flash = new SimulatedFlash(new PagePool(), seededRandom(1));
    return StateStore.load(flash.mount(), clock);
  }

  it("does not make what it said be remembered, if it leapt years ahead", async () => {
    const clock = new VirtualClock();
    const start = clock.now();
    const state = await stateAt(clock);
    await state.update((current) => current);
    const leaping = { ...clock, now: () => start + 12 * YEAR_MS };
    Object.assign(clock, { now: leaping.now });
    await state.update((current) => current);
    expect(state.trustedNow()).toBe(start + 12 * YEAR_MS);
    Object.assign(clock, { now: () => start + DAY_MS });
    await state.update((current) => current);
    expect(state.trustedNow()).toBe(start + DAY_MS);
    // Two days are believed, and never taken back.
    Object.assign(clock, { now: () => start + 2 * DAY_MS });
    await state.update((current) => current);
    Object.assign(clock, { now: () => start });
    expect(state.trustedNow()).toBe(start + 2 * DAY_MS);
  });

  it("is corrected by a signed time, after years in a store", async () => {
    const clock = new VirtualClock();
    const start = clock.now();
    const state = await stateAt(clock);
    await state.update((current) => current);
    Object.assign(clock, { now: () => start + 3 * YEAR_MS });
    state.proveTime(start + 3 * YEAR_MS - DAY_MS);
    await state.update((current) => current);
    Object.assign(clock, { now: () => start });
    expect(state.trustedNow()).toBe(start + 3 * YEAR_MS);
  });

  it("leaps ahead and back within an update, which still comes to its end", async () => {
    let skewMs = 0;
    const bench = await startBench({ skewMs: () => skewMs });
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer]);
    await bench.until(() => bench.phases().length > 0);
    skewMs = 12 * YEAR_MS;
    await bench.clock.advance(500);
    skewMs = -10 * DAY_MS;
    await bench.until(() => bench.phases().at(-1) === "succeeded", 7_200_000);
    expect(bench.running()?.version).toBe("1.1.0");
  });

  it("is put forward at the start to the last time known, and never back", async () => {
    const pki = await createTestPki();
    const { cert } = await pki.device("acme", "d-1");
    const storage = new SimulatedFlash(new PagePool(), seededRandom(1)).mount();
    const file = `/tmp/vautn-clock-${process.pid}`;
    const config = { setClock: ["/bin/sh", "-c", `echo {seconds} > ${file}`] };
    const log: string[] = [];
    const set = (nowMs: number, given: object = config) =>
      setClockForward(
        given,
        storage,
        { current: { certificate: cert } as never },
        (_level, message) => log.push(message),
        () => nowMs,
      );
    await set(Date.now() + DAY_MS);
    expect(fs.existsSync(file)).toBe(false);
    await set(0);
    const seconds = Number(fs.readFileSync(file, "utf8"));
    expect(Math.abs(seconds * 1_000 - Date.now())).toBeLessThan(20 * DAY_MS);
    await set(0, {});
    expect(log.at(-1)).toContain("see setClock");
    fs.rmSync(file);
  });
});
