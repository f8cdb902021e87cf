import { createHash, generateKeyPairSync } from "node:crypto";
import mqtt, { type MqttClient } from "mqtt";
import type { ApiClient } from "../src/client/index.ts";
import {
  createCertificateRequest,
  deviceTopic,
  signDocument,
  toPem,
} from "../src/protocol/index.ts";
import { makeKey, makeManifest, makeRoot } from "../test/support/signing.ts";
import { METRICS } from "./telemetry-points.ts";

/** What a device says that it applies: the quickest and the smallest that there is. */
const FORMATS = ["full", "zstd-patch", "vdelta-small"];
/** Everybody at once and nobody held back: what is measured is the platform, not the gate. */
const AT_ONCE = { stages: [{ name: "all", percent: 100 }], holdbackPercent: 0 };

export interface BenchDevice {
  id: string;
  client: MqttClient;
  topic(suffix: string): string;
  /** A sample of five values; resolves when the platform has acknowledged it. */
  measure(ts: number): Promise<unknown>;
  /** Says that this image runs. */
  beat(image: Buffer): Promise<unknown>;
}

export type BenchTenant = Awaited<ReturnType<typeof openTenant>>;

/** A tenant with releases of its own and devices that are connected by MQTT over mutual TLS. */
export async function openTenant(
  api: ApiClient,
  options: { tenant: string; devices: number; mqttPort: number },
) {
  const { tenant, mqttPort } = options;
  const params = { tenant };
  const keys = { root: makeKey(), release: [makeKey()] };
  const online = await api.call("getOnlineKeys", { params });
  await api.call("setTrustRoot", { params, body: makeRoot(tenant, keys, online as never) });
  const devices: BenchDevice[] = [];
  for (let number = 1; number <= options.devices; number += 1) {
    devices.push(await connectDevice(api, { tenant, id: `d-${number}`, mqttPort }));
  }
  return {
    api,
    params,
    devices,
    /** Resolves with the id of the release. */
    async publish(version: string, image: Buffer): Promise<string> {
      const manifest = signDocument(makeManifest(image, { tenant, version }), keys.release);
      const headers = {
        "x-vautn-manifest": Buffer.from(JSON.stringify(manifest)).toString("base64url"),
      };
      const bytes = new Uint8Array(image);
      return (await api.upload("publishRelease", { params }, bytes, headers)).id;
    },
    async rollOut(releaseId: string, query: string): Promise<string> {
      const body = { name: "bench", releaseId, query, policy: AT_ONCE };
      return (await api.call("createRollout", { params, body })).id;
    },
    async cancel(rollout: string): Promise<void> {
      await api.call("cancelRollout", { params: { ...params, rollout }, body: {} });
    },
    async close(): Promise<void> {
      await Promise.all(devices.map(({ client }) => client.endAsync(true)));
    },
  };
}

async function connectDevice(
  api: ApiClient,
  options: { tenant: string; id: string; mqttPort: number },
): Promise<BenchDevice> {
  const { tenant, id, mqttPort } = options;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const commonName = `${tenant}/${id}`;
  const request = createCertificateRequest({ privateKey, commonName, organization: tenant });
  const csr = toPem("CERTIFICATE REQUEST", request);
  const body = { id, product: "hub", hardwareRevision: "a", csr };
  const { certificate } = await api.call("enrollDevice", { params: { tenant }, body });
  const client = await mqtt.connectAsync(`mqtts://localhost:${mqttPort}`, {
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    cert: certificate?.chainPem ?? "",
    ca: certificate?.rootPem ?? "",
    protocolVersion: 5,
    clientId: id,
  });
  const topic = (suffix: string) => deviceTopic({ tenantId: tenant, deviceId: id }, suffix);
  let seq = 0;
  const send = (suffix: string, content: object) => {
    seq += 1;
    return client.publishAsync(topic(suffix), JSON.stringify({ seq, ...content }), { qos: 1 });
  };
  return {
    id,
    client,
    topic,
    measure(ts) {
      const values = METRICS.map((metric, index) => [metric, 20 + ((seq * 7 + index) % 100) / 10]);
      return send("telemetry", { ts, values: Object.fromEntries(values) });
    },
    beat(image) {
      const hash = createHash("sha256").update(image).digest("hex");
      const firmware = { version: "1.0.0", hash, slot: "a" };
      const running = { bootId: "bench", uptimeSeconds: 60, firmware, formats: FORMATS };
      return send("heartbeat", { ts: Date.now(), ...running });
    },
  };
}

/** Another build of an image: as a new version of a firmware, some of its bytes differ everywhere. */
export function rebuilt(image: Buffer, random: { next(): number }): Buffer {
  const next = Buffer.from(image);
  for (let at = 0; at < next.length; at += 200 + Math.floor(random.next() * 2_000)) {
    next.writeUInt8(Math.floor(random.next() * 256), at);
  }
  return next;
}

/** Bytes with some structure: neither all alike nor incompressible. */
export function imageOf(bytes: number, random: { next(): number }): Buffer {
  const image = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) {
    image.writeUInt32LE((Math.floor(random.next() * 4_096) * 65_537) >>> 0, at);
  }
  return image;
}

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
