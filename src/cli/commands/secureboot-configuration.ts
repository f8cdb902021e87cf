import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Configuration, ConfigurationScript, Envelope } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, leaf, several, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { readSigningKeyFile, readText, writeDocument } from "../document-files.ts";
import { facts } from "../output.ts";

interface ConfigurationOptions extends CommonOptions {
  product: string;
  version: number;
  validity: number;
  boot?: string[];
  once?: string[];
  variable?: string[];
  key?: string[];
  passphraseEnv?: string;
  out: string;
}

const GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const IMAGE_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f";
const OURS = "56415554-4e00-4000-8000-000000000001";
const AUTHENTICATED = 0x27;
const APPEND = 0x40;
/** What a signed write may be for; `dbx` only grows. */
const VARIABLES: Record<string, { namespace: string; attributes: number }> = {
  VautnFloor: { namespace: OURS, attributes: AUTHENTICATED },
  KEK: { namespace: GLOBAL, attributes: AUTHENTICATED },
  db: { namespace: IMAGE_SECURITY, attributes: AUTHENTICATED },
  dbx: { namespace: IMAGE_SECURITY, attributes: AUTHENTICATED | APPEND },
};
const MAX_PAYLOAD_BYTES = 48 * 1024;

/** Settings and scripts as a document that the tenant's release keys sign. */
export function configurationCommand(secureboot: Command, cli: Cli): void {
  leaf(secureboot, {
    usage: "configuration <settings>",
    summary: "make and sign a configuration: settings (JSON or YAML), scripts, firmware writes",
    example:
      "vautn secureboot configuration hub.yaml --product hub --version 12 --boot tune.sh" +
      " --key release.key --out hub-12.json",
    data: true,
    tenant: true,
  })
    .requiredOption("--product <name>", "product")
    .requiredOption("--version <n>", "higher than all before", wholeNumber("--version", 1, 2 ** 31))
    .option("--boot <script>", "script for every start (several times)", several)
    .option("--once <script>", "script for when it is taken over (several times)", several)
    .option("--variable <name=file>", "signed write of VautnFloor, dbx, db or KEK", several)
    .option(
      "--validity <days>",
      "how long it may be taken over",
      wholeNumber("--validity", 1, 3650),
      90,
    )
    .option("--key <file>", "release key to sign with (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .requiredOption("--out <file>", "where to write it")
    .action((settings: string, options: ConfigurationOptions) => make(cli, settings, options));
}

async function make(cli: Cli, file: string, options: ConfigurationOptions): Promise<void> {
  const { addSignature, isConfigurationEnvelope } = await import("../../protocol/index.ts");
  const tenant = options.tenant ?? cli.contextTenant();
  if (!tenant) throw misuse("no tenant is named", "give --tenant ID or set VAUTN_TENANT");
  const now = Date.now();
  const signed: Configuration = {
    ...{ _type: "configuration", specVersion: 1, tenant, product: options.product },
    version: options.version,
    createdAt: new Date(now).toISOString(),
    expires: new Date(now + options.validity * 86_400_000).toISOString(),
    settings: await readSettings(file),
    scripts: [...scriptsOf(options.once, "once"), ...scriptsOf(options.boot, "boot")],
    firmwareVariables: (options.variable ?? []).map(variableOf),
  };
  let envelope: Envelope<Configuration> = { signed, signatures: [] };
  if (!isConfigurationEnvelope(envelope)) {
    throw new CliError("the configuration breaks a limit: names, sizes or numbers of scripts");
  }
  const passphrase = options.passphraseEnv && cli.io.environment[options.passphraseEnv];
  if (options.passphraseEnv && !passphrase) throw misuse(`${options.passphraseEnv} is not set`);
  for (const key of options.key ?? []) {
    try {
      const signer = await readSigningKeyFile(key, passphrase || undefined);
      envelope = addSignature(envelope, signer);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new CliError(`${file}: ${error.message}`, { next: "write fractions as text" });
    }
  }
  writeDocument(options.out, envelope);
  const data = {
    file: options.out,
    version: signed.version,
    signatures: envelope.signatures.length,
  };
  cli.print(options, data, () =>
    facts([
      ["configuration", `${options.product} ${data.version}`],
      ["file", data.file],
      ["signatures", data.signatures],
    ]),
  );
  const args = `"{\\"configuration\\": $(cat ${options.out})}"`;
  cli.note(`Next: vautn command send apply-configuration --device ID --args ${args}`);
}

async function readSettings(file: string): Promise<Record<string, unknown>> {
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(readText(file)) ?? {};
  } catch (error) {
    throw new CliError(`${file} is neither JSON nor YAML: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new CliError(`${file} has to hold names with their values`);
  }
  return value as Record<string, unknown>;
}

function scriptsOf(
  files: readonly string[] | undefined,
  run: ConfigurationScript["run"],
): ConfigurationScript[] {
  return (files ?? []).map((file) => ({ name: path.basename(file), run, content: readText(file) }));
}

function variableOf(text: string) {
  const [name = "", file = ""] = text.split(/=(.*)/s);
  const known = Object.hasOwn(VARIABLES, name) ? VARIABLES[name] : undefined;
  if (!known) throw misuse(`--variable takes ${Object.keys(VARIABLES).join(", ")}=FILE`);
  if (!fs.existsSync(file)) throw misuse(`${file} cannot be read`);
  const content = fs.readFileSync(file);
  if (content.length > MAX_PAYLOAD_BYTES) throw misuse(`${file} is too large`);
  return { name, ...known, payload: content.toString("base64") };
}
