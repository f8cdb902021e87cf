import { once } from "node:events";
import https from "node:https";
import tls from "node:tls";
import mqttPacket from "mqtt-packet";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { RawClient, until } from "../support/gateway.ts";
import { type GatewayProcess, startGatewayProcess } from "../support/gateway-process.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";

/** Within this time a revocation has to take effect, everywhere. */
const DEADLINE_MS = 5_000;

describe("revocation", () => {
  let real: RealModules;
  let heard: GatewayProcess;
  let deaf: GatewayProcess;
  let web: DeviceHttp;
  let deafWeb: DeviceHttp;
  const stops: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    // What one process publishes is passed on to one gateway, and lost on the way to the other.
    const bus = new LocalBus((subject, message) => heard?.deliver(subject, message));
    real = await createRealModules(bus);
    const { config, stores, modules } = real;
    // Each leaves the other's journal alone.
    const both = { ...config, gatewayProcesses: 2 };
    [heard, deaf] = await Promise.all([
      startGatewayProcess("gateway-1", both, stores),
      startGatewayProcess("gateway-2", both, stores),
    ]);
    web = await startWeb(modules);
    deafWeb = await startWeb(real.another());
  }, 120_000);
  afterAll(async () => {
    for (const stop of stops) await stop();
    await Promise.all([heard?.stop(), deaf?.stop()]);
    await real?.close();
  });

  async function startWeb(modules: RealModules["modules"]): Promise<DeviceHttp> {
    const urls = { mqttUrl: "mqtts://localhost", httpsUrl: "https://localhost" };
    const server = await startDeviceHttp({
      ...modules,
      ...urls,
      port: 0,
      bindAddress: "127.0.0.1",
    });
    const watch = await modules.identity.watchStanding();
    stops.push(
      () => watch.stop(),
      () => server.close(),
    );
    return server;
  }

  /** A request on the agent's connection; its status, or 0 where the connection is gone. */
  function ask(agent: https.Agent, port: number): Promise<number> {
    return new Promise((resolve) => {
      const url = `https://localhost:${port}/artifacts/${"0".repeat(64)}`;
      const request = https.get(url, { agent }, (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode ?? 0));
      });
      request.once("error", () => resolve(0));
    });
  }

  const agentOf = ({ key, cert, ca }: EnrolledDevice) =>
    new https.Agent({ keepAlive: true, maxSockets: 1, key, cert, ca });

  /** The reason code that a CONNECT is answered with, and the ticket of the TLS session. */
  async function connect(port: number, device: EnrolledDevice, session?: Buffer) {
    const { key, cert, ca } = device;
    const options = { port, host: "127.0.0.1", servername: "localhost", key, cert, ca };
    const socket = tls.connect({ ...options, ...(session ? { session } : {}) });
    let ticket: Buffer | undefined;
    socket.on("session", (given) => {
      ticket = given;
    });
    await once(socket, "secureConnect");
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    const answered = new Promise<number>((resolve) => {
      parser.on("packet", (packet) => {
        if (packet.cmd === "connack") resolve(packet.reasonCode ?? -1);
      });
    });
    socket.on("data", (bytes) => parser.parse(bytes as Buffer));
    socket.on("error", () => {});
    const packet = {
      cmd: "connect",
      clientId: "c",
      protocolId: "MQTT",
      protocolVersion: 5,
      clean: true,
      keepalive: 60,
    } as const;
    socket.write(mqttPacket.generate(packet, { protocolVersion: 5 }));
    const reasonCode = await answered;
    const reused = socket.isSessionReused();
    socket.destroy();
    return { reasonCode, reused, ticket };
  }

  it("ends live connections on every process within five seconds, though the bus lost the message", async () => {
    const [one, two, three, four] = (await Promise.all(
      ["live-1", "live-2", "live-3", "live-4"].map((id) => real.enroll(id)),
    )) as [EnrolledDevice, EnrolledDevice, EnrolledDevice, EnrolledDevice];
    const mqtt = [
      await RawClient.connect(heard.port, one),
      await RawClient.connect(deaf.port, two),
    ];
    const agents = [agentOf(three), agentOf(four)] as const;
    for (let round = 0; round < 2; round += 1) {
      expect(await ask(agents[0], web.port)).toBe(404);
      expect(await ask(agents[1], deafWeb.port)).toBe(404);
    }
    const started = Date.now();
    const deviceIds = ["live-1", "live-2", "live-3", "live-4"];
    const reason = { reason: "keyCompromise", comment: "stolen" } as const;
    const { revocations } = real.modules.identity;
    const outcome = await revocations.revoke("acme", { deviceIds }, reason, SYSTEM_ACTOR);
    expect(outcome).toMatchObject({ certificates: 4, devices: 4, unknownCount: 0 });
    await Promise.all([
      ...mqtt.map((client) => client.closed),
      until(async () => (await ask(agents[0], web.port)) !== 404),
      until(async () => (await ask(agents[1], deafWeb.port)) !== 404),
    ]);
    expect(Date.now() - started).toBeLessThan(DEADLINE_MS);
    expect(await mqtt[1]?.next("disconnect")).toMatchObject({ reasonCode: 0x87 });
    expect(await ask(agentOf(three), web.port)).toBe(403);
    expect(await ask(agentOf(four), deafWeb.port)).toBe(403);
    for (const agent of agents) agent.destroy();
  });

  it("counts for new connections and for resumed sessions, on the process that heard nothing too", async () => {
    const device = await real.enroll("resumes");
    const first = await connect(deaf.port, device);
    expect(first).toMatchObject({ reasonCode: 0, reused: false });
    const again = await connect(deaf.port, device, first.ticket);
    expect(again).toMatchObject({ reasonCode: 0, reused: true });
    const started = Date.now();
    await real.modules.identity.revoke("acme", { serial: device.serial }, "lost", SYSTEM_ACTOR);
    for (const gateway of [heard, deaf]) {
      await until(async () => (await connect(gateway.port, device)).reasonCode === 0x87);
    }
    const ticket = again.ticket ?? first.ticket;
    const resumed = await connect(deaf.port, device, ticket);
    expect(resumed).toMatchObject({ reasonCode: 0x87, reused: true });
    expect(Date.now() - started).toBeLessThan(DEADLINE_MS);
  });

  it("takes a held certificate back in, and leaves one that was revoked for good outside", async () => {
    const held = await real.enroll("held");
    const gone = await real.enroll("gone");
    const { revocations } = real.modules.identity;
    const client = await RawClient.connect(deaf.port, held);
    const hold = { reason: "certificateHold" } as const;
    const both = { serials: [held.serial, gone.serial, "ab"] };
    const outcome = await revocations.revoke("acme", both, hold, SYSTEM_ACTOR);
    expect(outcome).toEqual({ certificates: 2, devices: 2, unknown: ["ab"], unknownCount: 1 });
    await client.closed;
    expect((await connect(heard.port, held)).reasonCode).toBe(0x87);
    const forGood = { reason: "keyCompromise" } as const;
    await revocations.revoke("acme", { serials: [gone.serial] }, forGood, SYSTEM_ACTOR);
    const view = await real.modules.identity.certificate("acme", held.serial);
    expect(view).toMatchObject({ status: "held", revocationCode: "certificateHold" });
    expect(await revocations.restore("acme", both, "found again", SYSTEM_ACTOR)).toMatchObject({
      certificates: 1,
    });
    await until(async () => (await connect(deaf.port, held)).reasonCode === 0);
    expect((await connect(heard.port, gone)).reasonCode).toBe(0x87);
    const audit = await real.modules.tenancy.audit.list("acme", { limit: 10 });
    expect(audit.items.map((entry) => entry.action)).toEqual(
      expect.arrayContaining(["certificate.hold", "certificate.revoke", "certificate.unhold"]),
    );
  });

  it("leaves another tenant's certificates and devices alone, and does not say that they exist", async () => {
    const device = await real.enroll("mine");
    const { revocations } = real.modules.identity;
    const reason = { reason: "keyCompromise" } as const;
    for (const selection of [{ serials: [device.serial] }, { deviceIds: ["mine"] }]) {
      const outcome = await revocations.revoke("globex", selection, reason, SYSTEM_ACTOR);
      expect(outcome).toMatchObject({ certificates: 0, devices: 0, unknownCount: 1 });
    }
    await expect(real.modules.identity.certificate("globex", device.serial)).rejects.toMatchObject({
      code: "not-found",
    });
    expect((await connect(heard.port, device)).reasonCode).toBe(0);
  });

  it("lets a device in again that was enrolled anew right after it was revoked", async () => {
    const before = await real.enroll("returns");
    await real.modules.identity.revoke("acme", { deviceId: "returns" }, "mixed up", SYSTEM_ACTOR);
    await expect(real.enroll("returns")).rejects.toMatchObject({ code: "claim-refused" });
    await real.modules.identity.quarantines.reinstate("acme", "returns", "found", SYSTEM_ACTOR);
    const client = await RawClient.connect(deaf.port, await real.enroll("returns"));
    // The database's own word of the revocation arrives now, and is about the old certificate.
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(client.isClosed).toBe(false);
    expect((await connect(heard.port, before)).reasonCode).toBe(0x87);
    client.destroy();
  });

  it("ends the connections of a suspended tenant and of a device that was removed", async () => {
    const removed = await RawClient.connect(deaf.port, await real.enroll("removed"));
    await real.modules.devices.remove("acme", "removed", SYSTEM_ACTOR);
    await removed.closed;
    const device = await real.enroll("theirs", "globex");
    const clients = [await RawClient.connect(deaf.port, device)];
    const bystander = await RawClient.connect(heard.port, await real.enroll("bystander"));
    await real.modules.tenancy.tenants.setStatus("globex", "suspended", SYSTEM_ACTOR);
    await Promise.all(clients.map((client) => client.closed));
    await real.modules.tenancy.tenants.setStatus("globex", "active", SYSTEM_ACTOR);
    await until(async () => (await connect(deaf.port, device)).reasonCode === 0);
    expect(bystander.isClosed).toBe(false);
    bystander.destroy();
  });

  it("revokes a thousand devices in one call and tells each connection", async () => {
    const some = await Promise.all(["bulk-1", "bulk-2"].map((id) => real.enroll(id)));
    const clients = [
      await RawClient.connect(heard.port, some[0] as EnrolledDevice),
      await RawClient.connect(deaf.port, some[1] as EnrolledDevice),
    ];
    const ids = Array.from({ length: 1_000 }, (_, index) => `many-${index}`);
    await real.test.db.tenant("acme", async (tx) => {
      const created_at = new Date();
      const devices = ids.map((id) => ({
        ...{ tenant_id: "acme", id, product: "hub", hardware_revision: "a", created_at },
      }));
      await tx.insertInto("devices").values(devices).execute();
    });
    const started = Date.now();
    const outcome = await real.modules.identity.revocations.revoke(
      "acme",
      { deviceIds: [...ids, "bulk-1", "bulk-2"] },
      { reason: "cessationOfOperation" },
      SYSTEM_ACTOR,
    );
    expect(outcome).toMatchObject({ devices: 1_002, certificates: 2 });
    await Promise.all(clients.map((client) => client.closed));
    expect(Date.now() - started).toBeLessThan(DEADLINE_MS);
    expect(await real.modules.tenancy.audit.verify("acme")).toMatchObject({ intact: true });
  });
});
