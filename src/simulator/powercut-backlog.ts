import { Outbox, SequenceNumbers, StateStore, type Storage } from "../agent/index.ts";
import { type Random, randomInteger, seededRandom, VirtualClock } from "../kernel/index.ts";
import { PagePool } from "./page-pool.ts";
import type { PowercutRun } from "./powercut-run.ts";
import { PowerLost, SimulatedFlash } from "./simulated-flash.ts";

/** The backlog of a device that is offline and online in turn. */
export const BACKLOGS = ["backlog"] as const;
export type BacklogScenario = (typeof BACKLOGS)[number];

const LIVES_ACTIONS = 12;
/** Power also goes between two changes of the flash. */
const MIN_LIVES = 3;
const MAX_LIVES = 12;
const STEP_MS = 500;
const DRAIN_STEPS = 2_000;

interface World {
  clock: VirtualClock;
  random: Random;
  flash: SimulatedFlash;
  /** Events whose `add` has resolved: they are promised. */
  promised: Map<number, string>;
  /** What the platform has acknowledged, by number. */
  received: Map<number, string>;
  violations: string[];
  connected: boolean;
}

/**
 * Events, logs and telemetry of the real outbox on a simulated flash whose power goes at the given
 * changes. Every event that was promised arrives, whole; no number ever stands for two things.
 */
export async function keepBacklogWithCuts(
  cutsAt: readonly number[],
  seed: number,
): Promise<PowercutRun> {
  const random = seededRandom(seed);
  const world: World = {
    clock: new VirtualClock(),
    random,
    flash: new SimulatedFlash(new PagePool(), random),
    promised: new Map(),
    received: new Map(),
    violations: [],
    connected: false,
  };
  let cuts = 0;
  let operations = 0;
  const left = [...cutsAt];
  for (let life = 0; life < MAX_LIVES; life += 1) {
    const before = world.flash.operations;
    const next = left.shift();
    if (next !== undefined) {
      world.flash.cutPowerAfter(next, () => {
        cuts += 1;
      });
    }
    const isLast = next === undefined && life >= MIN_LIVES;
    const survived = await live(world, isLast);
    operations = Math.max(operations, world.flash.operations - before);
    if (survived && isLast) break;
    world.flash.cancelPowerCut();
    // A cut that did not come in that life: the power goes in between then.
    world.flash.cutPower();
    world.flash.restorePower();
  }
  for (const [seq, type] of world.promised) {
    const got = world.received.get(seq);
    if (got !== type)
      world.violations.push(`event ${seq} (${type}) arrived as ${got ?? "nothing"}`);
  }
  return { outcome: "kept", operations, cuts, violations: world.violations };
}

/** One life of the machine; false where the power went. */
async function live(world: World, isLast: boolean): Promise<boolean> {
  const { clock, flash, random } = world;
  const storage = flash.mount();
  world.connected = false;
  let outbox: Outbox | undefined;
  try {
    const state = await StateStore.load(storage, clock);
    const numbers = await SequenceNumbers.open(state);
    outbox = outboxOf(world, storage);
    await outbox.load();
    for (let action = 0; action < LIVES_ACTIONS; action += 1) {
      if (randomInteger(random, 4) === 0) {
        world.connected = !world.connected;
        if (world.connected) outbox.wake();
      }
      await addSomething(world, outbox, numbers);
      await clock.advance(STEP_MS);
    }
    if (!isLast && randomInteger(random, 2) === 0) {
      // The power goes between two writes, with whatever is in memory.
      outbox.halt();
      return false;
    }
    world.connected = true;
    outbox.wake();
    for (let step = 0; isLast && outbox.figures().waiting > 0; step += 1) {
      if (step > DRAIN_STEPS) throw new Error("the backlog was not sent to its end");
      await clock.advance(STEP_MS);
    }
    await outbox.stop();
    return true;
  } catch (error) {
    outbox?.halt();
    if (!(error instanceof PowerLost)) world.violations.push(String(error));
    return false;
  }
}

function outboxOf(world: World, storage: Storage): Outbox {
  return new Outbox({
    storage,
    clock: world.clock,
    isConnected: () => world.connected,
    async publish(topic, payload) {
      const items = [JSON.parse(payload)].flat() as { seq: number }[];
      for (const item of items) {
        const text = `${topic} ${JSON.stringify({ ...item, seq: undefined })}`;
        const before = world.received.get(item.seq);
        if (before !== undefined && before !== text) {
          world.violations.push(`number ${item.seq} was used for two things`);
        }
        world.received.set(item.seq, text);
      }
    },
    onProblem: () => {},
  });
}

async function addSomething(world: World, outbox: Outbox, numbers: SequenceNumbers) {
  const { clock, random, promised } = world;
  const seq = numbers.next();
  const ts = clock.now();
  const mark = Math.floor(random.next() * 1e9);
  const kind = randomInteger(random, 3);
  if (kind === 0) return outbox.add("telemetry", { ts, seq, values: { mark } });
  if (kind === 1) return outbox.add("logs", { ts, seq, level: "info", message: `line ${mark}` });
  const event = { ts, seq, type: `event-${mark}` };
  await outbox.add("events", event);
  promised.set(seq, `events ${JSON.stringify({ ...event, seq: undefined })}`);
}
