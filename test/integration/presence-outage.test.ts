import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createPresenceWorld, deviceId, seedHeard, TENANT } from "../support/presence-world.ts";

const DEVICES = 10_000;
const INTERVAL_SECONDS = 60;
const everybody = Array.from({ length: DEVICES }, (_, number) => number);

let test: TestDatabase;
let clock: VirtualClock;
let world: Awaited<ReturnType<typeof createPresenceWorld>>;

beforeAll(async () => {
  test = await createTestDatabase();
  clock = new VirtualClock(Date.UTC(2026, 5, 1));
  world = await createPresenceWorld(test.db, clock, INTERVAL_SECONDS);
  const heard = { nowMs: clock.now(), intervalSeconds: INTERVAL_SECONDS };
  await seedHeard(test.ownerUrl, DEVICES, heard);
});
afterAll(() => test.close());

const pass = async (seconds: number, stepSeconds = 1) => {
  for (let passed = 0; passed < seconds; passed += stepSeconds) {
    await clock.advance(stepSeconds * 1_000);
    await world.pass();
  }
};
const alerts = async () => (await world.alerts.list(TENANT, { limit: 500 })).items;

describe("ten thousand devices that lose the platform at once", () => {
  it("are one alert, though they go offline one after another, and end it by coming back", async () => {
    await world.watch.begin();
    // Until every deadline has passed: the last were heard at the very moment of the outage.
    await pass(110, 5);
    await pass(90);
    const [alert, ...more] = await alerts();
    expect(more).toEqual([]);
    expect(alert).toMatchObject({ kind: "devices-offline", state: "open" });
    expect((await world.devices.silence(TENANT, 0)).devices).toBe(DEVICES);
    expect(await world.devices.get(TENANT, deviceId(7))).toMatchObject({
      health: "offline",
      healthReasons: [{ code: "silent" }],
    });

    // They come back over half a minute; then one of them goes on its own.
    for (let part = 0; part < 6; part += 1) {
      await world.beat(everybody.filter((number) => number % 6 === part));
      await pass(5, 5);
    }
    const after = await alerts();
    expect(after).toMatchObject([{ kind: "devices-offline", state: "resolved" }]);
    expect(await world.devices.get(TENANT, deviceId(7))).toMatchObject({ health: "healthy" });

    const timeline = await world.devices.timeline(TENANT, deviceId(7), {
      before: undefined,
      limit: 10,
    });
    const changes = timeline.map(({ kind, details }) => [kind, details.from, details.to]);
    expect(changes).toEqual([
      ["health", "offline", "healthy"],
      ["health", "degraded", "offline"],
      ["health", "healthy", "degraded"],
    ]);
  });

  it("leave a single death noticed within the missed heartbeats and five seconds", async () => {
    await world.beat(everybody);
    await world.pass();
    for (let beats = 0; beats < 2; beats += 1) {
      await pass(60, 10);
      await world.beat(everybody.slice(1));
    }
    await pass(59);
    expect(await world.devices.get(TENANT, deviceId(0))).toMatchObject({ presence: "late" });
    await pass(6);
    expect(await world.devices.get(TENANT, deviceId(0))).toMatchObject({ presence: "offline" });
    const open = (await alerts()).filter(({ state }) => state === "open");
    expect(open).toMatchObject([{ kind: "device-offline", subjectId: deviceId(0) }]);
  });
});
