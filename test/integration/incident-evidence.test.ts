import { sql } from "kysely";
import pg from "pg";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createRolloutFleet, type RolloutFleet, SECOND } from "../support/rollout-fleet.ts";

let f: RolloutFleet;
beforeEach(async () => {
  f = await createRolloutFleet({ devices: 20 });
});
afterEach(() => f.close());

const asOwnerOfAll = async (...statements: string[]) => {
  const client = new pg.Client({ connectionString: f.superuserUrl });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
};

/** What stands in the store, where the view shows what the gate weighs. */
const evidenceOf = (id: string, metric: string) =>
  f.db.tenant(f.tenant, async (tx) => {
    const rows = await tx
      .selectFrom("rollout_evidence")
      .select((build) => [
        "arm",
        build.fn.sum<number>("events").as("events"),
        build.fn.sum<number>("raw_events").as("rawEvents"),
        build.fn.sum<number>("exposure_ms").as("exposureMs"),
      ])
      .where("rollout_id", "=", id)
      .where("metric", "=", metric)
      .groupBy("arm")
      .execute();
    return Object.fromEntries(
      rows.map(({ arm, events, rawEvents, exposureMs }) => [
        arm,
        { events: Number(events), rawEvents: Number(rawEvents), exposureMs: Number(exposureMs) },
      ]),
    );
  });
const crashes = (id: string) => evidenceOf(id, "crash");
const begin = async (policy: object = {}) => {
  const release = await f.publish("1.1.0");
  const id = await f.create(release.id, { canaryCrashLimit: 50, askAfterSeconds: 1e6, ...policy });
  await f.run(5);
  const canaries = f.fleet.filter((device) => device.running.version === "1.1.0");
  const [canary] = canaries;
  if (!canary) throw new Error("no canary was updated");
  return { id, canary, canaries };
};

describe("incidents as evidence", () => {
  it("are not lost when the database fails between their recording and their counting", async () => {
    const { id, canary } = await begin();
    await asOwnerOfAll(
      `create function fail() returns trigger language plpgsql as
       $$ begin raise exception 'the disk is full'; end $$`,
      `create trigger fail before update of raw_events on rollout_evidence
       for each row execute function fail()`,
    );
    const key = { key: "b:1" };
    await f.incident(canary, key);
    await expect(f.rollouts.tick(f.tenant)).rejects.toThrow("the disk is full");
    // The device, unheard, brings its message again: for the store it is nothing new.
    await f.incident(canary, key);
    expect(await crashes(id)).toMatchObject({ treated: { events: 0, rawEvents: 0 } });
    await asOwnerOfAll("drop trigger fail on rollout_evidence");
    expect(await f.db.tenantsWith("due_rollouts", new Date(0))).toEqual([f.tenant]);
    await f.make().tick(f.tenant);
    expect(await crashes(id)).toMatchObject({ treated: { events: 1, rawEvents: 1 } });
    await f.rollouts.tick(f.tenant);
    expect(await crashes(id)).toMatchObject({ treated: { events: 1, rawEvents: 1 } });
    expect(await f.db.tenantsWith("due_rollouts", new Date(0))).toEqual([]);
  });

  it("count once though several workers count at the same time", async () => {
    const { id, canary } = await begin();
    for (let count = 0; count < 30; count += 1) await f.incident(canary);
    await Promise.all([f.make(), f.make(), f.make()].map((worker) => worker.tick(f.tenant)));
    await f.rollouts.tick(f.tenant);
    expect(await crashes(id)).toMatchObject({ treated: { events: 1, rawEvents: 30 } });
  });

  it("stop the rollout at the very tick that counts them", async () => {
    const { id, canary } = await begin({ canaryCrashLimit: 1 });
    await f.incident(canary);
    await f.rollouts.tick(f.tenant);
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({ state: "paused" });
  });

  it("of the time before a rollout speak neither for it nor against it", async () => {
    const [device] = f.fleet;
    if (!device) throw new Error("no device");
    await f.incident(device);
    await f.clock.advance(SECOND);
    const { id } = await begin();
    expect(await crashes(id)).toMatchObject({ control: { rawEvents: 0 } });
  });

  it("of one device are kept up to a bound, so that it cannot keep the gate busy", async () => {
    const { id, canary } = await begin();
    for (let count = 0; count < 70; count += 1) await f.incident(canary);
    await f.rollouts.tick(f.tenant);
    expect(await crashes(id)).toMatchObject({ treated: { events: 1, rawEvents: 60 } });
    expect(await f.rollouts.get(f.tenant, id)).toMatchObject({ state: "paused" });
  });

  it("count one crash when the program and the boot after it both tell of it", async () => {
    const { id, canary } = await begin();
    await f.incident(canary, { key: "b1:3", bootId: "b1" });
    await f.incident(canary, { key: "boot:b2", bootId: "b2", toldByBoot: true });
    await f.incident(canary, { key: "boot:b2", bootId: "b2", toldByBoot: true });
    await f.rollouts.tick(f.tenant);
    expect(await crashes(id)).toMatchObject({ treated: { rawEvents: 1 } });
  });
});

describe("the silence of a device", () => {
  const fallSilent = async (...devices: RolloutFleet["fleet"]) => {
    for (const device of devices) {
      device.online = false;
      await f.devices.disconnected(f.peer(device), { connectionId: device.id, reason: "test" });
    }
    await f.clock.advance(600 * SECOND);
    await f.beat(...f.fleet.filter((device) => device.online));
    await f.devices.expirePresence(f.tenant, f.clock.now());
    await f.rollouts.tick(f.tenant);
  };

  it("after an update is evidence against it, and as a canary it holds the rollout", async () => {
    const { id, canary } = await begin({ maxSoakSeconds: 20 });
    await fallSilent(canary);
    const view = await f.rollouts.get(f.tenant, id);
    expect(await evidenceOf(id, "silence")).toMatchObject({
      treated: { events: 1 },
      control: { events: 0 },
    });
    expect(view).toMatchObject({
      state: "running",
      stageIndex: 0,
      lastVerdict: { rule: "canaries-silent" },
    });
    canary.online = true;
    await f.connect(canary);
    await f.beat(canary);
    const widened = async () => (await f.rollouts.get(f.tenant, id)).stageIndex > 0;
    await f.run(300, undefined, widened);
    expect(await widened()).toBe(true);
  });

  it("among those who wait counts for the other arm", async () => {
    const { id } = await begin();
    const waiting = f.fleet.filter((device) => device.running.version === "1.0.0").slice(0, 3);
    await fallSilent(...waiting);
    expect(await evidenceOf(id, "silence")).toMatchObject({
      treated: { events: 0 },
      control: { events: 3 },
    });
  });

  it("stops its time from counting as time without a crash", async () => {
    const { id, canaries } = await begin({ maxSoakSeconds: null, minSoakSeconds: 100_000 });
    await fallSilent(...canaries);
    const exposed = async () => (await crashes(id)).treated?.exposureMs ?? 0;
    const before = await exposed();
    await f.clock.advance(3_600 * SECOND);
    await f.beat(...f.fleet.filter((device) => device.online));
    await f.rollouts.tick(f.tenant);
    expect(await exposed()).toBe(before);
    expect((await crashes(id)).control?.exposureMs).toBeGreaterThan(18 * 3_600 * SECOND);
  });
});

it("incidents are forgotten when nobody asks for them any more", async () => {
  const [device] = f.fleet;
  if (!device) throw new Error("no device");
  await f.incident(device);
  await f.rollouts.tick(f.tenant);
  const later = f.clock.now() + 91 * 86_400 * SECOND;
  expect(await f.devices.forgetIncidents(f.tenant, f.clock.now())).toBe(0);
  expect(await f.devices.forgetIncidents(f.tenant, later)).toBe(1);
  const { rows } = await f.db.tenant(f.tenant, (tx) =>
    sql`select from device_incidents`.execute(tx),
  );
  expect(rows).toEqual([]);
});
