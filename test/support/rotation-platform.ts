import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { type Commands, createCommands } from "../../src/commands/index.ts";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { createDevices } from "../../src/devices/index.ts";
import { createFirmware } from "../../src/firmware/index.ts";
import { type Gateway, type GatewayDeps, startGateway } from "../../src/gateway/index.ts";
import { createIdentity, type Enrolment, type Identity } from "../../src/identity/index.ts";
import { type Clock, systemClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import {
  createCertificateRequest,
  type Envelope,
  type RootMetadata,
} from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import type { Credentials } from "./device-pki.ts";
import { newKey, pemOf } from "./pki.ts";
import { makeKey, makeRoot } from "./signing.ts";

export const DAY_MS = 86_400_000;

export interface EnrolledDevice extends Credentials {
  serial: string;
}

/** The platform as far as certificates go: real database, real TLS, MQTT and EST; a clock to move. */
export interface RotationPlatform {
  test: TestDatabase;
  identity: Identity;
  tenancy: Tenancy;
  commands: Commands;
  gateway: Gateway;
  http: DeviceHttp;
  mqttUrl: string;
  httpsUrl: string;
  rootPem: string;
  trustRoot: Envelope<RootMetadata>;
  /** Events that devices sent, as they came. */
  events: { deviceId: string; payload: unknown }[];
  clock: Clock;
  /** Moves the platform's time, the machine's own stays. */
  shift(offsetMs: number): void;
  enroll(deviceId: string): Promise<EnrolledDevice>;
  csr(deviceId: string, key?: ReturnType<typeof newKey>): Buffer;
  close(): Promise<void>;
}

/** `startedDaysAgo`: so long ago the authorities were made. */
export async function startRotationPlatform(startedDaysAgo = 0): Promise<RotationPlatform> {
  const test = await createTestDatabase();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-rotation-"));
  let offsetMs = -startedDaysAgo * DAY_MS;
  const clock: Clock = { ...systemClock, now: () => Date.now() + offsetMs };
  const bus = new LocalBus();
  const logger = createLogger({ level: process.env.TEST_LOG ?? "silent" });
  const tenancy = createTenancy({ db: test.db, clock });
  const base = { db: test.db, clock, bus, tenancy, logger };
  const sealer = createSealer(Buffer.alloc(32, 1));
  const identity = createIdentity({
    ...base,
    sealer,
    trustDomain: "devices.vautn.internal",
    publicHost: "localhost",
  });
  const firmware = createFirmware({ ...base, sealer, blobs: openBlobStore({ directory }) });
  await identity.ensurePlatform();
  await tenancy.tenants.create({ id: "acme", name: "acme" }, SYSTEM_ACTOR);
  await identity.ensureTenantAuthority("acme");
  const keys = { root: makeKey(), release: [makeKey()] };
  const online = await firmware.ensureOnlineKeys("acme");
  await firmware.setTrustRoot("acme", makeRoot("acme", keys, online), SYSTEM_ACTOR);
  const trustRoot = await firmware.trustRoot("acme");
  const rootPem = await identity.rootCertificatePem();
  offsetMs = 0;

  const events: RotationPlatform["events"] = [];
  const commands = createCommands(base);
  const deps: GatewayDeps = {
    ...base,
    identity,
    devices: createDevices(base),
    commands,
    ...storesOf(events),
  };
  const gateway = await startGateway({
    ...deps,
    port: 0,
    bindAddress: "127.0.0.1",
    gatewayId: "gateway-1",
  });
  const mqttUrl = `mqtts://localhost:${gateway.port}`;
  const http = await startDeviceHttp({
    ...{ identity, firmware, tenancy, clock, logger },
    port: 0,
    bindAddress: "127.0.0.1",
    mqttUrl,
    httpsUrl: "https://localhost",
    limits: { enrolmentFailures: 1_000 },
  });
  const csr = (deviceId: string, privateKey = newKey()) =>
    createCertificateRequest({
      privateKey,
      commonName: `acme/${deviceId}`,
      organization: "acme",
    });
  return {
    ...{
      test,
      identity,
      tenancy,
      commands,
      gateway,
      http,
      mqttUrl,
      rootPem,
      trustRoot,
      events,
      clock,
      csr,
    },
    httpsUrl: `https://localhost:${http.port}`,
    shift: (ms) => {
      offsetMs = ms;
    },
    async enroll(deviceId) {
      const key = newKey();
      const enrolment: Enrolment = await identity.enroll({
        tenantId: "acme",
        csr: csr(deviceId, key),
        via: "test",
        authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
        device: { product: "sensor", hardwareRevision: "r1" },
      });
      const { chainPem, serial } = enrolment;
      return { key: pemOf(key), cert: chainPem, ca: rootPem, serial };
    },
    async close() {
      await gateway.close();
      await http.close();
      await firmware.stop();
      await test.close();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

function storesOf(events: RotationPlatform["events"]) {
  return {
    telemetry: {
      ingestTelemetry: async () => ({ accepted: 1, rejectedCount: 0, rejected: [] }),
      offerTelemetry: async () => ({ accepted: 1, rejectedCount: 0, rejected: [] }),
      ingestHeartbeat: async () => {},
      ingestEvents: async ({ deviceId }: { deviceId: string }, payload: unknown) => {
        events.push({ deviceId, payload });
      },
    },
    logs: { ingestDeviceLogs: async () => {} },
    rollouts: {
      currentAssignment: async () => null,
      recordUpdateState: async () => {},
      recordHeartbeat: async () => {},
      recordIncidents: async () => {},
    },
  };
}
