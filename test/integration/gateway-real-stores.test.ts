import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeProvisioning } from "../../src/agent/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import { readConfig } from "../../src/kernel/config.ts";
import { startTracing } from "../../src/kernel/tracing.ts";
import { createModules, type Modules } from "../../src/platform/modules.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import type { Credentials } from "../support/device-pki.ts";
import { startFileAgent } from "../support/file-agent.ts";
import { RawClient, until } from "../support/gateway.ts";
import { forge } from "../support/pki.ts";
import { makeKey, makeRoot } from "../support/signing.ts";
import { createTestTimeseries, silentLogger, type TestTimeseries } from "../support/timeseries.ts";

const PREFIX = "tenants/acme/devices/d-1/";
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";

describe("the gateway on the real modules and stores", () => {
  let test: TestDatabase;
  let store: TestTimeseries;
  let directory: string;
  let modules: Modules;
  let gateway: Gateway;
  let stopTracing: () => Promise<void>;

  beforeAll(async () => {
    [test, store] = await Promise.all([createTestDatabase(), createTestTimeseries()]);
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-gateway-"));
    modules = createModules({
      config: readConfig({ VAUTN_DATA: directory }),
      stores: {
        database: { ownerUrl: test.ownerUrl, appUrl: test.appUrl, becomeAppRole: false },
        clickhouseUrl: store.engine.url,
        blobDirectory: path.join(directory, "blobs"),
      },
      bus: new LocalBus(),
      logger: silentLogger,
    });
    stopTracing = startTracing((spans) => modules.logs.recordSpans(spans));
    await modules.identity.ensurePlatform();
    await modules.tenancy.tenants.create({ id: "acme", name: "acme" }, SYSTEM_ACTOR);
    const listen = {
      port: 0,
      bindAddress: "127.0.0.1",
      gatewayId: "g",
      limits: { storePatienceMs: 2_000 },
    };
    gateway = await startGateway({ ...modules, ...listen });
  });
  afterAll(async () => {
    await gateway.close();
    await stopTracing();
    await modules.close();
    await store.close();
    await test.close();
    fs.rmSync(directory, { recursive: true });
  });

  async function enroll(deviceId: string): Promise<Credentials> {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const commonName = `acme/${deviceId}`;
    const { chainPem, rootPem } = await modules.identity.enroll({
      tenantId: "acme",
      csr: createCertificateRequest({ privateKey, commonName, organization: "acme" }),
      via: "operator",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
      device: { product: "hub", hardwareRevision: "a" },
    });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    return { key, cert: chainPem, ca: rootPem };
  }

  const publish = (topic: string, payload: unknown, messageId: number, traceparent?: string) =>
    ({
      cmd: "publish",
      topic,
      payload: JSON.stringify(payload),
      qos: 1,
      dup: false,
      retain: false,
      messageId,
      ...(traceparent ? { properties: { userProperties: { traceparent } } } : {}),
    }) as const;
  const messages = async (trace: string) => {
    const found = await modules.logs.search("acme", { traceId: trace, limit: 100 });
    return found.items.map(({ message }) => message);
  };
  const sample = (seq: number) => ({ ts: Date.now(), seq, values: { temperature: seq } });
  const temperatures = async () => {
    const range = { from: Date.now() - 3_600_000, to: Date.now() + 1_000, maxPoints: 1_000 };
    const query = { deviceId: "d-1", metric: "temperature", ...range };
    const buckets = await modules.telemetry.series("acme", query);
    return buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  };

  it("keeps every acknowledged message though the engine is killed, and loses none for good", async () => {
    const device = await enroll("d-1");
    let client = await RawClient.connect(gateway.port, device);
    client.send(publish(`${PREFIX}telemetry`, sample(1), 1));
    expect(await client.next("puback", 20_000)).toMatchObject({ reasonCode: 0 });
    const { pid } = store.engine;
    process.kill(pid, "SIGKILL");
    // Sent again as it was, as a device does: what came through both times is one point.
    const second = sample(2);
    client.send(publish(`${PREFIX}telemetry`, second, 2));
    let acknowledged = false;
    for (let attempt = 0; attempt < 40 && !acknowledged; attempt += 1) {
      try {
        const puback = await client.next("puback", 20_000);
        expect(puback).toMatchObject({ messageId: 2, reasonCode: 0 });
        acknowledged = true;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 250));
        client = await RawClient.connect(gateway.port, device);
        client.send({ ...publish(`${PREFIX}telemetry`, second, 2), dup: true });
      }
    }
    expect(acknowledged).toBe(true);
    await until(async () => (await temperatures()) === 2, 10_000);
    client.destroy();
  }, 120_000);

  it("lets in who comes by the tenant's own authority, until that is disabled, and no stranger", async () => {
    const { registeredAuthorities } = modules.identity;
    const issuer = await forge({ subject: "CN=Factory", authority: true });
    const { id, code } = await registeredAuthorities.register(
      "acme",
      {
        name: "factory",
        certificatePem: issuer.certificatePem,
        mapping: { template: "{cn}" },
        devicePattern: "own-*",
        product: "hub",
        hardwareRevision: "a",
        maxDevices: 5,
      },
      SYSTEM_ACTOR,
    );
    const proof = await forge({ subject: `CN=${code}`, issuer });
    await registeredAuthorities.prove("acme", id, proof.certificatePem, SYSTEM_ACTOR);
    const ca = await modules.identity.rootCertificatePem();
    const usage = ["1.3.6.1.5.5.7.3.2"];
    const own = await forge({ issuer, subject: "CN=own-1", usage });
    const credentials = { key: own.keyPem, cert: own.certificatePem, ca };
    const client = await RawClient.connect(gateway.port, credentials);
    client.send(publish("tenants/acme/devices/own-1/telemetry", sample(1), 1));
    expect(await client.next("puback", 20_000)).toMatchObject({ reasonCode: 0 });
    const stranger = await forge({ subject: "CN=own-2", usage });
    const base = { cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5 } as const;
    const knock = async (forged: typeof own) => {
      const door = await RawClient.open(gateway.port, {
        key: forged.keyPem,
        cert: forged.certificatePem,
        ca,
      });
      door.send({ ...base, clean: true, keepalive: 60 });
      return door.next("connack");
    };
    expect(await knock(stranger)).toMatchObject({ reasonCode: 0x87 });
    await registeredAuthorities.disable("acme", id, SYSTEM_ACTOR);
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x87 });
    expect(await knock(own)).toMatchObject({ reasonCode: 0x87 });
  });

  it("closes the live connection of a revoked device and lets it in no more", async () => {
    const device = await enroll("d-2");
    const client = await RawClient.connect(gateway.port, device);
    await modules.identity.revoke("acme", { deviceId: "d-2" }, "stolen", SYSTEM_ACTOR);
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x87 });
    const again = await RawClient.open(gateway.port, device);
    const base = { cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5 } as const;
    again.send({ ...base, clean: true, keepalive: 60 });
    expect(await again.next("connack")).toMatchObject({
      reasonCode: 0x87,
      properties: { reasonString: expect.stringMatching(/revoked/) },
    });
  });

  it("closes the live connection of a device that is removed", async () => {
    const client = await RawClient.connect(gateway.port, await enroll("d-3"));
    await modules.devices.remove("acme", "d-3", SYSTEM_ACTOR);
    expect(await client.next("disconnect")).toMatchObject({ reasonCode: 0x87 });
  });

  it("carries one trace from the order of a command to the device and back", async () => {
    const client = await RawClient.connect(gateway.port, await enroll("d-1"));
    client.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: [{ topic: `${PREFIX}commands`, qos: 1 }],
    });
    const [command] = await modules.commands.send(
      "acme",
      { deviceIds: ["d-1"], name: "reboot", args: {}, ttlSeconds: 60 },
      SYSTEM_ACTOR,
      `00-${TRACE_ID}-b7ad6b7169203331-01`,
    );
    const delivery = await client.next("publish");
    client.send({ cmd: "puback", messageId: delivery.messageId as number, reasonCode: 0 });
    const { traceparent } = JSON.parse(String(delivery.payload));
    const topic = `${PREFIX}commands/${command?.id}/result`;
    client.send(publish(topic, { status: "succeeded" }, 5, traceparent));
    await client.next("puback");
    const line = { ts: Date.now(), seq: 9, level: "info", message: "rebooting", traceparent };
    client.send(publish(`${PREFIX}logs`, [line], 6));
    expect(await client.next("puback", 20_000)).toMatchObject({ reasonCode: 0 });
    await until(async () => {
      const { spans } = await modules.logs.trace("acme", TRACE_ID);
      return spans.length === 2;
    }, 10_000);
    const { spans, logs } = await modules.logs.trace("acme", TRACE_ID);
    expect(spans.map((span) => span.name).sort()).toEqual([
      "command.deliver",
      "device.command-result",
    ]);
    expect(logs.map((entry) => entry.message)).toEqual(["rebooting"]);
    client.destroy();
  });

  it("finds by one trace what a device did days after the order, before and after it restarted", async () => {
    const folder = path.join(directory, "agent");
    const { key, cert, ca } = await enroll("d-4");
    const online = await modules.firmware.ensureOnlineKeys("acme");
    await writeProvisioning(path.join(folder, "identity"), {
      ...{ tenant: "acme", device: "d-4", product: "hub", hardwareRevision: "a" },
      ...{ key, certificate: cert, root: ca },
      mqttUrl: `mqtts://localhost:${gateway.port}`,
      httpsUrl: "https://localhost:1",
      trustRoot: makeRoot("acme", { root: makeKey(), release: [makeKey()] }, online),
    });
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const order = { deviceIds: ["d-4"], name: "reboot", args: {}, ttlSeconds: 7 * 86_400 };
    const [command] = await modules.commands.send(
      "acme",
      order,
      SYSTEM_ACTOR,
      `00-${trace}-b7ad6b7169203331-01`,
    );
    await test.db.tenant("acme", (tx) =>
      sql`update commands set created_at = created_at - interval '3 days' where device_id = 'd-4'`.execute(
        tx,
      ),
    );
    const status = async () => (await modules.commands.get("acme", command?.id as string)).status;
    expect(await status()).toBe("queued");
    const restarts: number[] = [];
    const boot = () => startFileAgent(folder, { reboot: () => restarts.push(Date.now()) });
    let running = await boot();
    try {
      await until(() => restarts.length === 1, 20_000);
      // What it has said of the order is durable before the power goes.
      await until(async () => (await messages(trace)).includes("command reboot begins"), 20_000);
      await running.agent.stop();
      running = await boot();
      await until(async () => (await status()) === "succeeded", 20_000);
      const after = "command reboot succeeded by the restart";
      await until(async () => (await messages(trace)).includes(after), 20_000);
    } finally {
      await running.agent.stop();
    }
    // Spans are written a moment after what they are about.
    await until(async () => {
      const { spans } = await modules.logs.trace("acme", trace);
      const names = spans.map(({ name }) => name);
      return names.includes("command.deliver") && names.includes("device.command-result");
    }, 20_000);
    const { logs } = await modules.logs.trace("acme", trace);
    expect(new Set(logs.map(({ deviceId }) => deviceId))).toEqual(new Set(["d-4"]));
    expect(restarts).toHaveLength(1);
  }, 60_000);
});
