import { createHash, randomBytes } from "node:crypto";
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
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import type { TestApi } from "./api.ts";

/** Puts a trust root in force by the API and publishes a signed release; the result is its id. */
export async function publishRelease(test: TestApi, tenant: string): Promise<string> {
  const signed = await trustedRelease(test, tenant);
  const image = randomBytes(10_000);
  const published = await uploadRelease(test, tenant, await signed(image, "1.1.0"), image);
  if (published.status !== 201) throw new Error(JSON.stringify(published.body));
  return published.body.id;
}

/** The same with a bill of materials, whose document can be asked for. */
export async function publishWithSbom(test: TestApi, tenant: string): Promise<string> {
  const signed = await trustedRelease(test, tenant);
  const { firmware } = test.modules;
  const document = Buffer.from('{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}');
  const entry = { name: "hub.cdx.json", sizeBytes: document.length };
  const sha256 = createHash("sha256").update(document).digest("hex");
  const upload = await firmware.uploads.create(
    tenant,
    { sizeBytes: document.length, metadata: "", name: entry.name, expectedSha256: null },
    SYSTEM_ACTOR,
  );
  const piece = { offset: 0, content: Readable.from([document]) };
  await firmware.uploads.append(tenant, upload.id, piece, SYSTEM_ACTOR);
  const image = randomBytes(10_000);
  const sbom = { ...entry, sha256, format: "cyclonedx" as const };
  const envelope = await signed(image, "1.1.0", sbom);
  const given = { envelope, image: Readable.from([image]), files: [upload.id] };
  return (await firmware.publish(tenant, given, SYSTEM_ACTOR)).id;
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
  return async (image: Buffer, version: string, sbom: ReleaseManifest["sbom"] | null = null) => {
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
      sbom,
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
