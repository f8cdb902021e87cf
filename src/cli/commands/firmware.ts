import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { openImage, readDocument, readSigningKeyFile, writeDocument } from "../document-files.ts";
import { bytes, facts } from "../output.ts";
import { releaseCommands } from "./releases.ts";
import { rootCommands } from "./trust-root.ts";

interface BuildOptions extends CommonOptions {
  product: string;
  version: string;
  hardware: string;
  securityCounter: number;
  minimumSource?: string;
  notes?: string;
  validity: number;
  out?: string;
}

/** The pipeline: keys, manifests and signatures are made here; only `publish` meets the platform. */
export function firmwareCommands(program: Command, cli: Cli): void {
  const firmware = group(
    program,
    "firmware",
    "build, sign, verify and publish releases",
    "vautn firmware list",
  );
  keyCommand(firmware, cli);
  buildCommand(firmware, cli);
  signCommands(firmware, cli);
  releaseCommands(firmware, cli);
  rootCommands(firmware, cli);
}

function keyCommand(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "keygen <file>",
    summary: "make a signing key; keep it away from the platform",
    example: "vautn firmware keygen release.key",
    data: true,
  })
    .option("--scheme <scheme>", "ed25519 or ecdsa-p256-sha256", "ed25519")
    .option("--passphrase-env <variable>", "encrypt it with the passphrase in this variable")
    .action(async (file: string, options: KeygenOptions) => {
      const { generateSigningKey } = await import("../../firmware/index.ts");
      const scheme = options.scheme;
      if (scheme !== "ed25519" && scheme !== "ecdsa-p256-sha256") {
        throw misuse(`--scheme is ed25519 or ecdsa-p256-sha256, not "${scheme}"`);
      }
      const passphrase = options.passphraseEnv && cli.io.environment[options.passphraseEnv];
      if (options.passphraseEnv && !passphrase) throw misuse(`${options.passphraseEnv} is not set`);
      const made = generateSigningKey({ scheme, passphrase: passphrase || undefined });
      try {
        fs.writeFileSync(file, made.privateKeyPem, { mode: 0o600, flag: "wx" });
        fs.writeFileSync(`${file}.pub`, made.publicKeyPem, { flag: "wx" });
      } catch (error) {
        throw new CliError(`${file}: ${(error as Error).message}`, {
          next: "keys are never written over: choose another name",
        });
      }
      const data = { keyId: made.keyId, privateKey: file, publicKey: `${file}.pub` };
      cli.print(options, data, () =>
        facts([
          ["key id", data.keyId],
          ["private key", data.privateKey],
          ["public key", data.publicKey],
        ]),
      );
    });
}

type KeygenOptions = CommonOptions & { scheme: string; passphraseEnv?: string };

function buildCommand(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "build <image>",
    summary: "make the manifest of an image: its hash, size and which devices it fits",
    example: "vautn firmware build hub.bin --product hub --version 2.4.0 --hardware rev-a,rev-b",
    data: true,
    tenant: true,
  })
    .requiredOption("--product <name>", "product")
    .requiredOption("--version <version>", "semantic version")
    .requiredOption("--hardware <revisions>", "hardware revisions that it fits, comma-separated")
    .option("--security-counter <n>", "rises when older releases must not come back", counter, 0)
    .option("--minimum-source <version>", "oldest version that may update to it directly")
    .option("--notes <text>", "what is new")
    .option("--validity <days>", "days until it expires", wholeNumber("--validity", 1, 3_650), 365)
    .option("--out <file>", "manifest to write (default: the image's name with .manifest.json)")
    .action((image: string, options: BuildOptions) => build(cli, image, options));
}

const counter = wholeNumber("--security-counter", 0, 2_147_483_647);

async function build(cli: Cli, image: string, options: BuildOptions): Promise<void> {
  const { buildManifest } = await import("../../firmware/index.ts");
  const tenant = options.tenant ?? tenantWithoutPlatform(cli);
  const epoch = cli.io.environment.SOURCE_DATE_EPOCH;
  const envelope = await buildManifest(openImage(image), {
    tenant,
    product: options.product,
    version: options.version,
    hardwareRevisions: options.hardware.split(",").map((revision) => revision.trim()),
    securityCounter: options.securityCounter,
    minimumSourceVersion: options.minimumSource ?? null,
    imageName: path.basename(image),
    createdAtMs: epoch ? Number(epoch) * 1000 : Date.now(),
    validityDays: options.validity,
    notes: options.notes,
  });
  const file = options.out ?? `${image}.manifest.json`;
  writeDocument(file, envelope);
  const { version, image: built } = envelope.signed;
  cli.print(options, { file, ...envelope }, () =>
    facts([
      ["manifest", file],
      ["version", `${envelope.signed.product} ${version}`],
      ["image", `${built.sha256}, ${bytes(built.sizeBytes)}`],
    ]),
  );
  cli.note(`Next: vautn firmware sign ${file} --key release.key`);
}

/** A manifest is made without the platform, so the tenant's name alone is asked for. */
function tenantWithoutPlatform(cli: Cli): string {
  const tenant = cli.contextTenant();
  if (tenant) return tenant;
  throw misuse("no tenant is named", "give --tenant ID or set VAUTN_TENANT");
}

function signCommands(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "sign <document>",
    summary: "add signatures to a manifest or a trust root",
    example: "vautn firmware sign hub.bin.manifest.json --key release.key",
    data: true,
  })
    .requiredOption("-k, --key <file>", "private key (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .option("--out <file>", "write here (default: in place)")
    .action(async (file: string, options: SignOptions) => {
      const { sign } = await import("../../firmware/index.ts");
      let envelope = readDocument(file);
      for (const key of options.key) {
        const passphrase = options.passphraseEnv && cli.io.environment[options.passphraseEnv];
        envelope = sign(envelope, await readSigningKeyFile(key, passphrase || undefined));
      }
      const target = options.out ?? file;
      writeDocument(target, envelope);
      const signers = envelope.signatures.map(({ keyId }) => keyId);
      cli.print(options, { file: target, signers }, () =>
        facts(signers.map((keyId) => ["signed by", keyId])),
      );
    });

  leaf(firmware, {
    usage: "verify <manifest>",
    summary: "what the platform would say to a release; status 1 when it would refuse it",
    example: "vautn firmware verify hub.bin.manifest.json --image hub.bin --root trust-root.json",
    data: true,
    tenant: true,
  })
    .option("--root <file>", "trust root (default: the platform's)")
    .option("--image <file>", "compare this image too")
    .action(async (file: string, options: VerifyOptions) => {
      const { verifyRelease } = await import("../../firmware/index.ts");
      const root = options.root
        ? readDocument(options.root)
        : await cli.session(options).call("getTrustRoot");
      const verification = await verifyRelease(readDocument(file), root as never, {
        nowMs: Date.now(),
        ...(options.image ? { image: openImage(options.image) } : {}),
      });
      const { accepted, reason, signers, threshold } = verification;
      cli.print(options, verification, () =>
        facts([
          ["accepted", accepted ? "yes" : "no"],
          ["reason", reason ?? "all checks hold"],
          ["signatures", `${signers.length} of the ${threshold} that are needed`],
        ]),
      );
      if (!accepted) throw new CliError("the release would be refused");
    });
}

type SignOptions = CommonOptions & { key: string[]; passphraseEnv?: string; out?: string };
type VerifyOptions = CommonOptions & { root?: string; image?: string };
