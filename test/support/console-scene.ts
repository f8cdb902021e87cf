import { generateKeyPairSync } from "node:crypto";
import { createCertificateRequest, signDocument, toPem } from "../../src/protocol/index.ts";
import { type Behaviours, createFleet, type Fleet } from "../../src/simulator/index.ts";
import { startTestPlatform, type TestPlatform } from "./platform.ts";
import { makeKey, makeManifest, makeRoot } from "./signing.ts";

export interface ConsoleScene {
  platform: TestPlatform;
  tenant: string;
  fleet: Fleet;
  deviceIds: string[];
  /** Publishes a signed release; resolves with its id. */
  publish(version: string): Promise<string>;
  /** A signed release that nobody has published, as files. */
  files(version: string): { manifest: Buffer; image: Buffer };
  stop(): Promise<void>;
}

const REGIONS = ["eu-north", "eu-west", "us-east"];
const HARDWARE = ["a", "b"];
const IMAGE_BYTES = 48 * 1024;

/** The whole platform with a tenant whose devices are real agents on simulated machines. */
export async function setConsoleScene(options: {
  devices: number;
  platform?: TestPlatform;
  tenant?: { id: string; name: string };
  /** What an image does, by its version. */
  behaviours?: Record<string, Behaviours[string]>;
  timeScale?: number;
}): Promise<ConsoleScene> {
  const { devices, timeScale = 60, tenant = { id: "acme", name: "Acme Pumps" } } = options;
  const platform = options.platform ?? (await startTestPlatform());
  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await platform.api(method, path, body);
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const at = `/tenants/${tenant.id}`;
  await call("POST", "/tenants", { ...tenant, settings: { heartbeatIntervalSeconds: 2 } });
  const keys = { root: makeKey(), release: [makeKey(), makeKey()] };
  const online = await call("GET", `${at}/trust/online-keys`);
  const trustRoot = makeRoot(tenant.id, keys, online);
  await call("PUT", `${at}/trust-root`, trustRoot);

  const signed = (version: string) =>
    signDocument(
      makeManifest(imageOf(version), {
        tenant: tenant.id,
        version,
        hardwareRevisions: HARDWARE,
        notes: `What is new in ${version}.`,
      }),
      keys.release,
    );
  const publish = async (version: string): Promise<string> => {
    const response = await fetch(`${platform.consoleUrl}/api/v1${at}/releases`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${platform.adminKey}`,
        "content-type": "application/octet-stream",
        "x-vautn-manifest": Buffer.from(JSON.stringify(signed(version))).toString("base64url"),
      },
      body: new Uint8Array(imageOf(version)),
    });
    if (!response.ok) throw new Error(`publishing ${version}: ${await response.text()}`);
    return ((await response.json()) as { id: string }).id;
  };
  await publish("1.0.0");

  const deviceIds = Array.from(
    { length: devices },
    (_, index) => `hub-${String(index + 1).padStart(3, "0")}`,
  );
  const fleet = createFleet({
    count: devices,
    factory: { image: imageOf("1.0.0"), release: signed("1.0.0") },
    spreadMs: 1_000,
    timeScale,
    settings: { heartbeatIntervalMs: 2_000 },
    behaviours: behavioursByImage(options.behaviours ?? {}),
    async provisioning(index) {
      const device = deviceIds[index] as string;
      const identity = {
        tenant: tenant.id,
        device,
        product: "hub",
        hardwareRevision: HARDWARE[index % HARDWARE.length] as string,
      };
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const request = createCertificateRequest({
        privateKey,
        commonName: `${tenant.id}/${device}`,
        organization: tenant.id,
      });
      const region = REGIONS[index % REGIONS.length] as string;
      const { certificate } = await call("POST", `${at}/devices`, {
        id: device,
        product: identity.product,
        hardwareRevision: identity.hardwareRevision,
        region,
        tags: { site: `${region}-${1 + (index % 2)}` },
        csr: toPem("CERTIFICATE REQUEST", request),
      });
      return {
        ...identity,
        trustRoot,
        mqttUrl: platform.mqttUrl,
        httpsUrl: platform.httpsUrl,
        key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
        certificate: certificate.chainPem,
        root: certificate.rootPem,
      };
    },
  });
  await fleet.start();
  await fleet.waitUntil(({ connected }) => connected === devices, 30_000);
  await waitFor(async () => (await call("GET", `${at}/fleet/summary`)).online === devices);
  return {
    platform,
    tenant: tenant.id,
    fleet,
    deviceIds,
    publish,
    files: (version) => ({
      manifest: Buffer.from(JSON.stringify(signed(version))),
      image: imageOf(version),
    }),
    async stop() {
      await fleet.stop();
      await platform.stop();
    },
  };
}

/** Asks until the answer is yes. */
async function waitFor(ask: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error("the fleet did not come online");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Images of the same build: most bytes are shared, so that deltas are small. */
function imageOf(version: string): Buffer {
  const image = Buffer.alloc(IMAGE_BYTES);
  for (let offset = 0; offset < image.length; offset += 1) image[offset] = (offset * 7919) >> 5;
  image.write(`hub firmware ${version}`, 64);
  return image;
}

function behavioursByImage(byVersion: Record<string, Behaviours[string]>): Behaviours {
  return Object.fromEntries(
    Object.entries(byVersion).map(([version, behaviour]) => {
      const { image } = makeManifest(imageOf(version), { tenant: "any", version });
      return [image.sha256, behaviour];
    }),
  );
}
