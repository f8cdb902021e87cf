import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  buildManifest,
  createRoot,
  generateSigningKey,
  type OnlineKeys,
  readPublicKey,
  readSigningKey,
  sign,
} from "../../src/firmware/index.ts";
import type { Envelope, ReleaseManifest } from "../../src/protocol/index.ts";
import type { TestApi } from "./api.ts";

/** Puts a trust root in force by the API and publishes a signed release; the result is its id. */
export async function publishRelease(test: TestApi, tenant: string): Promise<string> {
  const signed = await trustedRelease(test, tenant);
  const image = randomBytes(10_000);
  const published = await uploadRelease(test, tenant, await signed(image, "1.1.0"), image);
  if (published.status !== 201) throw new Error(JSON.stringify(published.body));
  return published.body.id;
}

/** Puts a trust root in force by the API; the result signs the manifests of its releases. */
export async function trustedRelease(test: TestApi, tenant: string) {
  const { privateKeyPem, publicKeyPem } = generateSigningKey({});
  const key = readSigningKey(privateKeyPem);
  const keys = [readPublicKey(publicKeyPem)];
  const online = await test.call("GET", `/tenants/${tenant}/trust/online-keys`);
  const root = createRoot({
    tenant,
    version: 1,
    expires: new Date(Date.now() + 86_400_000).toISOString(),
    root: { keys, threshold: 1 },
    release: { keys, threshold: 1 },
    online: online.body as OnlineKeys,
  });
  await test.call("PUT", `/tenants/${tenant}/trust-root`, { body: sign(root, key) });
  return async (image: Buffer, version: string) => {
    const manifest = await buildManifest(Readable.from([image]), {
      tenant,
      product: "hub",
      version,
      hardwareRevisions: ["a"],
      securityCounter: 0,
      minimumSourceVersion: null,
      imageName: "hub.bin",
      createdAtMs: Date.now(),
      validityDays: 1,
    });
    return sign(manifest, key) as Envelope<ReleaseManifest>;
  };
}

export function uploadRelease(
  test: TestApi,
  tenant: string,
  envelope: Envelope<ReleaseManifest>,
  image: Buffer,
) {
  const manifest = Buffer.from(JSON.stringify(envelope)).toString("base64url");
  return test.call("POST", `/tenants/${tenant}/releases`, {
    headers: { "content-type": "application/octet-stream", "x-vautn-manifest": manifest },
    body: image,
  });
}
