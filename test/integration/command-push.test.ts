import type { IPublishPacket } from "mqtt-packet";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Bus } from "../../src/bus/index.ts";
import { type Commands, createCommands } from "../../src/commands/index.ts";
import { seededRandom, systemClock } from "../../src/kernel/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const TOPIC = "tenants/acme/devices/d-1/commands";
const SEED = 5;

let fixture: GatewayFixture;
let credentials: Credentials;
const clients: RawClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  credentials = await fixture.pki.device("acme", "d-1");
});
afterEach(async () => {
  await until(async () => (await fixture.commands.undelivered("acme", "d-1", 1)).length === 0);
  for (const client of clients.splice(0)) client.destroy();
  await until(() => fixture.gateway.connections() === 0);
});
afterAll(() => fixture.close());

/** A bus to the gateway that delays each message by itself, and loses some. */
function shakyBus(seed: number): Bus {
  const random = seededRandom(seed);
  return {
    publish(subject, message) {
      if (random.next() < 0.2) return;
      setTimeout(() => fixture.bus.publish(subject, message), random.next() * 30);
    },
    subscribe: () => () => {},
    close: async () => {},
  };
}

function through(bus: Bus): Commands {
  const { test, tenancy } = fixture;
  return createCommands({ db: test.db, clock: systemClock, bus, tenancy });
}

async function listen(receiveMaximum: number): Promise<RawClient> {
  const client = await RawClient.connect(fixture.gateway.port, credentials, {
    properties: { receiveMaximum },
  });
  clients.push(client);
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: TOPIC, qos: 1 }] });
  await client.next("suback");
  return client;
}

/** Acknowledges everything, each after a while of its own; the numbers in the order of arrival. */
function answer(client: RawClient, seed: number): number[] {
  const random = seededRandom(seed);
  const heard: number[] = [];
  let seen = 0;
  const timer = setInterval(() => {
    const publishes = client.received.filter((packet) => packet.cmd === "publish");
    for (const packet of publishes.slice(seen) as IPublishPacket[]) {
      heard.push(JSON.parse(packet.payload.toString()).args.number);
      const messageId = packet.messageId as number;
      setTimeout(() => client.send({ cmd: "puback", messageId }), random.next() * 20);
    }
    seen = publishes.length;
  }, 1);
  void client.closed.then(() => clearInterval(timer));
  return heard;
}

describe("a command that is pushed", () => {
  it.each([1, 2])("keeps its order on a bus that delays and loses (seed %d)", async (seed) => {
    const shaky = through(shakyBus(seed * SEED));
    const client = await listen(3);
    const heard = answer(client, seed);
    for (let number = 0; number < 30; number += 1) {
      // Every sixth takes the sure way, as another process of the API would.
      const commands = number % 6 === 5 ? fixture.commands : shaky;
      const order = { deviceIds: ["d-1"], name: "count", args: { number }, ttlSeconds: 60 };
      await commands.send("acme", order, SYSTEM_ACTOR, null);
    }
    await until(() => heard.length >= 30);
    expect(heard).toEqual(Array.from({ length: 30 }, (_, number) => number));
  });

  it("does not overtake what waits for the device's window", async () => {
    const client = await listen(1);
    const send = (number: number, priority = 0) =>
      fixture.commands.send(
        "acme",
        { deviceIds: ["d-1"], name: "count", args: { number }, ttlSeconds: 60, priority },
        SYSTEM_ACTOR,
        null,
      );
    await send(0);
    await until(() => client.received.some((packet) => packet.cmd === "publish"));
    await send(1);
    await send(2, 10);
    const heard = answer(client, 1);
    await until(() => heard.length >= 3);
    expect(heard).toEqual([0, 2, 1]);
  });

  it("is sent without a look into the queue, and with the device's words for it", async () => {
    const client = await listen(16);
    let looks = 0;
    const { undelivered } = fixture.deps.commands;
    fixture.deps.commands.undelivered = (...asked) => {
      looks += 1;
      return undelivered(...asked);
    };
    const order = {
      deviceIds: ["d-1"],
      name: "count",
      args: { number: 1 },
      ttlSeconds: 60,
      deadlines: { acceptedSeconds: 5, runningSeconds: 9 },
    };
    const [sent] = await fixture.commands.send("acme", order, SYSTEM_ACTOR, null);
    const packet = await client.next("publish");
    fixture.deps.commands.undelivered = undelivered;
    const { traceparent, expiresAt, ...body } = JSON.parse(packet.payload.toString());
    expect(body).toEqual({
      id: sent?.id,
      name: "count",
      args: { number: 1 },
      acceptedSeconds: 5,
      runningSeconds: 9,
    });
    expect(new Date(expiresAt).toISOString()).toBe(sent?.expiresAt);
    expect(traceparent).toMatch(/^00-/);
    expect(looks).toBe(0);
    client.send({ cmd: "puback", messageId: packet.messageId as number });
    await until(
      async () => (await fixture.commands.get("acme", sent?.id as string)).status === "delivered",
    );
  });
});
