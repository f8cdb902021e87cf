import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BEAT_INTERVAL_MS, DEAD_AFTER_MS, GatewayBeats } from "../../src/gateway/gateway-beats.ts";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { Sessions } from "../../src/gateway/sessions.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const TOPIC = "tenants/acme/devices/d-1/telemetry";
const kept = { clean: true, properties: { sessionExpiryInterval: 100 } };

let fixture: GatewayFixture;
let device: Credentials;
const gateways: Gateway[] = [];
const clients: RawClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  device = await fixture.pki.device("acme", "d-1");
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const gateway of gateways.splice(0)) await gateway.close();
  await until(() => fixture.gateway.connections() === 0);
  await until(async () => (await armed()).length === 0);
  fixture.recorded.available = true;
  fixture.recorded.telemetry.length = 0;
});
afterAll(() => fixture.close());

async function start(gatewayId: string): Promise<Gateway> {
  const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId };
  const gateway = await startGateway({ ...fixture.deps, ...listen });
  gateways.push(gateway);
  return gateway;
}

async function connect(gateway: Gateway, number: number | undefined, more: object = {}) {
  const will = number === undefined ? undefined : willOf(number, more);
  const client = await RawClient.connect(gateway.port, device, {
    ...kept,
    ...(will ? { will } : {}),
  });
  clients.push(client);
  return client;
}

function willOf(number: number, { delay = 0 }: { delay?: number }) {
  const payload = Buffer.from(JSON.stringify({ ts: number, seq: number, values: { a: number } }));
  const properties = delay === 0 ? {} : { willDelayInterval: delay };
  return { topic: TOPIC, payload, qos: 1 as const, retain: false, properties };
}

const published = () =>
  fixture.recorded.telemetry.map(({ payload }) => (payload as { seq: number }).seq);

async function armed(): Promise<unknown[]> {
  const { rows } = await fixture.test.db.tenant("acme", (tx) =>
    sql<{ armed: unknown; will: unknown }>`
      select armed_will as armed, will from mqtt_sessions where device_id = 'd-1'`.execute(tx),
  );
  return rows.flatMap(({ armed, will }) => [armed, will].filter((one) => one !== null));
}

const pause = (ms = 1_300) => new Promise((resolve) => setTimeout(resolve, ms));

describe("the will of a device whose gateway was killed", () => {
  it("is published when the gateway starts again, with a session or without", async () => {
    // What the killed one held is what the database says of it; it lives on here, and is not asked.
    await connect(await start("killed"), 1);
    await start("killed");
    await until(() => published().length === 1);
    expect(published()).toEqual([1]);
    await until(async () => (await armed()).length === 0);
    const { port } = await start("killed-too");
    clients.push(await RawClient.connect(port, device, { will: willOf(2, {}) }));
    await start("killed-too");
    await until(() => published().length === 2);
    expect(published()).toEqual([1, 2]);
  });

  it("waits for its delay, and is not published where the device comes back", async () => {
    await connect(await start("killed"), 3, { delay: 60 });
    await start("killed");
    expect(await armed()).toHaveLength(1);
    const back = await RawClient.connect(fixture.gateway.port, device, { ...kept, clean: false });
    clients.push(back);
    expect(await armed()).toEqual([]);
    await pause();
    expect(published()).toEqual([]);
  });

  it("is published when the device comes back elsewhere before anybody has noticed", async () => {
    await connect(await start("killed"), 4);
    await connect(fixture.gateway, undefined);
    await until(() => published().length > 0);
    await pause();
    expect(published()).toEqual([4]);
  });

  it("is seen to by another gateway when it stays away", async () => {
    await connect(await start("lost"), 5);
    const { db } = fixture.test;
    // Long ago: gateways that beat by the real clock are not concerned.
    const clock = new VirtualClock(1_000_000_000_000);
    const sessions = new Sessions({ ...fixture.deps, clock }, "watcher");
    let forgotten = 0;
    const beats = (gatewayId: string) =>
      new GatewayBeats({
        ...{ db, clock, gatewayId, onForgotten: () => (forgotten += 1) },
        onDead: (dead) => new Sessions(fixture.deps, dead.replace("beat-of-", "")).begin(),
      });
    const [lost, watcher] = [beats("beat-of-lost"), beats("watcher")];
    await lost.tick();
    for (let passed = 0; passed <= DEAD_AFTER_MS; passed += BEAT_INTERVAL_MS) {
      await watcher.tick();
      expect(published()).toEqual([]);
      await clock.advance(BEAT_INTERVAL_MS);
    }
    await watcher.tick();
    await until(() => published().length === 1);
    expect(published()).toEqual([5]);
    expect(forgotten).toBe(0);
    // It was only slow: it learns that others have taken its devices' sessions in hand.
    await lost.tick();
    expect(forgotten).toBe(1);
    await sessions.flush();
  });
});

describe("the will of a device that takes its leave", () => {
  it("is not published, and nothing of it stays", async () => {
    const client = await connect(fixture.gateway, 6);
    expect(await armed()).toHaveLength(1);
    client.send({ cmd: "disconnect", reasonCode: 0 });
    await client.closed;
    await until(async () => (await armed()).length === 0);
    await start("gateway-1");
    await pause();
    expect(published()).toEqual([]);
  });
});

describe("a will", () => {
  it("that cannot be stored at once is published when the store is back", async () => {
    const client = await connect(fixture.gateway, 7);
    fixture.recorded.available = false;
    client.destroy();
    await pause(300);
    expect(published()).toEqual([]);
    fixture.recorded.available = true;
    await until(() => published().length === 1);
    expect(published()).toEqual([7]);
    await until(async () => (await armed()).length === 0);
  });

  it("is one at a time for a device, however often it connects", async () => {
    for (let number = 100; number < 120; number += 1) await connect(fixture.gateway, number);
    await until(async () => (await armed()).length <= 2);
    await until(() => published().length > 0);
    await pause();
    expect(published().length).toBeLessThanOrEqual(20);
    expect(new Set(published()).size).toBe(published().length);
  });
});
