import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Gateway, startGateway } from "../../src/gateway/index.ts";
import type { IssuedApplication } from "../../src/identity/index.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { SYSTEM_ACTOR, type TenantRole } from "../../src/tenancy/index.ts";
import type { Credentials } from "../support/device-pki.ts";
import { createGatewayFixture, type GatewayFixture, RawClient, until } from "../support/gateway.ts";
import { createInstallation, type Installation } from "../support/installation.ts";
import { newKey } from "../support/pki.ts";

const ACME = "tenants/acme/devices/d-1/";

let fixture: GatewayFixture;
let installation: Installation;
let gateway: Gateway;
let roots: string;
const devices = new Map<string, Credentials>();
const clients: MqttClient[] = [];
const raws: RawClient[] = [];

beforeAll(async () => {
  fixture = await createGatewayFixture();
  installation = createInstallation(fixture.test, { bus: fixture.bus });
  const { identity, tenancy } = installation;
  await identity.ensurePlatform();
  roots = await identity.rootCertificatePem();
  for (const tenantId of ["acme", "globex"]) {
    await identity.ensureTenantAuthority(tenantId);
    const { key, chainPem } = await installation.enroll("d-1", { tenantId });
    devices.set(tenantId, {
      key: key.export({ type: "pkcs8", format: "pem" }) as string,
      cert: chainPem,
      ca: roots,
    });
  }
  const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId: "gateway-9" };
  gateway = await startGateway({ ...fixture.deps, identity, tenancy, ...listen });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.endAsync(true)));
  for (const client of raws.splice(0)) client.destroy();
});
afterAll(async () => {
  await gateway.close();
  await fixture.close();
});

const issue = (name: string, role: TenantRole, tenantId = "acme", more: object = {}) =>
  installation.identity.applicationCertificates.issue(
    tenantId,
    { name, role, ...more },
    SYSTEM_ACTOR,
  );

async function connect(issued: IssuedApplication, options: IClientOptions = {}, key?: string) {
  const client = mqtt.connect(`mqtts://localhost:${gateway.port}`, {
    ...{ protocolVersion: 5, reconnectPeriod: 0, ca: roots, cert: issued.chainPem },
    key: key ?? issued.keyPem,
    ...options,
  });
  clients.push(client);
  client.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    client.once("connect", () => resolve());
    client.once("error", reject);
    client.once("close", () => reject(new Error("closed")));
  });
  return client;
}

function listen(client: MqttClient): IPublishPacket[] {
  const heard: IPublishPacket[] = [];
  client.on("message", (_topic, _payload, packet) => heard.push(packet));
  return heard;
}

async function measure(tenantId: string): Promise<void> {
  const device = await RawClient.connect(gateway.port, devices.get(tenantId) as Credentials);
  raws.push(device);
  const payload = JSON.stringify({ ts: 1, seq: 1, values: { a: 1 } });
  const topic = `tenants/${tenantId}/devices/d-1/telemetry`;
  device.send({ cmd: "publish", topic, payload, qos: 1, dup: false, retain: false, messageId: 1 });
  await device.next("puback");
}

const granted = async (client: MqttClient, topic: string) => {
  const [answer] = await client.subscribeAsync(topic, { qos: 1 }).catch(() => []);
  return answer?.qos;
};
const pause = (ms = 150) => new Promise((resolve) => setTimeout(resolve, ms));

describe("an application with a certificate", () => {
  it.each([4, 5] as const)(
    "hears its tenant's devices and no others (MQTT %d)",
    async (version) => {
      const application = await issue(`reader-${version}`, "viewer");
      expect(application.chainPem).toMatch(/BEGIN CERTIFICATE/);
      const client = await connect(application, { protocolVersion: version });
      const heard = listen(client);
      await client.subscribeAsync("tenants/acme/devices/+/telemetry", { qos: 1 });
      await pause();
      await measure("globex");
      await measure("acme");
      await until(() => heard.length > 0);
      await pause();
      expect(heard.map(({ topic, qos }) => [topic, qos])).toEqual([[`${ACME}telemetry`, 1]]);
      const { items } = await installation.identity.applicationCertificates.list("acme");
      expect(items.find(({ serial }) => serial === application.serial)?.lastUsedAt).not.toBeNull();
    },
  );

  it("orders where its role may, and is answered when the command is queued", async () => {
    const operator = await connect(await issue("operator-1", "operator"));
    const order = JSON.stringify({ name: "blink", args: { times: 3 }, ttlSeconds: 60 });
    await operator.publishAsync(`${ACME}commands`, order, { qos: 1 });
    const [command] = await fixture.commands.undelivered("acme", "d-1", 10);
    expect(command).toMatchObject({ name: "blink", args: { times: 3 } });
    const { createdBy } = await fixture.commands.get("acme", command?.id as string);
    expect(createdBy).toBe("operator-1");
    const viewer = await connect(await issue("viewer-1", "viewer"));
    await expect(viewer.publishAsync(`${ACME}commands`, order, { qos: 1 })).rejects.toThrow(
      /Not authorized/,
    );
  });

  it("reaches no other tenant, by no trick, and speaks for no device", async () => {
    const client = await connect(await issue("curious", "operator"));
    const heard = listen(client);
    for (const filter of [
      "tenants/globex/devices/+/telemetry",
      "tenants/globex/#",
      "tenants/+/devices/+/telemetry",
      "tenants/#",
      "#",
      "+/+/devices/+/telemetry",
      "$share/all/tenants/globex/devices/+/telemetry",
      "$share/all/#",
      "tenants/acme/../globex/#",
      "tenants/%67lobex/#",
      "tenants/ｇlobex/#",
      "$SYS/#",
    ]) {
      const answer = await granted(client, filter);
      if (answer === undefined || answer >= 0x80) continue;
      // What is granted below the own tenant must bring nothing of the other.
      expect(filter).toMatch(/^tenants\/acme\//);
    }
    await pause();
    await measure("globex");
    await pause();
    expect(heard.filter(({ topic }) => topic.includes("globex"))).toEqual([]);
    for (const topic of [
      "tenants/globex/devices/d-1/commands",
      `${ACME}telemetry`,
      `${ACME}commands/x/result`,
    ]) {
      const sent = client.publishAsync(topic, JSON.stringify({ name: "x" }), { qos: 1 });
      await expect(sent).rejects.toThrow(/Not authorized/);
    }
  });

  it("is told when its certificate ends, and is let in no more", async () => {
    const application = await issue("leaver", "viewer");
    const client = await connect(application);
    const ended = new Promise<number>((resolve) => {
      client.on("disconnect", ({ reasonCode }) => resolve(reasonCode ?? 0));
    });
    const { applicationCertificates } = installation.identity;
    await applicationCertificates.revoke("acme", application.serial, "keyCompromise", SYSTEM_ACTOR);
    expect(await ended).toBe(0x87);
    await expect(connect(application)).rejects.toThrow(/Not authorized/);
    const again = applicationCertificates.revoke(
      ...(["acme", application.serial, "unspecified", SYSTEM_ACTOR] as const),
    );
    await expect(again).rejects.toMatchObject({ code: "not-found" });
    const foreign = applicationCertificates.revoke(
      ...(["globex", application.serial, "unspecified", SYSTEM_ACTOR] as const),
    );
    await expect(foreign).rejects.toMatchObject({ code: "not-found" });
  });

  it("keeps its own key where it brings a request, which names nobody", async () => {
    const privateKey = newKey();
    const csr = createCertificateRequest({
      privateKey,
      commonName: "globex/d-1",
      organization: "globex",
    });
    const issued = await issue("own-key", "viewer", "acme", { csr });
    expect(issued.keyPem).toBeUndefined();
    await connect(issued, {}, privateKey.export({ type: "pkcs8", format: "pem" }) as string);
    // One key is one client's.
    await expect(issue("another", "viewer", "acme", { csr })).rejects.toMatchObject({
      code: "csr-invalid",
    });
  });

  it("is refused for what is no name, role or lifetime", async () => {
    for (const [name, role, more] of [
      ["Capital", "viewer", {}],
      ["../device", "viewer", {}],
      ["", "viewer", {}],
      ["ok", "root", {}],
      ["ok", "viewer", { lifetimeHours: 0 }],
      ["ok", "viewer", { lifetimeHours: 1e9 }],
    ] as const) {
      const issued = issue(name, role as TenantRole, "acme", more);
      await expect(issued).rejects.toMatchObject({ code: "invalid-request" });
    }
    const csr = issue("ok", "viewer", "acme", { csr: "nonsense" });
    await expect(csr).rejects.toMatchObject({ code: "csr-invalid" });
  });

  it("is not believed where it has made its certificate itself", async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-forged-"));
    const file = (name: string) => path.join(directory, name);
    const uri = "URI:spiffe://acme.devices.vautn.internal/application/reader-5";
    execFileSync(
      "openssl",
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout ${file("k")}
       -out ${file("c")} -subj /O=acme/CN=application\\ reader-5 -addext subjectAltName=${uri}
       -addext extendedKeyUsage=clientAuth`
        .replace("CN=application\\ reader-5", `CN=${randomUUID()}`)
        .split(/\s+/),
      { stdio: "ignore" },
    );
    const forged = { chainPem: fs.readFileSync(file("c"), "utf8") } as IssuedApplication;
    await expect(connect(forged, {}, fs.readFileSync(file("k"), "utf8"))).rejects.toThrow(
      /Not authorized|closed/,
    );
    fs.rmSync(directory, { recursive: true });
  });

  it("is shown to its own tenant alone, page by page", async () => {
    const { applicationCertificates } = installation.identity;
    await issue("theirs", "viewer", "globex");
    const names: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await applicationCertificates.list("acme", { cursor, limit: 2 });
      names.push(...page.items.map(({ name }) => name));
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
    expect(names).toContain("leaver");
    expect(names).not.toContain("theirs");
    expect(new Set(names).size).toBe(names.length);
    const bad = applicationCertificates.list("acme", { cursor: "zzz" });
    await expect(bad).rejects.toMatchObject({ code: "invalid-cursor" });
  });

  it("is sent away when its tenant is suspended", async () => {
    const client = await connect(await issue("suspended-1", "viewer", "globex"));
    const ended = new Promise<void>((resolve) => client.once("close", () => resolve()));
    await installation.tenancy.tenants.setStatus("globex", "suspended", SYSTEM_ACTOR);
    await ended;
    await installation.tenancy.tenants.setStatus("globex", "active", SYSTEM_ACTOR);
  });
});
