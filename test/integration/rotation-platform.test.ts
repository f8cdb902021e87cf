import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import https from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { certificatesOf } from "../../src/agent/identity/certificates-only.ts";
import { type CertificateResponse, toPem } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { RawClient } from "../support/gateway.ts";
import { newKey, pemOf } from "../support/pki.ts";
import {
  DAY_MS,
  type EnrolledDevice,
  type RotationPlatform,
  startRotationPlatform,
} from "../support/rotation-platform.ts";

let platform: RotationPlatform;
beforeAll(async () => {
  platform = await startRotationPlatform(200);
});
afterAll(() => platform?.close());

const prefix = (deviceId: string) => `tenants/acme/devices/${deviceId}/`;
let messageId = 0;

function publish(deviceId: string, suffix: string, body: unknown) {
  messageId += 1;
  const topic = prefix(deviceId) + suffix;
  const payload = JSON.stringify(body);
  return { cmd: "publish", topic, payload, qos: 1, dup: false, retain: false, messageId } as const;
}

function subscribe(deviceId: string, ...suffixes: string[]) {
  messageId += 1;
  const subscriptions = suffixes.map((suffix) => ({
    topic: prefix(deviceId) + suffix,
    qos: 1 as const,
  }));
  return { cmd: "subscribe", messageId, subscriptions } as const;
}

/** A connection that listens for certificates. */
async function connect(deviceId: string, credentials: Credentials): Promise<RawClient> {
  const client = await RawClient.connect(platform.gateway.port, credentials);
  client.send(subscribe(deviceId, "certificate/response"));
  await client.next("suback");
  return client;
}

/** Why a connection is not accepted. */
async function refusal(credentials: Credentials): Promise<string> {
  const client = await RawClient.open(platform.gateway.port, credentials);
  const base = { cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5 } as const;
  client.send({ ...base, clean: true, keepalive: 60 });
  const { reasonCode, properties } = await client.next("connack");
  return reasonCode === 0 ? "accepted" : String(properties?.reasonString);
}

async function request(
  client: RawClient,
  deviceId: string,
  body: object,
): Promise<CertificateResponse> {
  client.send(publish(deviceId, "certificate/request", body));
  expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
  return JSON.parse(String((await client.next("publish")).payload));
}

async function confirm(client: RawClient, deviceId: string, serial: string): Promise<number> {
  client.send(publish(deviceId, "certificate/confirm", { serial }));
  return (await client.next("puback")).reasonCode ?? 0;
}

async function reenroll(device: Credentials, csr: Buffer) {
  const answer = https.request({
    ...{ host: "localhost", port: platform.http.port, agent: false, ...device },
    path: "/.well-known/est/acme/simplereenroll",
    method: "POST",
    headers: { "content-type": "application/pkcs10" },
  });
  answer.end(csr.toString("base64"));
  const [response] = await once(answer, "response");
  const body = Buffer.concat(await response.toArray()).toString();
  return { status: response.statusCode as number, body };
}

const serialOf = (pem: string) => new X509Certificate(pem).serialNumber.toLowerCase();
const csrText = (deviceId: string, key: EnrolledDevice["key"] | undefined = undefined) =>
  platform.csr(deviceId, key === undefined ? newKey() : createPrivateKey(key)).toString("base64");
const statuses = async (deviceId: string) =>
  new Map(
    (await platform.identity.certificates("acme", deviceId)).map((one) => [
      one.serial,
      one.status === "revoked" ? `revoked: ${one.revocationReason}` : one.status,
    ]),
  );

describe("over MQTT", () => {
  it("issues, overlaps, and revokes the old certificate when the new one is confirmed", async () => {
    const old = await platform.enroll("d-1");
    const key = newKey();
    const before = await connect("d-1", old);
    const csr = platform.csr("d-1", key).toString("base64");
    const answer = await request(before, "d-1", { requestId: "r-1", csr });
    expect(answer).toMatchObject({ requestId: "r-1" });
    const { certificate = "", chain = "", roots = "" } = answer;
    expect(new X509Certificate(certificate).checkPrivateKey(key)).toBe(true);
    expect(new X509Certificate(certificate).checkIssued(new X509Certificate(chain))).toBe(true);
    expect(roots).toBe(platform.rootPem);
    const serial = serialOf(certificate);

    const fresh = { key: pemOf(key), cert: certificate + chain, ca: roots };
    expect(await confirm(before, "d-1", serial)).toBe(0x99);
    const after = await connect("d-1", fresh);
    expect(await before.next("disconnect")).toMatchObject({ reasonCode: 0x8e });
    const overlap = await connect("d-1", old);
    expect((await statuses("d-1")).get(old.serial)).toBe("superseded");
    await after.closed;
    const again = await connect("d-1", fresh);
    await overlap.closed;
    expect(await confirm(again, "d-1", serial)).toBe(0);
    expect(await confirm(again, "d-1", serial)).toBe(0);
    expect(await statuses("d-1")).toEqual(
      new Map([
        [serial, "active"],
        [old.serial, "revoked: superseded"],
      ]),
    );
    expect(await refusal(old)).toMatch(/revoked/);
    const { items } = await platform.tenancy.audit.list("acme", {
      filters: { action: "certificate.confirm", targetId: "d-1" },
    });
    expect(items).toHaveLength(1);
    again.destroy();
  });

  it("gives a repeated request the same certificate, and another key another one", async () => {
    const device = await platform.enroll("d-2");
    const client = await connect("d-2", device);
    const key = newKey();
    const ask = (requestId: string, csr: string) => request(client, "d-2", { requestId, csr });
    const first = await ask("r-1", csrText("d-2", pemOf(key)));
    const second = await ask("r-1", csrText("d-2", pemOf(key)));
    const other = await ask("r-2", csrText("d-2"));
    expect(second.certificate).toBe(first.certificate);
    expect(other.certificate).not.toBe(first.certificate);
    const viaEst = await reenroll(device, platform.csr("d-2", key));
    const [der] = certificatesOf(Buffer.from(viaEst.body, "base64"));
    expect(toPem("CERTIFICATE", der as Buffer)).toBe(first.certificate);
    client.destroy();
  });

  it("bounds the certificates that nobody has used, and never drops the one in use", async () => {
    const device = await platform.enroll("d-3");
    const client = await connect("d-3", device);
    for (let index = 0; index < 6; index += 1) {
      await request(client, "d-3", { requestId: `r-${index}`, csr: csrText("d-3") });
    }
    const all = await statuses("d-3");
    expect([...all.values()].filter((status) => status === "active")).toHaveLength(3);
    expect(all.get(device.serial)).toBe("active");
    client.destroy();
  });

  it("makes a key for a device that cannot, and keeps it nowhere", async () => {
    const device = await platform.enroll("d-4");
    const client = await connect("d-4", device);
    const answer = await request(client, "d-4", { requestId: "r-1", generateKey: true });
    const { certificate = "", privateKey = "" } = answer;
    expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey))).toBe(
      true,
    );
    client.destroy();
  });

  it("answers what it refuses with the reason, and writes it down", async () => {
    const device = await platform.enroll("d-5");
    const client = await connect("d-5", device);
    const foreign = await request(client, "d-5", { requestId: "r-1", csr: csrText("d-1") });
    expect(foreign).toMatchObject({ requestId: "r-1", error: { code: "csr-invalid" } });
    const neither = await request(client, "d-5", { requestId: "r-2" });
    expect(neither).toMatchObject({ error: { code: "message-invalid" } });
    client.send(publish("d-5", "certificate/request", { csr: 7 }));
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0x99 });
    const rotation = await platform.identity.rotation.state("acme", "d-5");
    expect(rotation).toMatchObject({ step: "request", error: { element: "name" }, failures: 1 });
    client.destroy();
  });

  it("keeps what a device reports of its rotation", async () => {
    const device = await platform.enroll("d-6");
    const client = await connect("d-6", device);
    const error = { element: "platform", message: "refused" };
    const event = { ts: Date.now(), seq: 1, type: "certificate", step: "trial", error };
    client.send(publish("d-6", "events", event));
    await client.next("puback");
    const state = await platform.identity.rotation.state("acme", "d-6");
    expect(state).toMatchObject({ step: "trial", error, failures: 1 });
    client.destroy();
  });

  it("keeps a report whose words the database could not store as they are", async () => {
    const device = await platform.enroll("d-8");
    const client = await connect("d-8", device);
    const error = { element: "a\0b", message: "c\ud800d" };
    const event = { ts: Date.now(), seq: 1, type: "certificate", step: "trial", error };
    client.send(publish("d-8", "events", event));
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0 });
    const state = await platform.identity.rotation.state("acme", "d-8");
    expect(state?.error).toEqual({ element: "a\uFFFDb", message: "c\uFFFDd" });
    client.destroy();
  });

  it("tells a device by whom certificates are issued", async () => {
    const device = await platform.enroll("d-7");
    const client = await RawClient.connect(platform.gateway.port, device);
    client.send(subscribe("d-7", "certificate/authorities"));
    const message = await client.next("publish");
    const issuer = new X509Certificate(
      device.cert.split(/(?<=-----END CERTIFICATE-----\n)/)[1] ?? "",
    );
    const root = new X509Certificate(platform.rootPem);
    const hash = (one: X509Certificate) => one.fingerprint256.replaceAll(":", "").toLowerCase();
    expect(JSON.parse(String(message.payload))).toEqual({
      issuer: hash(issuer),
      roots: [hash(root)],
    });
    client.destroy();
  });
});

describe("after a certificate has expired", () => {
  const setGraceDays = (certificateGraceDays: number) =>
    platform.tenancy.tenants.updateSettings("acme", { certificateGraceDays }, SYSTEM_ACTOR);

  /** Issued so long ago that it ended some days ago, by every clock. */
  async function expired(deviceId: string, days: number): Promise<EnrolledDevice> {
    platform.shift(-(90 + days) * DAY_MS);
    const device = await platform.enroll(deviceId);
    platform.shift(0);
    return device;
  }

  it("renews it by EST within the grace window, and by then the new one opens every door", async () => {
    const device = await expired("e-1", 3);
    const key = newKey();
    const { status, body } = await reenroll(device, platform.csr("e-1", key));
    expect(status).toBe(200);
    const [der] = certificatesOf(Buffer.from(body, "base64"));
    const chain = device.cert.split(/(?<=-----END CERTIFICATE-----\n)/)[1] ?? "";
    const cert = toPem("CERTIFICATE", der as Buffer) + chain;
    const client = await connect("e-1", { key: pemOf(key), cert, ca: platform.rootPem });
    expect(await confirm(client, "e-1", serialOf(cert))).toBe(0);
    client.destroy();
  });

  it("lets it in by MQTT for renewal and nothing else", async () => {
    const device = await expired("e-2", 3);
    const client = await RawClient.open(platform.gateway.port, device);
    const base = { cmd: "connect", clientId: "x", protocolId: "MQTT", protocolVersion: 5 } as const;
    client.send({ ...base, clean: true, keepalive: 60 });
    expect(await client.next("connack")).toMatchObject({
      reasonCode: 0,
      properties: { reasonString: expect.stringMatching(/expired/) },
    });
    client.send(subscribe("e-2", "commands", "update", "#", "certificate/#"));
    expect(await client.next("suback")).toMatchObject({ granted: [0x87, 0x87, 0x87, 1] });
    // The announcement of the authorities comes with the subscription.
    await client.next("publish");
    client.send(publish("e-2", "telemetry", { ts: Date.now(), seq: 1, values: { a: 1 } }));
    expect(await client.next("puback")).toMatchObject({ reasonCode: 0x87 });
    const answer = await request(client, "e-2", { requestId: "r-1", csr: csrText("e-2") });
    expect(answer.certificate).toMatch(/BEGIN CERTIFICATE/);
    client.destroy();
    const { items } = await platform.tenancy.audit.list("acme", { filters: { actorId: "e-2" } });
    const reasons = items.filter(({ outcome }) => outcome === "refused").map((one) => one.details);
    expect(reasons).toContainEqual({
      reason: "the certificate has ended and is good for its renewal alone",
    });
  });

  it("refuses it for downloads, after the window, and once it is revoked", async () => {
    const device = await expired("e-3", 3);
    const download = https.get({
      ...{ host: "localhost", port: platform.http.port, agent: false, ...device },
      path: `/artifacts/${"0".repeat(64)}`,
    });
    const [response] = await once(download, "response");
    response.resume();
    expect(response.statusCode).toBe(403);
    const late = await expired("e-4", 31);
    expect(await reenroll(late, platform.csr("e-4"))).toMatchObject({
      status: 403,
      body: expect.stringMatching(/expired/),
    });
    await setGraceDays(2);
    expect((await reenroll(device, platform.csr("e-3"))).status).toBe(403);
    await setGraceDays(30);
    expect((await reenroll(device, platform.csr("e-3"))).status).toBe(200);
    await platform.identity.revoke("acme", { deviceId: "e-3" }, "stolen", SYSTEM_ACTOR);
    expect((await reenroll(device, platform.csr("e-3"))).status).toBe(403);
  });
});

describe("over EST", () => {
  it("renews a certificate with its own key unchanged, more than once", async () => {
    const device = await platform.enroll("k-1");
    const csr = platform.csr("k-1", createPrivateKey(device.key));
    let current: EnrolledDevice = device;
    for (let round = 0; round < 3; round += 1) {
      const { status, body } = await reenroll(current, csr);
      expect(status).toBe(200);
      const [der] = certificatesOf(Buffer.from(body, "base64"));
      const chain = device.cert.split(/(?<=-----END CERTIFICATE-----\n)/)[1] ?? "";
      const cert = toPem("CERTIFICATE", der as Buffer) + chain;
      const serial = serialOf(cert);
      expect(serial).not.toBe(current.serial);
      current = { ...current, cert, serial };
      const client = await connect("k-1", current);
      expect(await confirm(client, "k-1", serial)).toBe(0);
      client.destroy();
    }
  });

  it("binds what it issues to who asks, not to what the request says", async () => {
    const device = await platform.enroll("k-2");
    await platform.enroll("k-3");
    expect(await reenroll(device, platform.csr("k-3"))).toMatchObject({ status: 400 });
  });

  it("stops a device that asks without end", async () => {
    const device = await platform.enroll("k-4");
    const notAfter = new Date(Date.now() + DAY_MS);
    const peer = { tenantId: "acme", deviceId: "k-4", serial: device.serial, notAfter };
    for (let index = 0; index < 99; index += 1) {
      await platform.identity.rotation.renew(peer, { generateKey: true });
    }
    expect((await reenroll(device, platform.csr("k-4"))).status).toBe(429);
    const client = await connect("k-4", device);
    const answer = await request(client, "k-4", { requestId: "r", csr: csrText("k-4") });
    expect(answer).toMatchObject({ error: { code: "rate-limited" } });
    client.destroy();
  });
});
