import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPresenceWatch } from "../../src/jobs/presence-watch.ts";
import { createRolloutFleet, type RolloutFleet, SECOND } from "../support/rollout-fleet.ts";

let f: RolloutFleet;
beforeEach(async () => {
  f = await createRolloutFleet({ devices: 30 });
});
afterEach(() => f.close());

const start = () => createPresenceWatch({ clock: f.clock, devices: f.devices, alerts: f.alerts });
type Watch = ReturnType<typeof start>;

/** Lets time pass in steps of ten seconds; who is in `speaking` sends its heartbeats. */
const live = async (watch: Watch, seconds: number, speaking: RolloutFleet["fleet"]) => {
  for (let passed = 0; passed < seconds; passed += 10) {
    await f.clock.advance(10 * SECOND);
    if (passed % 60 === 0) await f.beat(...speaking);
    await watch.begin();
    if ((await f.db.tenantsWith("due_presence", new Date(f.clock.now()))).includes(f.tenant)) {
      await watch.expire(f.tenant);
    }
    if ((await f.db.tenantsWith("presence_alerts", new Date(f.clock.now()))).includes(f.tenant)) {
      await watch.resolve(f.tenant);
    }
    watch.end();
  }
};
const open = async () => {
  const { items } = await f.alerts.list(f.tenant, { state: "open", limit: 100 });
  return items.map((alert) => `${alert.kind} ${alert.subjectId}`).sort();
};
const presenceOf = async (id: string) => (await f.devices.get(f.tenant, id)).presence;

describe("the silence of a device", () => {
  it("makes it late, then offline with an alert, which ends when it is heard again", async () => {
    const watch = start();
    const [quiet, ...others] = f.fleet as [RolloutFleet["fleet"][0]];
    await live(watch, 100, others);
    expect(await presenceOf(quiet.id)).toBe("late");
    expect(await open()).toEqual([]);
    await live(watch, 120, others);
    expect(await presenceOf(quiet.id)).toBe("offline");
    expect(await open()).toEqual([`device-offline ${quiet.id}`]);
    await live(watch, 300, others);
    expect(await open()).toEqual([`device-offline ${quiet.id}`]);
    await live(watch, 10, f.fleet);
    expect(await open()).toEqual([]);
    expect((await f.alerts.list(f.tenant, { state: "resolved" })).items).toMatchObject([
      { subjectId: quiet.id, occurrences: 1 },
    ]);
  });

  it("of a device that people have taken out of service is no news", async () => {
    const watch = start();
    const [quiet, ...others] = f.fleet as [RolloutFleet["fleet"][0]];
    const actor = { kind: "user" as const, id: "u", name: "Ada" };
    await f.devices.update(f.tenant, quiet.id, { status: "quarantined" }, actor);
    await live(watch, 300, others);
    expect(await open()).toEqual([]);
  });

  it("ends as an alert when the device is removed", async () => {
    const watch = start();
    const [quiet, ...others] = f.fleet as [RolloutFleet["fleet"][0]];
    await live(watch, 300, others);
    expect(await open()).toHaveLength(1);
    await f.devices.remove(f.tenant, quiet.id, { kind: "user", id: "u", name: "Ada" });
    await live(watch, 10, others);
    expect(await open()).toEqual([]);
  });
});

describe("the silence of many", () => {
  it("is one alert though they fall silent one after another, and names who stays away", async () => {
    const watch = start();
    // Their heartbeats are spread over the interval, and so are the moments when they go offline.
    for (const device of f.fleet) {
      await f.clock.advance(2 * SECOND);
      await f.beat(device);
    }
    await watch.begin();
    watch.end();
    await live(watch, 400, []);
    const kinds = (await open()).map((line) => line.split(" ")[0]);
    expect(kinds.filter((kind) => kind === "devices-offline")).toHaveLength(1);
    expect(kinds.length).toBeLessThan(11);
    const back = f.fleet.slice(2);
    await live(watch, 10, back);
    const missing = f.fleet.slice(0, 2).map((device) => `device-offline ${device.id}`);
    expect(await open()).toEqual(missing);
  });

  it("while the platform was away alarms for nobody who comes back in time", async () => {
    const first = start();
    await live(first, 60, f.fleet);
    await f.clock.advance(3_600 * SECOND);
    const second = start();
    await second.begin();
    await live(second, 60, []);
    expect(await open()).toEqual([]);
    await live(second, 120, f.fleet);
    expect(await open()).toEqual([]);
  });

  it("after a start of the platform is one alarm, which says what it may be", async () => {
    await f.clock.advance(3_600 * SECOND);
    const watch = start();
    await live(watch, 200, []);
    const { items } = await f.alerts.list(f.tenant, { state: "open" });
    expect(items.map((alert) => alert.kind)).toEqual(["devices-offline"]);
    expect(items[0]?.title).toMatch(
      /^30 of 30 devices \(100 %\) .* have not come back since the platform started at /,
    );
  });

  it("is nobody's fault when the database was away in between, without a restart", async () => {
    const watch = start();
    await live(watch, 60, f.fleet);
    // No pass ended for ten minutes: no heartbeat could be written either.
    await f.clock.advance(600 * SECOND);
    await live(watch, 20, []);
    expect(await open()).toEqual([]);
    await live(watch, 120, f.fleet);
    expect(await open()).toEqual([]);
  });
});
