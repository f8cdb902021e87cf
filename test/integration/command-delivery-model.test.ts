import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { type Commands, type CommandView, createCommands } from "../../src/commands/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { CommandWorld, DEVICE } from "../support/command-world.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const RUNS = Number(process.env.COMMAND_MODEL_RUNS ?? 12);

let test: TestDatabase;
let tenants = 0;
beforeAll(async () => {
  test = await createTestDatabase();
});
afterAll(() => test.close());

const op = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      priority: fc.constantFrom(0, 0, 0, 10),
      key: fc.option(fc.constantFrom("a", "b"), { freq: 3 }),
      ttlSeconds: fc.constantFrom(5, 60, 86_400),
      attempts: fc.constantFrom(1, 1, 3),
      fails: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("fetch" as const) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("arrive" as const),
      cut: fc.constantFrom(...(["nothing", "nothing", "line", "power"] as const)),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("acknowledge" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("connect" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("disconnect" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), at: fc.nat(20) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("pass" as const),
      seconds: fc.constantFrom(1, 6, 61, 3 * 86_400),
    }),
  },
);
type Op = typeof op extends fc.Arbitrary<infer Value> ? Value : never;

/** What the model knows of an order: what was said, and in which place. */
interface Ordered {
  place: number;
  priority: number;
  key: string | null;
}

async function run(ops: readonly Op[]): Promise<void> {
  const clock = new VirtualClock(Date.UTC(2026, 5, 1));
  const deps = { db: test.db, clock, bus: new LocalBus() };
  const tenancy = createTenancy(deps);
  const commands = createCommands({ ...deps, tenancy });
  const tenant = `model-${tenants++}`;
  await tenancy.tenants.create({ id: tenant, name: tenant }, SYSTEM_ACTOR);
  const device = { id: DEVICE, product: "hub", hardwareRevision: "a" };
  await createDevices({ ...deps, tenancy }).register(null, tenant, device);

  const model = new Map<string, Ordered>();
  const failing = new Set<string>();
  const world = new CommandWorld({ commands, tenant, clock, fails: (id) => failing.has(id) });
  const due = async () => {
    while ((await commands.expireDue(tenant, clock.now())).length > 0);
  };

  for (const one of ops) {
    if (one.do === "send") {
      const [sent] = await commands.send(tenant, orderOf(one, clock.now()), SYSTEM_ACTOR, null);
      const { id } = sent as CommandView;
      model.set(id, {
        place: model.size,
        priority: one.priority,
        key: one.key,
      });
      if (one.fails) failing.add(id);
    } else if (one.do === "cancel") {
      const id = [...model.keys()][one.at];
      if (id) await commands.cancel(tenant, id, SYSTEM_ACTOR).catch(() => {});
    } else if (one.do === "pass") {
      await clock.advance(one.seconds * 1_000);
      await due();
    } else if (one.do === "arrive") await world.arrive(one.cut);
    else if (one.do === "disconnect") world.disconnect();
    else await world[one.do]();
    await checkQueue(commands, tenant, clock, model);
  }
  // However it went: once connected, everything comes to its end.
  for (let round = 0; round < 4; round += 1) {
    await due();
    await world.drain();
  }
  await checkEnds(commands, tenant, world, model);
}

function orderOf(one: Extract<Op, { do: "send" }>, now: number) {
  return {
    deviceIds: [DEVICE],
    name: "work",
    args: { expiresAt: now + one.ttlSeconds * 1_000 },
    ttlSeconds: one.ttlSeconds,
    priority: one.priority,
    ...(one.key ? { coalesceKey: one.key } : {}),
    retry: { attempts: one.attempts, delaySeconds: 0, on: ["failed" as const] },
  };
}

/** The queue is in order, holds one command of a key, and nothing that is late. */
async function checkQueue(
  commands: Commands,
  tenant: string,
  clock: VirtualClock,
  model: ReadonlyMap<string, Ordered>,
): Promise<void> {
  const waiting = await commands.undelivered(tenant, DEVICE, 100);
  const firsts = waiting.flatMap(({ id }) => model.get(id) ?? []);
  const sorted = firsts.toSorted(
    (left, right) => right.priority - left.priority || left.place - right.place,
  );
  expect(firsts).toEqual(sorted);
  const keys = firsts.flatMap(({ key }) => key ?? []);
  expect(new Set(keys).size).toBe(keys.length);
  for (const { expiresAt } of waiting) expect(expiresAt).toBeGreaterThan(clock.now());
}

async function checkEnds(
  commands: Commands,
  tenant: string,
  world: CommandWorld,
  model: ReadonlyMap<string, Ordered>,
): Promise<void> {
  const ids = world.executed.map(({ id }) => id);
  expect(new Set(ids).size, "nothing is carried out twice").toBe(ids.length);
  for (const { at, expiresAt } of world.executed) expect(at).toBeLessThan(expiresAt);
  const { items } = await commands.list(tenant, { limit: 500 });
  for (const item of items) {
    const wasExecuted = ids.includes(item.id);
    expect(
      ["succeeded", "failed", "expired", "replaced", "cancelled", "rejected"],
      `${item.status} is an end`,
    ).toContain(item.status);
    if (item.status === "succeeded") expect(wasExecuted).toBe(true);
    if (item.status === "failed" && !item.error?.includes("restarted")) {
      expect(wasExecuted).toBe(true);
    }
    // Never delivered, or known from the device itself: nothing is silently lost.
    if (wasExecuted && ["expired", "replaced", "cancelled"].includes(item.status)) {
      expect(item.lateResult, `${item.status} and carried out`).not.toBeNull();
    }
    if (item.status === "rejected") expect(item.error).toBe("expired");
  }
  const places = ids.flatMap((id) => model.get(id) ?? []);
  for (const priority of [0, 10]) {
    const order = places.filter((one) => one.priority === priority).map(({ place }) => place);
    expect(order, "nothing is reordered").toEqual(order.toSorted((a, b) => a - b));
  }
}

it("nothing is lost, doubled, reordered or delivered late, whatever happens on the way", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(op, { minLength: 10, maxLength: 40 }), (ops) => run(ops)),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 120_000);
