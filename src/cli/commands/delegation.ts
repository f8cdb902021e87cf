import type { Command } from "commander";
import type { Envelope, TargetsMetadata } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { readDocument, writeDocument } from "../document-files.ts";
import { table } from "../output.ts";
import { openSigner, readPublicHalf } from "../signing-keys.ts";
import { readTrust } from "../trust-documents.ts";

interface CreateOptions extends CommonOptions {
  delegate?: string[];
  passphraseEnv?: string;
  validity: number;
  sign?: string[];
  out: string;
  upload?: boolean;
}

const DAY_MS = 86_400_000;

/** Whose keys sign the releases of which products (TUF's targets role). */
export function delegationCommands(firmware: Command, cli: Cli): void {
  const delegation = group(
    firmware,
    "delegation",
    "which keys sign the releases of which products; what is not delegated, the release keys sign",
    "vautn firmware delegation show",
  );
  leaf(delegation, {
    usage: "create",
    summary: "write the delegations anew, sign them and, with --upload, put them in force",
    example:
      "vautn firmware delegation create --delegate hub=2:alice.pub,bob.pub,carol.pub --sign release.key --upload",
    data: true,
    tenant: true,
  })
    .option(
      "--delegate <product=threshold:keys>",
      "product, signatures needed, public keys; several products: hub+pump=... (several times)",
      several,
    )
    .option("--sign <key>", "release key of the trust root to sign with (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .option("--validity <days>", "days until it expires", wholeNumber("--validity", 1, 3_650), 365)
    .option("--out <file>", "file to write", "trust-targets.json")
    .option("--upload", "put them in force at once")
    .action((options: CreateOptions) => create(cli, options));

  leaf(delegation, {
    usage: "upload <file>",
    summary: "put signed delegations in force",
    example: "vautn firmware delegation upload trust-targets.json",
    data: true,
    tenant: true,
  }).action(async (file: string, options: CommonOptions) => {
    const body = readDocument(file) as Envelope<TargetsMetadata>;
    const envelope = await cli.session(options).call("setTargets", { body });
    cli.print(options, envelope, () => describe(envelope as Envelope<TargetsMetadata>));
  });

  leaf(delegation, {
    usage: "show",
    summary: "the delegations in force",
    example: "vautn firmware delegation show --json > trust-targets.json",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const envelope = await cli.session(options).call("getTargets");
    cli.print(options, envelope, () => describe(envelope as Envelope<TargetsMetadata>));
  });
}

async function create(cli: Cli, options: CreateOptions): Promise<void> {
  const { createTargets, signWith } = await import("../../firmware/index.ts");
  const session = cli.session(options);
  const { targets } = await readTrust(cli, options);
  const delegations = await Promise.all(
    (options.delegate ?? []).map((text) => parseDelegation(cli, text, options)),
  );
  let envelope = createTargets({
    tenant: session.tenant,
    version: (targets?.signed.version ?? 0) + 1,
    expires: `${new Date(Date.now() + options.validity * DAY_MS).toISOString().slice(0, 19)}Z`,
    delegations,
  });
  for (const key of options.sign ?? []) {
    const signed = await signWith(envelope, await openSigner(cli, key, options));
    envelope = signed as Envelope<TargetsMetadata>;
  }
  writeDocument(options.out, envelope);
  if (options.upload) await session.call("setTargets", { body: envelope });
  cli.print(options, { file: options.out, ...envelope }, () => describe(envelope));
  if (!options.upload) cli.note(`Next: vautn firmware delegation upload ${options.out}`);
}

async function parseDelegation(cli: Cli, text: string, options: CreateOptions) {
  const [, products, threshold, keys] = /^([^=:]+)=(\d{1,2}):(.+)$/.exec(text) ?? [];
  if (!products || !threshold || !keys) {
    throw misuse(`--delegate takes PRODUCT=THRESHOLD:KEY,KEY, not "${text}"`);
  }
  const names = products.split("+");
  return {
    name: names.join("-"),
    products: names,
    threshold: Number(threshold),
    keys: await Promise.all(keys.split(",").map((key) => readPublicHalf(cli, key, options))),
  };
}

function describe({ signed }: Envelope<TargetsMetadata>): string {
  const roles = signed.delegations?.roles ?? [];
  if (roles.length === 0) return "Nothing is delegated: the release keys of the trust root sign.\n";
  return table(
    ["ROLE", "RELEASES", "NEEDED", "KEYS"],
    roles.map(({ name, paths, threshold, keyids }) => [
      name,
      paths.join(" "),
      `${threshold} of ${keyids.length}`,
      keyids.map((keyid) => keyid.slice(0, 12)).join(" "),
    ]),
  );
}
