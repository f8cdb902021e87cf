import https from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { RawClient, until } from "../support/gateway.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";

const NOT_AUTHORIZED = 0x87;

describe("a device in quarantine", () => {
  let real: RealModules;
  let gateway: Gateway;
  let web: DeviceHttp;
  let device: EnrolledDevice;
  let client: RawClient;

  beforeAll(async () => {
    real = await createRealModules();
    const listen = { port: 0, bindAddress: "127.0.0.1" };
    gateway = await startGateway({ ...real.modules, ...listen, gatewayId: "g" });
    const urls = { mqttUrl: "mqtts://localhost", httpsUrl: "https://localhost" };
    web = await startDeviceHttp({ ...real.modules, ...listen, ...urls });
    device = await real.enroll("q-1");
    client = await RawClient.connect(gateway.port, device);
    await real.modules.identity.quarantines.set("acme", "q-1", "strange traffic", SYSTEM_ACTOR);
    await until(async () => (await publish(client, "telemetry", sample)) === NOT_AUTHORIZED);
  }, 60_000);
  afterAll(async () => {
    client?.destroy();
    await web?.close();
    await gateway?.close();
    await real?.close();
  });

  const sample = { ts: Date.now(), seq: 1, values: { temperature: 1 } };
  const heartbeat = {
    ...{ ts: Date.now(), seq: 1, bootId: "b", uptimeSeconds: 1, metrics: {} },
    firmware: { version: "1.0.0", hash: "0".repeat(64), slot: "A" },
  };
  let messageId = 0;

  async function publish(from: RawClient, suffix: string, payload: unknown): Promise<number> {
    messageId += 1;
    from.send({
      cmd: "publish",
      topic: `tenants/acme/devices/q-1/${suffix}`,
      payload: JSON.stringify(payload),
      ...{ qos: 1, dup: false, retain: false, messageId },
    });
    return (await from.next("puback", 20_000)).reasonCode ?? 0;
  }

  it("stays connected, and is told that its measurements, logs and results are refused", async () => {
    const id = "01990000-0000-7000-8000-000000000000";
    expect(await publish(client, "telemetry", sample)).toBe(NOT_AUTHORIZED);
    expect(await publish(client, "logs", [])).toBe(NOT_AUTHORIZED);
    expect(await publish(client, `commands/${id}/result`, {})).toBe(NOT_AUTHORIZED);
    expect(await publish(client, "reported", {})).toBe(NOT_AUTHORIZED);
    expect(client.isClosed).toBe(false);
  });

  it("is heard with its heartbeats, its events and its update's progress", async () => {
    expect(await publish(client, "heartbeat", heartbeat)).toBe(0);
    const event = { ts: Date.now(), seq: 2, type: "boot", reason: "update" };
    expect(await publish(client, "events", event)).toBe(0);
    const state = { updateId: "01990000-0000-7000-8000-000000000000", phase: "downloading" };
    // No update of this id is known, which is another answer than that it may not speak.
    expect(await publish(client, "update/state", state)).not.toBe(NOT_AUTHORIZED);
  });

  it("is kept connected in MQTT 3.1.1, which knows no refusal: the message is taken and dropped", async () => {
    const other = await RawClient.connect(gateway.port, device, { protocolVersion: 4 });
    expect(await publish(other, "telemetry", sample)).toBe(0);
    expect(other.isClosed).toBe(false);
    other.destroy();
    client = await RawClient.connect(gateway.port, device);
    expect(await publish(client, "telemetry", sample)).toBe(NOT_AUTHORIZED);
    const options = { from: 0, to: Date.now() + 1_000, maxPoints: 10 };
    const query = { deviceId: "q-1", metric: "temperature", ...options };
    const points = await real.modules.telemetry.series("acme", query);
    // What was stored was stored before the quarantine.
    expect(points.reduce((sum, point) => sum + point.count, 0)).toBeLessThanOrEqual(1);
  });

  it("reaches artifacts over HTTPS, so that it can be updated", async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const url = `https://localhost:${web.port}/artifacts/${"0".repeat(64)}`;
      https
        .get(url, { ...device, agent: false }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
        .once("error", reject);
    });
    expect(status).toBe(404);
  });

  it("is given no command, not even one that waited already, until the quarantine is lifted", async () => {
    const send = () =>
      real.modules.commands.send(
        "acme",
        { deviceIds: ["q-1"], name: "reboot", args: {}, ttlSeconds: 60 },
        SYSTEM_ACTOR,
        null,
      );
    await expect(send()).rejects.toMatchObject({ code: "not-found" });
    const topic = "tenants/acme/devices/q-1/commands";
    client.send({
      ...{ cmd: "subscribe", messageId: 60_000 },
      subscriptions: [{ topic, qos: 1, nl: false, rap: false, rh: 0 }],
    });
    await client.next("suback");
    const { identity, commands } = real.modules;
    await identity.quarantines.lift("acme", "q-1", "cleared", SYSTEM_ACTOR);
    await until(async () => (await publish(client, "telemetry", sample)) === 0);
    await identity.quarantines.set("acme", "q-1", "again", SYSTEM_ACTOR);
    await until(async () => (await publish(client, "telemetry", sample)) === NOT_AUTHORIZED);
    // As if it had been queued just before: the queue is left, and the message on the bus comes.
    await real.test.db.tenant("acme", (tx) =>
      tx
        .insertInto("commands")
        .values({
          tenant_id: "acme",
          id: "01990000-0000-7000-8000-00000000000a",
          ...{ device_id: "q-1", name: "reboot", args: {}, status: "queued", created_by: "t" },
          created_at: new Date(),
          expires_at: new Date(Date.now() + 60_000),
        })
        .execute(),
    );
    real.modules.bus.publish("device.acme.q-1", { kind: "command" });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(client.received.filter((packet) => packet.cmd === "publish")).toEqual([]);
    await identity.quarantines.lift("acme", "q-1", "cleared", SYSTEM_ACTOR);
    const delivered = await client.next("publish");
    expect(JSON.parse(String(delivered.payload))).toMatchObject({ name: "reboot" });
    expect(await commands.get("acme", "01990000-0000-7000-8000-00000000000a")).toBeDefined();
  });

  it("has a history with reasons, audited, and is no other tenant's affair", async () => {
    const { quarantines } = real.modules.identity;
    const history = await quarantines.list("acme", "q-1");
    expect(history.map(({ reason, liftReason }) => [reason, liftReason])).toEqual([
      ["again", "cleared"],
      ["strange traffic", "cleared"],
    ]);
    const { items } = await real.modules.tenancy.audit.list("acme", { limit: 20 });
    const actions = items.map((entry) => entry.action);
    expect(actions).toEqual(expect.arrayContaining(["device.quarantine", "device.release"]));
    for (const change of [quarantines.set, quarantines.lift, quarantines.reinstate]) {
      const attempt = change("globex", "q-1", "theirs", SYSTEM_ACTOR);
      await expect(attempt).rejects.toMatchObject({ code: "not-found" });
    }
    expect(await quarantines.list("globex", "q-1")).toEqual([]);
    const twice = quarantines.lift("acme", "q-1", "again", SYSTEM_ACTOR);
    await expect(twice).rejects.toMatchObject({ code: "conflict" });
  });
});
