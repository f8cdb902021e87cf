import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { ApiRefusal } from "../../client/index.ts";
import type { Envelope, RootMetadata } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, leaf, pairs, several } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import type { Session } from "../session.ts";
import type { BulkOptions } from "./enrol-bulk.ts";

interface EnrolOptions extends CommonOptions {
  product: string;
  hardware: string;
  region?: string;
  tag?: string[];
  out?: string;
  csr?: string;
  mqttUrl?: string;
  httpsUrl?: string;
}

/** `device enroll`: the key is made here and stays here; the platform sees the request alone. */
export function enrolCommand(device: Command, cli: Cli): void {
  leaf(device, {
    usage: "enroll [device]",
    summary: "register a device, or those of a file, and write the folders that agents start with",
    example: [
      "vautn device enroll hub-001 --product hub --hardware rev-a --out ./hub-001",
      "vautn device enroll --csv devices.csv --out bundle.zip",
      "vautn device enroll --csrs ./requests --product hub --hardware rev-a --out bundle.zip",
    ].join("\n  "),
    data: true,
    tenant: true,
  })
    .option("--csv <file>", "many: a table with id, and product, hardware, region, tag.<name>")
    .option("--csrs <directory>", "many: requests of keys that are elsewhere, named by device")
    .option("--product <name>", "product")
    .option("--hardware <revision>", "hardware revision")
    .option("--region <region>", "region")
    .option("--tag <key=value>", "tag (several times)", several)
    .option("--out <path>", "folder to write (default: the device's id); of many, an archive (zip)")
    .option("--csr <file>", "certificate request of a key that is elsewhere; writes no key")
    .option("--mqtt-url <url>", "where devices connect, if the platform is behind another name")
    .option("--https-url <url>", "where devices download, likewise")
    .action(async (id: string | undefined, options: EnrolOptions & BulkOptions) => {
      if (options.csv || options.csrs) {
        if (id !== undefined) throw misuse("a device and a file of devices exclude each other");
        const { enrolInBulk } = await import("./enrol-bulk.ts");
        return enrolInBulk(cli, options);
      }
      if (id === undefined) throw misuse("no device is named", "give its id, --csv or --csrs");
      const { product, hardware } = options;
      if (!product || !hardware) throw misuse("a device needs --product and --hardware");
      return enrol(cli, id, { ...options, product, hardware });
    });
}

async function enrol(cli: Cli, id: string, options: EnrolOptions): Promise<void> {
  const { createCertificateRequest, toPem } = await import("../../protocol/index.ts");
  const session = cli.session(options);
  const { tenant } = session;
  const directory = path.resolve(options.out ?? id);
  if (fs.existsSync(path.join(directory, "device.json"))) {
    throw misuse(`${directory} holds a device already`, "choose another folder with --out");
  }
  const key = options.csr
    ? undefined
    : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const csr = key
    ? toPem(
        "CERTIFICATE REQUEST",
        createCertificateRequest({
          privateKey: key,
          commonName: `${tenant}/${id}`,
          organization: tenant,
        }),
      )
    : fs.readFileSync(options.csr as string, "utf8");
  const trustRoot = await trustRootOf(session);
  const enrolled = await session.call("enrollDevice", {
    body: {
      id,
      product: options.product,
      hardwareRevision: options.hardware,
      ...(options.region ? { region: options.region } : {}),
      tags: pairs(options.tag, "--tag"),
      csr,
    },
  });
  const keyPem = key?.export({ type: "pkcs8", format: "pem" }) as string | undefined;
  const { certificate } = enrolled;
  if (!certificate) throw new CliError("the platform issued no certificate");
  const connection = await session.call("getDeviceConnection");
  const mqttUrl = options.mqttUrl ?? connection.mqttUrl;
  const httpsUrl = options.httpsUrl ?? connection.httpsUrl;
  if (keyPem && trustRoot) {
    const { writeProvisioning } = await import("../../agent/index.ts");
    writeAgentConfig(directory);
    await writeProvisioning(directory, {
      tenant,
      device: id,
      product: options.product,
      hardwareRevision: options.hardware,
      mqttUrl,
      httpsUrl,
      key: keyPem,
      certificate: certificate.chainPem,
      root: certificate.rootPem,
      trustRoot,
    });
  } else writeParts(directory, keyPem, certificate);
  const { serial } = certificate;
  cli.print(options, { ...enrolled, directory }, () => `${id} is enrolled: ${directory}\n`);
  cli.note(
    trustRoot
      ? `certificate ${serial}. Next: vautn agent run --config ${path.join(directory, "agent.json")}`
      : `tenant ${tenant} has no trust root yet, so trust-root.json is missing. Next: vautn firmware root create`,
  );
}

/** The least that `agent run` needs; the folder is the device's to grow. */
function writeAgentConfig(directory: string): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const config = { provisioning: ".", data: "./data" };
  fs.writeFileSync(path.join(directory, "agent.json"), `${JSON.stringify(config, null, 2)}\n`);
}

/** What the agent's folder lacks without a trust root comes later; the certificate is there. */
function writeParts(
  directory: string,
  key: string | undefined,
  certificate: { chainPem: string; rootPem: string },
): void {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (key) fs.writeFileSync(path.join(directory, "key.pem"), key, { mode: 0o600 });
  fs.writeFileSync(path.join(directory, "certificate.pem"), certificate.chainPem);
  fs.writeFileSync(path.join(directory, "root.pem"), certificate.rootPem);
}

export async function trustRootOf(session: Session): Promise<Envelope<RootMetadata> | undefined> {
  try {
    return (await session.call("getTrustRoot")) as Envelope<RootMetadata>;
  } catch (error) {
    if (error instanceof ApiRefusal && error.code === "not-found") return undefined;
    throw error;
  }
}
