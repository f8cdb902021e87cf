import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { messageOf } from "../../kernel/index.ts";
import { type Envelope, isDeviceId, isTenantId, type RootMetadata } from "../../protocol/index.ts";

/** What a device must have before it can talk to the platform; a folder on a real one. */
export interface Provisioning {
  tenant: string;
  device: string;
  product: string;
  hardwareRevision: string;
  /** `mqtts://host:port`. */
  mqttUrl: string;
  /** `https://host:port`. */
  httpsUrl: string;
  /** PEM texts: private key, certificate with its tenant's authority, the platform's root. */
  key: string;
  certificate: string;
  root: string;
  trustRoot: Envelope<RootMetadata>;
}

const NO_TRUST_ROOT =
  "trust-root.json is missing: the tenant had no trust root when the device was enrolled, and without one no update can be verified. Make one (vautn firmware root), then enrol the device again or add the file";

/** Reads the folder that enrolment wrote; the error names what is missing. */
export async function readProvisioning(directory: string): Promise<Provisioning> {
  const read = async (name: string) => {
    try {
      return await readFile(path.join(directory, name), "utf8");
    } catch (error) {
      if (name === "trust-root.json" && (error as NodeJS.ErrnoException).code === "ENOENT") {
        throw new Error(NO_TRUST_ROOT, { cause: error });
      }
      throw new Error(`${name} cannot be read: ${messageOf(error)}`, { cause: error });
    }
  };
  const device = JSON.parse(await read("device.json")) as Record<string, unknown>;
  if (!isTenantId(device.tenant) || !isDeviceId(device.device)) {
    throw new Error("device.json names no tenant and device");
  }
  for (const field of ["product", "hardwareRevision", "mqttUrl", "httpsUrl"]) {
    if (typeof device[field] !== "string") throw new Error(`device.json lacks ${field}`);
  }
  return {
    ...(device as Pick<Provisioning, "product" | "hardwareRevision" | "mqttUrl" | "httpsUrl">),
    tenant: device.tenant,
    device: device.device,
    key: await read("key.pem"),
    certificate: await read("certificate.pem"),
    root: await read("root.pem"),
    trustRoot: JSON.parse(await read("trust-root.json")) as Envelope<RootMetadata>,
  };
}

/** Writes the folder; `device.json` comes last, so that half a folder is not taken for a whole. */
export async function writeProvisioning(
  directory: string,
  provisioning: Provisioning,
): Promise<void> {
  const { key, certificate, root, trustRoot, ...device } = provisioning;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const write = (name: string, text: string, mode = 0o644) =>
    writeFile(path.join(directory, name), text, { mode, flush: true });
  await write("key.pem", key, 0o600);
  await write("certificate.pem", certificate);
  await write("root.pem", root);
  await write("trust-root.json", `${JSON.stringify(trustRoot, null, 2)}\n`);
  await write("device.json", `${JSON.stringify(device, null, 2)}\n`);
}
