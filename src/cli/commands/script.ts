import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Envelope, Script } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { readSigningKeyFile, readText, writeDocument } from "../document-files.ts";
import { facts } from "../output.ts";

interface ScriptOptions extends CommonOptions {
  product: string;
  device?: string[];
  validity: number;
  timeout: number;
  key?: string[];
  passphraseEnv?: string;
  out: string;
}

const DAY_MS = 86_400_000;

/** Scripts that devices run on command, signed by the tenant's release keys. */
export function scriptCommands(program: Command, cli: Cli): void {
  const example =
    "vautn script sign clean-up.sh --product hub --key release.key --out clean-up.json";
  const script = group(program, "script", "signed scripts for devices", example);
  leaf(script, {
    usage: "sign <file>",
    summary: "sign a shell script that devices of a product may be told to run",
    example,
    data: true,
    tenant: true,
  })
    .requiredOption("--product <name>", "product")
    .option("--device <id>", "only this device (several times)", several)
    .option("--validity <days>", "how long it may be run", wholeNumber("--validity", 1, 365), 7)
    .option("--timeout <seconds>", "how long it may run", wholeNumber("--timeout", 1, 3_600), 60)
    .option("--key <file>", "release key to sign with (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .requiredOption("--out <file>", "where to write it")
    .action((file: string, options: ScriptOptions) => sign(cli, file, options));
}

async function sign(cli: Cli, file: string, options: ScriptOptions): Promise<void> {
  const { addSignature, isScriptEnvelope } = await import("../../protocol/index.ts");
  const tenant = options.tenant ?? cli.contextTenant();
  if (!tenant) throw misuse("no tenant is named", "give --tenant ID or set VAUTN_TENANT");
  if (!fs.existsSync(file)) throw new CliError(`there is no file ${file}`);
  const now = Date.now();
  const signed: Script = {
    ...{ _type: "script", specVersion: 1, tenant, product: options.product },
    ...(options.device ? { devices: options.device } : {}),
    name: path.basename(file),
    content: readText(file),
    createdAt: new Date(now).toISOString(),
    expires: new Date(now + options.validity * DAY_MS).toISOString(),
    timeoutSeconds: options.timeout,
  };
  let envelope: Envelope<Script> = { signed, signatures: [] };
  if (!isScriptEnvelope(envelope)) {
    throw new CliError("the script breaks a limit: its name, its 16,384 characters, its devices");
  }
  const passphrase = options.passphraseEnv && cli.io.environment[options.passphraseEnv];
  if (options.passphraseEnv && !passphrase) throw misuse(`${options.passphraseEnv} is not set`);
  for (const key of options.key ?? []) {
    envelope = addSignature(envelope, await readSigningKeyFile(key, passphrase || undefined));
  }
  writeDocument(options.out, envelope);
  const data = {
    ...{ file: options.out, name: signed.name, expires: signed.expires },
    signatures: envelope.signatures.length,
  };
  cli.print(options, data, () =>
    facts([
      ["script", data.name],
      ["file", data.file],
      ["expires", data.expires],
      ["signatures", data.signatures],
    ]),
  );
  const args = `"{\\"script\\": $(cat ${options.out})}"`;
  cli.note(`Next: vautn command send run-script --device ID --args ${args}`);
}
