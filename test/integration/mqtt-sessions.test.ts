import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";

const COMMANDS = "tenants/acme/devices/d-1/commands";
const kept = { clean: false, properties: { sessionExpiryInterval: 100 } };

let fixture: GatewayFixture;
let other: Gateway;
let device: Credentials;

beforeAll(async () => {
  fixture = await createGatewayFixture();
  const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId: "gateway-2" };
  other = await startGateway({ ...fixture.deps, ...listen });
  device = await fixture.pki.device("acme", "d-1");
});
afterAll(async () => {
  await other.close();
  await fixture.close();
});

const connect = (gateway: Gateway, options: object = kept) =>
  RawClient.connect(gateway.port, device, options);

async function subscribe(client: RawClient, qos: 1 | 2, topic = COMMANDS): Promise<void> {
  const subscriptions = [{ topic, qos }];
  client.send({ cmd: "subscribe", messageId: 1, subscriptions });
  await client.next("suback");
}

async function command(name: string): Promise<string> {
  const order = { deviceIds: ["d-1"], name, args: {}, ttlSeconds: 60 };
  const [sent] = await fixture.commands.send("acme", order, SYSTEM_ACTOR, null);
  return sent?.id as string;
}

describe("a device that connects at another gateway", () => {
  it("ends its connection at the first, which is told why", async () => {
    const first = await connect(fixture.gateway, { clean: true });
    const second = await connect(other, { clean: true });
    expect(await first.next("disconnect")).toMatchObject({ reasonCode: 0x8e });
    await first.closed;
    const third = await connect(fixture.gateway, { clean: true });
    expect(await second.next("disconnect")).toMatchObject({ reasonCode: 0x8e });
    third.send({ cmd: "pingreq" });
    await third.next("pingresp");
    third.destroy();
  });

  it("takes its session along: nothing is lost, and nothing comes twice with QoS 2", async () => {
    const first = await connect(fixture.gateway, { ...kept, clean: true });
    await subscribe(first, 2);
    const done = await command("taken");
    const taken = await first.next("publish");
    first.send({ cmd: "pubrec", messageId: taken.messageId as number, reasonCode: 0 });
    await first.next("pubrel");
    await command("under-way");
    const underWay = await first.next("publish");
    // No word of the first connection's end: what counts is on record already.
    const second = await connect(other);
    expect(await second.next("pubrel")).toMatchObject({ messageId: taken.messageId });
    const again = await second.next("publish");
    expect(again).toMatchObject({ messageId: underWay.messageId, dup: true });
    second.send({ cmd: "pubcomp", messageId: taken.messageId as number, reasonCode: 0 });
    second.send({ cmd: "pubrec", messageId: again.messageId as number, reasonCode: 0 });
    await second.next("pubrel");
    await until(async () => (await fixture.commands.get("acme", done)).status === "delivered");
    expect(second.received.filter(({ cmd }) => cmd === "publish")).toEqual([]);
    second.destroy();
  });

  it("is not served by the first, even where that has not heard of it", async () => {
    const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId: "deaf" };
    const gateway = await startGateway({ ...fixture.deps, bus: new LocalBus(), ...listen });
    const first = await connect(gateway, { ...kept, clean: true });
    const second = await connect(other, { ...kept, clean: true });
    await subscribe(second, 1);
    const subscriptions = [{ topic: COMMANDS, qos: 1 as const }];
    first.send({ cmd: "subscribe", messageId: 2, subscriptions });
    expect(await first.next("disconnect")).toMatchObject({ reasonCode: 0x8e });
    await command("for-the-second");
    await second.next("publish");
    second.destroy();
    await gateway.close();
  });

  it("wins by its epoch when both connect at once", async () => {
    const clients = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) =>
        connect(index % 2 === 0 ? fixture.gateway : other, { clean: true }),
      ),
    );
    const open = clients.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    await until(() => open.filter((client) => !client.isClosed).length <= 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(open.filter((client) => !client.isClosed)).toHaveLength(1);
    for (const client of open) client.destroy();
  });
});

describe("the sessions of a gateway that was killed", () => {
  it("run out from its next start, and what has expired is emptied", async () => {
    const first = await connect(other, { clean: true, properties: { sessionExpiryInterval: 1 } });
    // Its gateway lives on in truth: a message under way would be put on record after the other's start.
    await subscribe(first, 1, "tenants/acme/devices/d-1/update");
    const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId: "gateway-2" };
    const next = await startGateway({ ...fixture.deps, ...listen });
    const row = () =>
      fixture.test.db.tenant("acme", async (tx) => {
        const { rows } = await sql<{ expiry_seconds: number; state: { subscriptions: unknown[] } }>`
          select expiry_seconds, state from mqtt_sessions where device_id = 'd-1'`.execute(tx);
        return rows[0];
      });
    expect((await row())?.state.subscriptions).toHaveLength(1);
    await until(async () => (await row())?.expiry_seconds === 0);
    expect((await row())?.state.subscriptions).toEqual([]);
    first.destroy();
    await next.close();
  });
});
