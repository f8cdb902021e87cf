import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { SigningRoot } from "../../identity/index.ts";
import { type Cli, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { readText, writeDocument } from "../document-files.ts";
import { facts, table } from "../output.ts";
import { ask, confirm } from "../prompt.ts";

/** What lies in the folder of a root, besides its certificate and, where encrypted, its key. */
interface RootFolder {
  format: "vautn-pki-root/1";
  trustDomain: string;
  fingerprint: string;
  /** Of a key in a token; otherwise it is in root.key. */
  keyUri?: string;
}

interface InitOptions {
  offlineRoot: string;
  pkcs11?: string;
  trustDomain?: string;
  algorithm?: "ecdsa-p256" | "ed25519";
  passphraseEnv?: string;
}

interface RootOptions {
  root: string;
  out: string;
  crlDays?: string;
  passphraseEnv?: string;
  yes?: boolean;
}

/** The commands for the machine with the root's key: none of them uses a network. */
export function rootCommands(pki: Command, cli: Cli): void {
  leaf(pki, {
    usage: "init",
    summary:
      "make a root on this machine, which needs no network: an encrypted key, or one in a token",
    example: "vautn pki init --offline-root ./root",
  })
    .requiredOption("--offline-root <directory>", "folder to make")
    .option("--pkcs11 <uri>", "key in a token, made there: pkcs11:token=...;object=...")
    .option("--trust-domain <domain>", "default: the platform's (VAUTN_TRUST_DOMAIN)")
    .option("--algorithm <name>", "ecdsa-p256 (default) or ed25519")
    .option("--passphrase-env <variable>", "variable with the passphrase (default: ask)")
    .action((options: InitOptions) => init(cli, options));

  leaf(pki, {
    usage: "sign-bundle <bundle>",
    summary: "sign with the offline root what vautn pki request has written",
    example: "vautn pki sign-bundle --root ./root bundle.json -o signed.json",
  })
    .requiredOption("--root <directory>", "folder that vautn pki init made")
    .requiredOption("-o, --out <file>", "file to write")
    .option("--crl-days <days>", "how long the root's revocation list is good (default 365)")
    .option("--passphrase-env <variable>", "variable with the passphrase (default: ask)")
    .option("--yes", "do not ask")
    .action((bundle: string, options: RootOptions) => signBundle(cli, bundle, options));

  leaf(pki, {
    usage: "cross-sign <certificate>",
    summary: "sign a new root's certificate with the old root, so that old devices follow",
    example: "vautn pki cross-sign --root ./root ./new-root/root.pem -o cross.pem",
  })
    .requiredOption("--root <directory>", "folder of the old root")
    .requiredOption("-o, --out <file>", "file to write")
    .option("--passphrase-env <variable>", "variable with the passphrase (default: ask)")
    .action(async (certificate: string, options: RootOptions) => {
      const identity = await import("../../identity/index.ts");
      const root = await openRoot(cli, options);
      fs.writeFileSync(
        options.out,
        await identity.crossSign(root, readText(certificate), Date.now()),
      );
      cli.note(
        `${options.out} was written. Next, on the platform: vautn pki rotate-ca --root ` +
          `--certificate ${path.basename(certificate)} --cross ${path.basename(options.out)}`,
      );
    });
}

async function init(cli: Cli, options: InitOptions): Promise<void> {
  const identity = await import("../../identity/index.ts");
  const { offlineRoot: directory, pkcs11: keyUri, algorithm } = options;
  if (algorithm && !["ecdsa-p256", "ed25519"].includes(algorithm)) {
    throw misuse("--algorithm takes ecdsa-p256 or ed25519");
  }
  if (fs.existsSync(path.join(directory, "root.json"))) {
    throw misuse(`${directory} holds a root already`, "choose another folder");
  }
  const { readConfig } = await import("../../kernel/config.ts");
  const trustDomain = options.trustDomain ?? readConfig(cli.io.environment).trustDomain;
  let certificatePem: string;
  let encryptedKeyPem: string | undefined;
  if (keyUri) {
    if (algorithm === "ed25519") throw misuse("a key in a token is P-256");
    const key = await (await tokensOf(cli)).generate(keyUri);
    const signing = { algorithm: "ecdsa-p256", ...key } as const;
    certificatePem = await identity.selfSignedRoot(signing, Date.now());
  } else {
    const passphrase = await newPassphrase(cli, options.passphraseEnv);
    const now = Date.now();
    const root = await identity.createOfflineRoot({ passphrase, trustDomain, algorithm, now });
    ({ certificatePem, encryptedKeyPem } = root);
  }
  const fingerprint = fingerprintOf(certificatePem);
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (encryptedKeyPem) {
    fs.writeFileSync(path.join(directory, "root.key"), encryptedKeyPem, {
      mode: 0o600,
      flag: "wx",
    });
  }
  const certificateFile = path.join(directory, "root.pem");
  fs.writeFileSync(certificateFile, certificatePem, { flag: "wx" });
  const folder = { format: "vautn-pki-root/1", trustDomain, fingerprint, keyUri };
  writeDocument(path.join(directory, "root.json"), folder);
  cli.io.out(
    facts([
      ["root", new X509Certificate(certificatePem).subject.replaceAll("\n", ", ")],
      ["fingerprint", fingerprint],
      ["trust domain", trustDomain],
      ["certificate", certificateFile],
      ["key", keyUri ?? path.join(directory, "root.key")],
    ]),
  );
  cli.note(
    "Write the fingerprint down, and keep two copies of the folder in two places. Next: carry " +
      `root.pem to the platform, then VAUTN_ROOT=root.pem${keyUri ? ` (and, if the token is there, VAUTN_ROOT_KEY="${keyUri}")` : ""} vautn up`,
  );
}

async function signBundle(cli: Cli, file: string, options: RootOptions): Promise<void> {
  const identity = await import("../../identity/index.ts");
  const bundle = identity.parseRequestBundle(readText(file, MAX_BUNDLE_BYTES));
  const { requests, revocationList: list } = bundle;
  if (requests.length === 0 && !list) {
    throw new CliError("the bundle asks for nothing", { next: "nothing is to be done" });
  }
  const rows = requests.map(({ kind, tenantId, id }) => [
    kind === "server" ? "servers of the platform" : `devices of tenant ${tenantId}`,
    id,
  ]);
  if (rows.length > 0) cli.io.err(table(["AUTHORITY FOR", "REQUEST"], rows));
  const days = listDays(options.crlDays, identity.DEFAULT_LIST_DAYS);
  if (list) {
    cli.note(
      `revocation list ${list.number} of the root, good for ${days} days, with ${list.entries.length} authorities`,
    );
    const revoked = list.entries.map(({ serial, revokedAt }) => [serial, revokedAt]);
    if (revoked.length > 0) cli.io.err(table(["REVOKED AUTHORITY", "SINCE"], revoked));
  }
  cli.note(`trust domain ${bundle.trustDomain}, asked at ${bundle.createdAt}`);
  const what = `${rows.length} authorities${list ? " and a revocation list" : ""}`;
  if (!options.yes) await confirm(cli.io, false, `signing ${what}`);
  const root = await openRoot(cli, options);
  const signed = await identity.signBundle(bundle, root, Date.now(), days);
  writeDocument(options.out, signed);
  noteSigned(options.root, bundle.requests, signed.certificates);
  if (list) noteList(options.root, list.number, days);
  cli.note(`${what} signed. Next, on the platform: vautn pki import ${options.out}`);
}

function listDays(text: string | undefined, fallback: number): number {
  const days = Number(text ?? fallback);
  if (Number.isInteger(days) && days >= 1) return days;
  throw misuse("--crl-days takes a whole number of days");
}

function noteList(directory: string, number: number, days: number): void {
  const line = JSON.stringify({
    at: new Date().toISOString(),
    kind: "revocation-list",
    number,
    days,
  });
  fs.appendFileSync(path.join(directory, "signed.jsonl"), `${line}\n`);
}

const MAX_BUNDLE_BYTES = 32 * 1024 * 1024;

/** What the root has ever signed stands beside it. */
function noteSigned(
  directory: string,
  requests: readonly { id: string; kind: string; tenantId: string }[],
  certificates: readonly { certificatePem: string }[],
): void {
  const at = new Date().toISOString();
  if (requests.length === 0) return;
  const lines = requests.map(({ id, kind, tenantId }, index) =>
    JSON.stringify({
      at,
      id,
      kind,
      tenantId,
      fingerprint: fingerprintOf(certificates[index]?.certificatePem ?? ""),
    }),
  );
  fs.appendFileSync(path.join(directory, "signed.jsonl"), `${lines.join("\n")}\n`);
}

async function openRoot(cli: Cli, options: RootOptions): Promise<SigningRoot> {
  const identity = await import("../../identity/index.ts");
  const folder = readFolder(options.root);
  const { trustDomain } = folder;
  const certificatePem = readText(path.join(options.root, "root.pem"));
  if (fingerprintOf(certificatePem) !== folder.fingerprint) {
    throw new CliError("root.pem is not the certificate that the folder was made with");
  }
  if (folder.keyUri) {
    const key = await (await tokensOf(cli)).key(folder.keyUri);
    return { certificatePem, trustDomain, key: { algorithm: "ecdsa-p256", ...key } };
  }
  const encryptedKeyPem = readText(path.join(options.root, "root.key"));
  const passphrase = await passphraseOf(cli, options.passphraseEnv);
  return identity.openOfflineRoot({ certificatePem, encryptedKeyPem, trustDomain }, passphrase);
}

function readFolder(directory: string): RootFolder {
  const file = path.join(directory, "root.json");
  let folder: RootFolder;
  try {
    folder = JSON.parse(readText(file)) as RootFolder;
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${file} is not JSON`);
  }
  if (folder?.format === "vautn-pki-root/1") return folder;
  throw new CliError(`${directory} holds no root of ours`, {
    next: "make one with: vautn pki init --offline-root DIR",
  });
}

async function tokensOf(cli: Cli) {
  const { readConfig } = await import("../../kernel/config.ts");
  const { Tokens } = await import("../../kernel/pkcs11.ts");
  const { pkcs11Module, pkcs11PinFile, pkcs11Pin } = readConfig(cli.io.environment);
  if (!pkcs11Module) {
    throw misuse("no token is named", "set VAUTN_PKCS11_MODULE and VAUTN_PKCS11_PIN_FILE");
  }
  return new Tokens({ modulePath: pkcs11Module, pinFile: pkcs11PinFile, pin: pkcs11Pin });
}

async function passphraseOf(cli: Cli, variable: string | undefined): Promise<string> {
  if (!variable) return ask(cli.io, "passphrase of the root: ", { hidden: true });
  const passphrase = cli.io.environment[variable];
  if (passphrase) return passphrase;
  throw misuse(`the variable ${variable} holds no passphrase`);
}

async function newPassphrase(cli: Cli, variable: string | undefined): Promise<string> {
  const passphrase = await passphraseOf(cli, variable);
  if (variable) return passphrase;
  const again = await ask(cli.io, "once more: ", { hidden: true });
  if (again === passphrase) return passphrase;
  throw misuse("the two differ; nothing was made");
}

function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}
