import fs from "node:fs";
import type { Command } from "commander";
import type { DocumentStatus } from "../../firmware/index.ts";
import type { Envelope, SigningKey } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, leaf, several } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { openImage, readDocument, readJson, writeDocument } from "../document-files.ts";
import { facts, table } from "../output.ts";
import { isTokenUri, openSigner, openTokens, passphraseOf } from "../signing-keys.ts";
import { readTrust, type TrustOptions, trustOptions } from "../trust-documents.ts";

const SCHEMES: Record<string, SigningKey["scheme"] | undefined> = {
  ed25519: "ed25519",
  p256: "ecdsa-sha2-nistp256",
};

/** Keys and signatures: all of it away from the platform, on as many days as it takes. */
export function signingCommands(firmware: Command, cli: Cli): void {
  keygenCommand(firmware, cli);
  signCommand(firmware, cli);
  mergeCommand(firmware, cli);
  statusCommand(firmware, cli);
  verifyCommand(firmware, cli);
}

type KeygenOptions = CommonOptions & { scheme: string; passphraseEnv?: string };

function keygenCommand(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "keygen <file>",
    summary: "make a signing key in a file or a token; keep it away from the platform",
    example: "vautn firmware keygen release.key --passphrase-env RELEASE_PASSPHRASE",
    data: true,
  })
    .option("--scheme <scheme>", "ed25519 or p256 (a token makes p256 only)", "ed25519")
    .option("--passphrase-env <variable>", "encrypt it with the passphrase in this variable")
    .action(async (name: string, options: KeygenOptions) => {
      const made = isTokenUri(name)
        ? await generateInToken(cli, name)
        : await generateFiles(cli, name, options);
      cli.print(options, made, () =>
        facts([
          ["key id", made.keyId],
          ["private key", made.privateKey],
          ["public key", made.publicKey ?? "in the token"],
        ]),
      );
    });
}

async function generateInToken(cli: Cli, uri: string) {
  const { tokenSigner } = await import("../../firmware/index.ts");
  const { signingKeyId } = await import("../../protocol/index.ts");
  const { key } = tokenSigner(await (await openTokens(cli)).generate(uri));
  return { keyId: signingKeyId(key), privateKey: uri, publicKey: null };
}

async function generateFiles(cli: Cli, file: string, options: KeygenOptions) {
  const { generateSigningKey } = await import("../../firmware/index.ts");
  const scheme = SCHEMES[options.scheme];
  if (!scheme) throw misuse(`--scheme is ed25519 or p256, not "${options.scheme}"`);
  const passphrase = passphraseOf(cli, options);
  const made = generateSigningKey({ scheme, passphrase });
  try {
    fs.writeFileSync(file, made.privateKeyPem, { mode: 0o600, flag: "wx" });
    fs.writeFileSync(`${file}.pub`, made.publicKeyPem, { flag: "wx" });
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === "EEXIST";
    throw new CliError(exists ? `${file} exists already` : (error as Error).message, {
      ...(exists ? { next: "keys are never written over: choose another name" } : {}),
      cause: error,
    });
  }
  return { keyId: made.keyId, privateKey: file, publicKey: `${file}.pub` };
}

type SignOptions = CommonOptions & {
  key: string[];
  passphraseEnv?: string;
  out?: string;
  detached?: string;
};

function signCommand(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "sign <document>",
    summary: "add signatures to a release, a delegation or a trust root",
    example: "vautn firmware sign hub-2.4.0.release.json --key release.key",
    data: true,
  })
    .requiredOption("-k, --key <key>", "private key: a file or pkcs11:... (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .option("--out <file>", "write here (default: in place)")
    .option("--detached <file>", "write the signatures alone, and leave the document as it is")
    .action(async (file: string, options: SignOptions) => {
      const { detach, parseSignable, signWith } = await import("../../firmware/index.ts");
      let document = parseSignable(readDocument(file));
      if (options.detached) document = { ...document, signatures: [] } as typeof document;
      for (const name of options.key) {
        document = await signWith(document, await openSigner(cli, name, options));
      }
      const target = options.detached ?? options.out ?? file;
      writeDocument(target, options.detached ? detach(document) : document);
      const signers = document.signatures.map(({ keyid }) => keyid);
      cli.print(options, { file: target, signers }, () =>
        facts(signers.map((keyid) => ["signed by", keyid])),
      );
      cli.note(`Next: vautn firmware ${options.detached ? `merge ${file} ` : "status "}${target}`);
    });
}

function mergeCommand(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "merge <document> <signatures...>",
    summary: "add signatures that others made, detached or in their copy of the document",
    example: "vautn firmware merge hub-2.4.0.release.json alice.sig.json bob.sig.json",
    data: true,
  })
    .option("--out <file>", "write here (default: in place)")
    .action(async (file: string, others: string[], options: CommonOptions & { out?: string }) => {
      const { mergeSignatures, parseSignable } = await import("../../firmware/index.ts");
      let document = parseSignable(readDocument(file));
      for (const other of others) document = mergeSignatures(document, readJson(other));
      const target = options.out ?? file;
      writeDocument(target, document);
      const signers = document.signatures.map(({ keyid }) => keyid);
      cli.print(options, { file: target, signers }, () =>
        facts(signers.map((keyid) => ["signed by", keyid])),
      );
    });
}

function statusCommand(firmware: Command, cli: Cli): void {
  const command = leaf(firmware, {
    usage: "status <document>",
    summary: "who has signed a document and whose signatures are missing; status 1 while some are",
    example: "vautn firmware status hub-2.4.0.release.json --root trust-root.json",
    data: true,
    tenant: true,
  });
  trustOptions(command).action(async (file: string, options: CommonOptions & TrustOptions) => {
    const { parseSignable, signatureStatus } = await import("../../firmware/index.ts");
    const document = parseSignable(readDocument(file));
    const trust = await readTrust(cli, options);
    const root = trust.root?.signed ?? null;
    const targets = trust.targets?.signed ?? null;
    const status = signatureStatus(document, { root, targets });
    cli.print(options, status, () => describeStatus(status));
    if (!status.isComplete) throw new CliError("signatures are missing");
  });
}

function describeStatus({ type, documentSha256, roles, strangers }: DocumentStatus): string {
  const rows = roles.flatMap(({ role, threshold, signers, open }) => [
    ...signers.map((keyid) => [role, keyid, "signed"]),
    ...open.map((keyid) => [
      role,
      keyid,
      signers.length >= threshold
        ? "not needed"
        : `open: ${threshold - signers.length} more of these`,
    ]),
  ]);
  const head = facts([
    ["document", `${type}, ${documentSha256}`],
    ...roles.map(({ role, threshold, signers }): [string, string] => [
      role,
      `${signers.length} of the ${threshold} that are needed`,
    ]),
  ]);
  const unknown = strangers.map((keyid) => ["-", keyid, "counts for nothing"]);
  return `${head}${table(["ROLE", "KEY", "SIGNATURE"], [...rows, ...unknown])}`;
}

function verifyCommand(firmware: Command, cli: Cli): void {
  const command = leaf(firmware, {
    usage: "verify <release>",
    summary: "what the platform would say to a release; status 1 when it would refuse it",
    example: "vautn firmware verify hub-2.4.0.release.json --image hub.bin --root trust-root.json",
    data: true,
    tenant: true,
  }).option("--image <file>", "compare this image too");
  type VerifyOptions = CommonOptions & TrustOptions & { image?: string };
  trustOptions(command).action(async (file: string, options: VerifyOptions) => {
    const { verifyRelease } = await import("../../firmware/index.ts");
    const { root, targets } = await readTrust(cli, options);
    if (!root) throw misuse("the tenant has no trust root");
    const verification = await verifyRelease(readDocument(file), root as Envelope<never>, {
      nowMs: Date.now(),
      targets,
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
