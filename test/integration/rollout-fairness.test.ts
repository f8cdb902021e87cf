import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { supersede } from "../../src/rollouts/taking-over.ts";
import { actor, createRolloutFleet, type RolloutFleet, SECOND } from "../support/rollout-fleet.ts";

const ALL = { stages: [{ name: "all", percent: 100 }], holdbackPercent: 0 };
const HOUR = 3_600_000;

let f: RolloutFleet;
let told: string[];

beforeEach(async () => {
  f = await createRolloutFleet({ devices: 4 });
  told = [];
  f.bus.subscribe("device.>", (message, subject) => {
    if (message.kind === "update") told.push(subject.split(".").at(-1) ?? "");
  });
});

afterEach(() => f.close());

const clockTime = (offsetHours: number) =>
  new Date(f.clock.now() + offsetHours * HOUR).toISOString().slice(11, 16);
const device = (index: number) => f.fleet[index] as RolloutFleet["fleet"][number];
/** What is published is heard after the current turn of the event loop. */
const heard = () => new Promise((resolve) => setImmediate(resolve));
const disconnect = (index: number) =>
  f.db.tenant(f.tenant, (tx) =>
    tx
      .updateTable("device_states")
      .set({ connected: false, presence: "offline" })
      .where("device_id", "=", device(index).id)
      .execute(),
  );

describe("devices that wait for their place", () => {
  it("are reminded when their window opens, though the rollout has ended", async () => {
    await disconnect(0);
    const window = { from: clockTime(0), to: clockTime(2) };
    const id = await f.create((await f.publish("1.1.0")).id, { ...ALL, window });
    device(0).online = false;
    await f.runUntil(id, "succeeded");
    await f.clock.advance(4 * HOUR);
    await f.connect(device(0));
    await f.beat(...f.fleet);
    device(0).online = true;
    expect(await f.rollouts.currentAssignment(f.tenant, device(0).id)).toBeNull();
    told = [];
    await f.rollouts.tick(f.tenant);
    await heard();
    expect(told).toEqual([]);
    await f.clock.advance(20.5 * HOUR);
    await f.rollouts.tick(f.tenant);
    await heard();
    expect(told).toEqual([device(0).id]);
    expect(await f.obey(device(0))).toBe(true);
    // Nobody is left to be reminded: the rollout rests.
    await f.clock.advance(120 * SECOND);
    await f.rollouts.tick(f.tenant);
    expect((await f.rollouts.get(f.tenant, id)).nextEvaluationAt).toBeNull();
  });

  it("hear that the kill switch is off, also where their rollout has ended", async () => {
    await disconnect(0);
    const id = await f.create((await f.publish("1.1.0")).id, ALL);
    device(0).online = false;
    await f.runUntil(id, "succeeded");
    await f.rollouts.stopUpdates(f.tenant, actor, "drill");
    await f.connect(device(0));
    expect(await f.rollouts.currentAssignment(f.tenant, device(0).id)).toBeNull();
    told = [];
    await f.rollouts.allowUpdates(f.tenant, actor);
    await heard();
    expect(told).toEqual([device(0).id]);
  });

  it("are counted under the lock under which places are taken", async () => {
    const policy = { ...ALL, maxConcurrent: 2 };
    const id = await f.create((await f.publish("1.1.0")).id, policy);
    await f.rollouts.tick(f.tenant);
    await f.obey(device(0));
    let isDone = false;
    let ticking: Promise<void> = Promise.resolve();
    await f.db.tenant(f.tenant, async (tx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${`pace/${id}`}, 0))`.execute(tx);
      await f.clock.advance(6 * SECOND);
      ticking = f.rollouts.tick(f.tenant).then(() => {
        isDone = true;
      });
      for (let waits = 0; waits === 0; ) {
        const { rows } = await sql<{ waits: number }>`
          select count(*) as waits from pg_locks
          where locktype = 'advisory' and not granted`.execute(tx);
        waits = Number(rows[0]?.waits);
      }
      expect(isDone).toBe(false);
    });
    await ticking;
    await f.expectCountersToMatch(id);
  });
});

describe("a device that begins an update while a rollout after it is made", () => {
  it("stays with the one and is taken out of the other", async () => {
    const low = await f.create((await f.publish("1.1.0")).id, ALL);
    const high = await f.create((await f.publish("1.2.0")).id, { ...ALL, priority: 10 });
    // As though the last look at the fleet had been before its first word.
    const begun = device(1).id;
    const set = (state: "downloading", of: string) =>
      f.db.tenant(f.tenant, (tx) =>
        tx
          .updateTable("rollout_devices")
          .set({ state })
          .where("rollout_id", "=", of)
          .where("device_id", "=", begun)
          .execute(),
      );
    await set("downloading", low);
    await f.db.tenant(f.tenant, (tx) =>
      sql`update rollout_counters set devices = devices
            + case state when 'downloading' then 1 when 'withdrawn' then -1 else 0 end
          where rollout_id = ${low}`.execute(tx),
    );
    await f.db.tenant(f.tenant, (tx) => supersede(tx, f.tenant, high, new Date(f.clock.now())));
    expect((await f.states(low)).get(begun)).toBe("downloading");
    expect((await f.states(high)).get(begun)).toBe("withdrawn");
    expect((await f.states(high)).get(device(2).id)).toBe("pending");
    await f.expectCountersToMatch(low);
    await f.expectCountersToMatch(high);
  });
});

describe("a device that is removed", () => {
  it("takes its part in rollouts along, and waits for who plans", async () => {
    const id = await f.create((await f.publish("1.1.0")).id, ALL);
    await f.rollouts.tick(f.tenant);
    await f.obey(device(0));
    let removing: Promise<void> = Promise.resolve();
    let isRemoved = false;
    await f.db.tenant(f.tenant, async (tx) => {
      const key = `rollouts/${f.tenant}`;
      await sql`select pg_advisory_xact_lock(hashtextextended(${key}, 0))`.execute(tx);
      removing = f.devices.remove(f.tenant, device(0).id, actor).then(() => {
        isRemoved = true;
      });
      for (let waits = 0; waits === 0; ) {
        const { rows } = await sql<{ waits: number }>`
          select count(*) as waits from pg_locks
          where locktype = 'advisory' and not granted`.execute(tx);
        waits = Number(rows[0]?.waits);
      }
      expect(isRemoved).toBe(false);
    });
    await removing;
    expect((await f.states(id)).has(device(0).id)).toBe(false);
    await f.expectCountersToMatch(id);
  });
});

describe("a rollout", () => {
  it("does not end while a device that failed is to be tried again", async () => {
    const retry = { attempts: 1, afterSeconds: 60 };
    const policy = { ...ALL, retry, toleratedFailureShare: 0.9 };
    const id = await f.create((await f.publish("1.1.0")).id, policy);
    const bad = device(2).id;
    await f.run(40, (unit) => (unit.id === bad ? "falls-back" : "well"));
    const view = await f.rollouts.get(f.tenant, id);
    expect(view).toMatchObject({ state: "running", lastVerdict: { rule: "retries-due" } });
    await f.runUntil(id, "succeeded");
    expect((await f.states(id)).get(bad)).toBe("succeeded");
    await f.expectCountersToMatch(id);
  });

  it("that is dynamic is refused where a tenant has too many, instead of joined by nobody", async () => {
    const policy = { ...ALL, dynamic: true };
    const spec = (name: string, query: string, releaseId: string) => ({
      name,
      query,
      releaseId,
      policy,
    });
    const release = await f.publish("1.1.0");
    await f.rollouts.create(f.tenant, spec("first", "id = d-000", release.id), actor);
    await f.db.tenant(f.tenant, (tx) =>
      sql`insert into rollouts (tenant_id, id, name, kind, release_id, query, policy, state,
            created_at, created_by, is_dynamic)
          select tenant_id, gen_random_uuid(), 'copy', kind, release_id, query, policy, 'paused',
                 created_at, created_by, true
          from rollouts, generate_series(1, 99)`.execute(tx),
    );
    const one = f.rollouts.create(f.tenant, spec("more", "id = d-001", release.id), actor);
    await expect(one).rejects.toMatchObject({ code: "quota-exceeded" });
  });

  it("asks slow stores only for a look of the gate, however often it offers", async () => {
    const policy = { ...ALL, maxConcurrent: 1, evaluateEverySeconds: 60 };
    await f.create((await f.publish("1.1.0")).id, policy);
    await f.run(30);
    expect(f.looks()).toBe(1);
    await f.run(60);
    expect(f.looks()).toBe(2);
  });

  it("counts errors that were logged while the log store was away", async () => {
    const log: { deviceId: string; ts: number }[] = [];
    f.setErrorLog(({ from, to }) => log.filter(({ ts }) => ts >= from && ts < to));
    const patience = { maxSoakSeconds: 86_400, askAfterSeconds: 86_400 };
    const policy = { ...ALL, ...patience, holdbackPercent: 50 };
    const id = await f.create((await f.publish("1.1.0")).id, policy);
    await f.run(20);
    await f.clock.advance(700 * SECOND);
    await f.rollouts.tick(f.tenant);
    f.setErrorLog(() => {
      throw new Error("away");
    });
    const waiting = [...(await f.states(id))].find(([, state]) => state === "pending")?.[0] ?? "";
    log.push({ deviceId: waiting, ts: f.clock.now() + SECOND });
    for (let minute = 0; minute < 10; minute += 1) {
      await f.clock.advance(60 * SECOND);
      await f.rollouts.tick(f.tenant);
    }
    const errors = async () => (await f.rollouts.get(f.tenant, id)).evidence["error-log"];
    expect((await errors())?.control.events).toBe(0);
    f.setErrorLog(({ from, to }) => log.filter(({ ts }) => ts >= from && ts < to));
    await f.clock.advance(60 * SECOND);
    await f.rollouts.tick(f.tenant);
    expect((await errors())?.control.events).toBe(1);
  });
});
