import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPresenceWatch } from "../../src/jobs/presence-watch.ts";
import { createRolloutFleet, type RolloutFleet, SECOND } from "../support/rollout-fleet.ts";

let f: RolloutFleet;
beforeEach(async () => {
  gatewayLives = true;
  f = await createRolloutFleet({ devices: 30 });
});
afterEach(() => f.close());

const start = () => createPresenceWatch({ clock: f.clock, devices: f.devices, alerts: f.alerts });
type Watch = ReturnType<typeof start>;

/** The gateway that holds everybody's connection says that it lives; `false` while it is away. */
let gatewayLives = true;
const beatGateway = () =>
  f.db.platform((tx) =>
    sql`insert into mqtt_gateways (gateway_id, seen_at) values ('g', ${new Date(f.clock.now())})
        on conflict (gateway_id) do update set seen_at = excluded.seen_at`.execute(tx),
  );

/** Lets time pass in steps of ten seconds; who is in `speaking` sends its heartbeats. */
const live = async (watch: Watch, seconds: number, speaking: RolloutFleet["fleet"]) => {
  for (let passed = 0; passed < seconds; passed += 10) {
    await f.clock.advance(10 * SECOND);
    if (gatewayLives) await beatGateway();
    if (passed % 60 === 0) await f.beat(...speaking);
    await watch.begin();
    if ((await f.db.tenantsWith("due_presence", new Date(f.clock.now()))).includes(f.tenant)) {
      await watch.expire(f.tenant);
    }
    if ((await f.db.tenantsWith("presence_alerts", new Date(f.clock.now()))).includes(f.tenant)) {
      await watch.resolve(f.tenant);
    }
    await watch.end();
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
    await watch.end();
    await live(watch, 400, []);
    const kinds = (await open()).map((line) => line.split(" ")[0]);
    expect(kinds.filter((kind) => kind === "devices-offline")).toHaveLength(1);
    expect(kinds.length).toBeLessThan(11);
    const back = f.fleet.slice(2);
    // For as long as they take to come back nobody is named.
    await live(watch, 60, back);
    expect((await open()).filter((line) => line.startsWith("device-offline"))).toEqual([]);
    await live(watch, 120, back);
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

  it("after a start of the platform names nobody who takes a little longer to come back", async () => {
    const first = start();
    await live(first, 60, f.fleet);
    await f.clock.advance(3_600 * SECOND);
    const second = start();
    // Five of them find their way back only after the grace.
    await live(second, 130, f.fleet.slice(5));
    expect((await presenceOf("d-000")) === "online").toBe(false);
    await live(second, 60, f.fleet);
    expect((await f.alerts.list(f.tenant, { limit: 100 })).items).toEqual([]);
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

  it("is one alarm, of the platform, while the gateway that holds them does not answer", async () => {
    const watch = start();
    await live(watch, 60, f.fleet);
    gatewayLives = false;
    await live(watch, 400, []);
    expect(await open()).toEqual(["platform-outage gateway"]);
    expect(await presenceOf("d-001")).toBe("online");
    // The gateway is back, and so are the devices but one, which is named.
    gatewayLives = true;
    await live(watch, 200, f.fleet.slice(1));
    expect(await open()).toEqual(["device-offline d-000"]);
    const all = (await f.alerts.list(f.tenant, { limit: 100 })).items;
    expect(all.map(({ kind }) => kind).sort()).toEqual(["device-offline", "platform-outage"]);
  });
});

describe("a link that breaks again and again", () => {
  const connect = async (id: string, connectionId: string) => {
    await f.devices.connected(
      { tenantId: f.tenant, deviceId: id },
      { gatewayId: "g", connectionId },
    );
    await f.devices.flush();
  };

  it("makes a degraded device, whose alert does not come and go with it", async () => {
    const watch = start();
    const [quiet, ...others] = f.fleet as [RolloutFleet["fleet"][0]];
    for (let drop = 0; drop < 5; drop += 1) {
      await f.clock.advance(60 * SECOND);
      await connect(quiet.id, `c-${drop}`);
    }
    await f.devices.judgeDue(f.tenant);
    expect(await f.devices.get(f.tenant, quiet.id)).toMatchObject({
      health: "degraded",
      healthReasons: [{ code: "link-flapping", message: expect.stringContaining("broke about") }],
    });
    await live(watch, 240, others);
    expect(await open()).toEqual([`device-offline ${quiet.id}`]);
    await live(watch, 60, f.fleet);
    // It was back for a minute: the alert has not ended, and none follows when it goes again.
    expect(await open()).toEqual([`device-offline ${quiet.id}`]);
    await live(watch, 240, others);
    await f.clock.advance(4 * 3_600 * SECOND);
    await live(watch, 10, f.fleet);
    const mine = (await f.alerts.list(f.tenant, { limit: 100 })).items.filter(
      ({ subjectId }) => subjectId === quiet.id,
    );
    expect(mine).toMatchObject([{ kind: "device-offline", state: "resolved", occurrences: 2 }]);
  });
});
