import { once } from "node:events";
import tls from "node:tls";
import mqttPacket, { type Packet } from "mqtt-packet";
import { LocalBus } from "../../src/bus/index.ts";
import { type Commands, createCommands } from "../../src/commands/index.ts";
import { createDevices, type Devices } from "../../src/devices/index.ts";
import type { GatewayLimits } from "../../src/gateway/index.ts";
import {
  type Gateway,
  type GatewayDeps,
  type StandingChange,
  startGateway,
} from "../../src/gateway/index.ts";
import { AppError, systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import {
  type Assignment,
  type AssignmentMessage,
  decodePayload,
  type Envelope,
} from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { type Credentials, createTestPki, peerOf, type TestPki } from "./device-pki.ts";

function takenOf(payload: unknown) {
  const { ts, values } = payload as { ts?: unknown; values?: Record<string, unknown> };
  const rejected = Object.entries(values ?? {})
    .filter(([, value]) => value === null)
    .map(([metric]) => ({ metric, ts: Number(ts), reason: "not-a-value", sample: 0 }));
  const taken = { accepted: 1, rejected, rejectedCount: rejected.length };
  if (typeof ts !== "number") throw new AppError("message-invalid", "no ts", { ...taken });
  return taken;
}

/** What the stores outside PostgreSQL were given; `available` switches them off. */
export interface Recorded {
  available: boolean;
  telemetry: { deviceId: string; payload: unknown }[];
  logs: { deviceId: string; payload: unknown }[];
  events: { deviceId: string; payload: unknown }[];
  heartbeats: string[];
  /** What the gateway has counted of a device, with each heartbeat. */
  counted: Record<string, number>[];
  updateStates: { deviceId: string; phase: string }[];
  incidents: string[];
  assignments: Map<string, Envelope<Assignment>>;
  revoked: Set<string>;
}

export interface GatewayFixture {
  test: TestDatabase;
  pki: TestPki;
  bus: LocalBus;
  tenancy: Tenancy;
  devices: Devices;
  commands: Commands;
  recorded: Recorded;
  deps: GatewayDeps;
  gateway: Gateway;
  revoke(tenantId: string, deviceId: string): void;
  close(): Promise<void>;
}

/** A gateway on real PostgreSQL and real TLS; the time-series stores remember in memory. */
export async function createGatewayFixture(
  limits: Partial<GatewayLimits> = {},
): Promise<GatewayFixture> {
  const test = await createTestDatabase();
  const pki = await createTestPki();
  const bus = new LocalBus();
  const base = { db: test.db, clock: systemClock, bus };
  const tenancy = createTenancy(base);
  const devices = createDevices({ ...base, tenancy });
  const commands = createCommands({ ...base, tenancy });
  for (const tenantId of ["acme", "globex"]) {
    await tenancy.tenants.create({ id: tenantId, name: tenantId }, SYSTEM_ACTOR);
    for (const id of ["d-1", "d-2"]) {
      await devices.register(null, tenantId, { id, product: "hub", hardwareRevision: "a" });
    }
  }
  const recorded = emptyRecord();
  const listeners = new Set<(change: StandingChange) => void>();
  const deps: GatewayDeps = {
    ...base,
    tenancy,
    devices: {
      ...devices,
      async recordIncidents(incidents) {
        const added = await devices.recordIncidents(incidents);
        recorded.incidents.push(...added.map(({ kind, key }) => `${kind} ${key}`));
        return added;
      },
    },
    commands,
    logger: createLogger({ level: process.env.TEST_LOG ?? "silent" }),
    identity: {
      serverCredentials: async () => ({
        keyPem: pki.server.key,
        certificatePem: pki.server.cert,
      }),
      rootCertificatePem: async () => pki.root,
      async authenticatePeer(socket) {
        const peer = peerOf(socket);
        if (recorded.revoked.has(`${peer.tenantId}/${peer.deviceId}`)) {
          throw new AppError("certificate-refused", "the certificate was revoked");
        }
        return peer;
      },
      onStandingChanged(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      rotation: {
        renew: () => Promise.reject(new AppError("csr-invalid", "nothing is issued here")),
        confirm: async () => {},
        record: async () => {},
        authorities: async () => ({ issuer: "0".repeat(64), roots: ["0".repeat(64)] }),
      },
    },
    ...storesOf(recorded),
  };
  const listen = { port: 0, bindAddress: "127.0.0.1", gatewayId: "gateway-1", limits };
  const gateway = await startGateway({ ...deps, ...listen });
  return {
    ...{ test, pki, bus, tenancy, devices, commands, recorded, deps, gateway },
    revoke(tenantId, deviceId) {
      recorded.revoked.add(`${tenantId}/${deviceId}`);
      for (const listener of listeners) listener({ kind: "revoked", tenantId, deviceId });
    },
    async close() {
      await gateway.close();
      await test.close();
    },
  };
}

function emptyRecord(): Recorded {
  return {
    available: true,
    telemetry: [],
    logs: [],
    events: [],
    heartbeats: [],
    counted: [],
    updateStates: [],
    incidents: [],
    assignments: new Map(),
    revoked: new Set(),
  };
}

function storesOf(recorded: Recorded): Pick<GatewayDeps, "telemetry" | "logs" | "rollouts"> {
  const store = async (keep: () => void) => {
    await new Promise((resolve) => setTimeout(resolve, 2));
    if (!recorded.available) throw new AppError("unavailable", "the store is switched off");
    keep();
  };
  /** Messages that become durable together, as in the real store. */
  let batch: { durable: Promise<void>; messages: Recorded["telemetry"] } | undefined;
  const nextBatch = () => {
    const messages: Recorded["telemetry"] = [];
    const written = store(() => recorded.telemetry.push(...messages));
    const closed = () => {
      batch = undefined;
    };
    written.then(closed, closed);
    return { durable: written, messages };
  };
  return {
    telemetry: {
      async ingestTelemetry({ deviceId }, payload) {
        const taken = takenOf(payload);
        await store(() => recorded.telemetry.push({ deviceId, payload }));
        return taken;
      },
      offerTelemetry({ deviceId }, bytes, contentType) {
        const payload = decodePayload(bytes, contentType);
        const taken = takenOf(payload);
        batch ??= nextBatch();
        batch.messages.push({ deviceId, payload });
        return { taken, durable: batch.durable };
      },
      ingestHeartbeat: ({ deviceId }, _heartbeat, _receivedAt, counted = {}) =>
        store(() => {
          recorded.heartbeats.push(deviceId);
          recorded.counted.push(counted);
        }),
      ingestEvents: ({ deviceId }, payload) =>
        store(() => recorded.events.push({ deviceId, payload })),
    },
    logs: {
      ingestDeviceLogs: ({ deviceId }, payload) =>
        store(() => recorded.logs.push({ deviceId, payload })),
    },
    rollouts: {
      currentAssignment: async (tenantId, deviceId) =>
        (recorded.assignments.get(`${tenantId}/${deviceId}`) as AssignmentMessage) ?? null,
      recordUpdateState: ({ deviceId }, { phase }) =>
        store(() => recorded.updateStates.push({ deviceId, phase })),
      recordHeartbeat: async () => {},
    },
  };
}

/** A client that sends exactly what it is told, packet by packet or byte by byte. */
export class RawClient {
  readonly socket: tls.TLSSocket;
  readonly received: Packet[] = [];
  readonly closed: Promise<void>;
  readonly #version: 4 | 5;
  #waiting: (() => void)[] = [];
  isClosed = false;

  private constructor(socket: tls.TLSSocket, version: 4 | 5) {
    this.socket = socket;
    this.#version = version;
    const parser = mqttPacket.parser({ protocolVersion: version });
    parser.on("packet", (packet) => {
      this.received.push(packet);
      this.#wake();
    });
    socket.on("data", (bytes: Buffer) => parser.parse(bytes));
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      socket.once("close", () => {
        this.isClosed = true;
        this.#wake();
        resolve();
      });
    });
  }

  static async open(port: number, credentials: Credentials, version: 4 | 5 = 5) {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ...credentials,
    });
    await once(socket, "secureConnect");
    return new RawClient(socket, version);
  }

  /** Opens a connection and has it accepted. */
  static async connect(
    port: number,
    credentials: Credentials,
    connect: Partial<Extract<Packet, { cmd: "connect" }>> = {},
  ): Promise<RawClient> {
    const version = connect.protocolVersion === 4 ? 4 : 5;
    const client = await RawClient.open(port, credentials, version);
    client.send({
      cmd: "connect",
      clientId: "raw",
      protocolId: "MQTT",
      protocolVersion: version,
      clean: true,
      keepalive: 60,
      ...connect,
    });
    await client.next("connack");
    return client;
  }

  send(packet: Packet): void {
    this.write(mqttPacket.generate(packet, { protocolVersion: this.#version }));
  }

  write(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next packet of a kind that has not been taken yet; rejects when the connection ends. */
  async next<Cmd extends Packet["cmd"]>(
    cmd: Cmd,
    timeoutMs = 30_000,
  ): Promise<Extract<Packet, { cmd: Cmd }>> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const index = this.received.findIndex((packet) => packet.cmd === cmd);
      if (index >= 0) return this.received.splice(index, 1)[0] as Extract<Packet, { cmd: Cmd }>;
      if (this.isClosed) throw new Error(`closed without a ${cmd}`);
      if (Date.now() > deadline) throw new Error(`no ${cmd} in ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(timeoutMs, 100));
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting = [];
  }
}

/** Waits until `holds` is true. */
export async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 30_000) {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error("it did not come to pass in time");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
