import type { Command } from "commander";
import { ApiRefusal } from "../../client/index.ts";
import type { OnlineKeys } from "../../firmware/index.ts";
import type { Envelope, RootMetadata } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { readDocument, writeDocument } from "../document-files.ts";
import { facts } from "../output.ts";
import { openSigner, readPublicHalf } from "../signing-keys.ts";

interface CreateOptions extends CommonOptions {
  rootKey: string[];
  releaseKey: string[];
  rootThreshold: number;
  releaseThreshold: number;
  validity: number;
  sign?: string[];
  passphraseEnv?: string;
  out: string;
  upload?: boolean;
}

interface ShortOptions extends CommonOptions {
  key?: string[];
  rootKey?: string[];
  releaseKey?: string[];
  passphraseEnv?: string;
  out: string;
}

const DEFAULTS = { rootThreshold: 1, releaseThreshold: 1, validity: 730 };
const DAY_MS = 86_400_000;

/** The root of the tenant's trust: which keys sign releases. */
export function rootCommands(firmware: Command, cli: Cli): void {
  const root = group(
    firmware,
    "root",
    "the trust root: which keys may sign releases; with private keys, makes one and puts it in force",
    "vautn firmware root --root-key root.pem --release-key release.pem",
  )
    .option("-k, --key <file>", "private key for both roles (several times)", several)
    .option("--root-key <file>", "private key that may change the root (several times)", several)
    .option("--release-key <file>", "key that signs releases (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .option("--out <file>", "file to write", "trust-root.json")
    .option("-t, --tenant <id>", "tenant (default: VAUTN_TENANT)")
    .option("--json", "print JSON")
    .action(async (options: ShortOptions, command: Command) => {
      const rootKey = options.rootKey ?? options.key;
      const releaseKey = options.releaseKey ?? options.key;
      if (!rootKey || !releaseKey) return command.help({ error: true });
      const keys = { rootKey, releaseKey, sign: rootKey };
      return create(cli, { ...DEFAULTS, ...options, ...keys, upload: true });
    });

  leaf(root, {
    usage: "create",
    summary: "make a trust root from public keys, sign it and, with --upload, put it in force",
    example:
      "vautn firmware root create --root-key root.key.pub --release-key release.key.pub --sign root.key --upload",
    data: true,
    tenant: true,
  })
    .requiredOption(
      "--root-key <file>",
      "public key that may change the root (several times)",
      several,
    )
    .requiredOption(
      "--release-key <file>",
      "public key that signs releases (several times)",
      several,
    )
    .option(
      "--root-threshold <n>",
      "root signatures needed",
      wholeNumber("--root-threshold", 1, 32),
      1,
    )
    .option(
      "--release-threshold <n>",
      "signatures that a release needs",
      wholeNumber("--release-threshold", 1, 32),
      1,
    )
    .option("--validity <days>", "days until it expires", wholeNumber("--validity", 1, 3_650), 730)
    .option("--sign <file>", "private root key to sign with (several times)", several)
    .option("--passphrase-env <variable>", "variable with the keys' passphrase")
    .option("--out <file>", "file to write", "trust-root.json")
    .option("--upload", "put it in force at once")
    .action((options: CreateOptions) => create(cli, options));

  leaf(root, {
    usage: "replace-online-keys",
    summary: "have the platform make new online keys; the next trust root puts them in force",
    example: "vautn firmware root replace-online-keys",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const keys = await cli.session(options).call("replaceOnlineKeys");
    const { signingKeyId } = await import("../../protocol/index.ts");
    cli.print(options, keys, () =>
      facts([
        ["director", signingKeyId(keys.director)],
        ["repository", signingKeyId(keys.repository)],
      ]),
    );
    cli.note("Next: vautn firmware root create … --sign root.key --upload");
  });

  leaf(root, {
    usage: "upload <file>",
    summary: "put a signed trust root in force",
    example: "vautn firmware root upload trust-root.json",
    data: true,
    tenant: true,
  }).action(async (file: string, options: CommonOptions) => {
    const body = readDocument(file) as Envelope<RootMetadata>;
    const envelope = await cli.session(options).call("setTrustRoot", { body });
    cli.print(options, envelope, () => describe(envelope as Envelope<RootMetadata>));
  });

  leaf(root, {
    usage: "show",
    summary: "the trust root in force",
    example: "vautn firmware root show --json > trust-root.json",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const envelope = await cli.session(options).call("getTrustRoot");
    cli.print(options, envelope, () => describe(envelope as Envelope<RootMetadata>));
  });
}

async function create(cli: Cli, options: CreateOptions): Promise<void> {
  const { createRoot, signWith } = await import("../../firmware/index.ts");
  const session = cli.session(options);
  const online = await session.call("getOnlineKeys");
  const keys = (names: readonly string[]) =>
    Promise.all(names.map((name) => readPublicHalf(cli, name, options)));
  let envelope = createRoot({
    tenant: session.tenant,
    version: await nextVersion(cli, options),
    expires: `${new Date(Date.now() + options.validity * DAY_MS).toISOString().slice(0, 19)}Z`,
    root: { keys: await keys(options.rootKey), threshold: options.rootThreshold },
    release: { keys: await keys(options.releaseKey), threshold: options.releaseThreshold },
    online: online as OnlineKeys,
  });
  for (const file of options.sign ?? []) {
    const signed = await signWith(envelope, await openSigner(cli, file, options));
    envelope = signed as Envelope<RootMetadata>;
  }
  writeDocument(options.out, envelope);
  if (options.upload) await session.call("setTrustRoot", { body: envelope });
  cli.print(options, { file: options.out, ...envelope }, () => describe(envelope));
  cli.note(
    options.upload
      ? `in force; kept in ${options.out}. Next: vautn firmware build IMAGE …`
      : `written to ${options.out}. Next: ${nextStep(envelope, options.out)}`,
  );
}

function nextStep({ signed, signatures }: Envelope<RootMetadata>, file: string): string {
  return signatures.length < signed.roles.root.threshold
    ? `vautn firmware sign ${file} --key ROOT_KEY`
    : `vautn firmware root upload ${file}`;
}

async function nextVersion(cli: Cli, options: CommonOptions): Promise<number> {
  try {
    return (await cli.session(options).call("getTrustRoot")).signed.version + 1;
  } catch (error) {
    if (error instanceof ApiRefusal && error.code === "not-found") return 1;
    throw error;
  }
}

function describe({ signed, signatures }: Envelope<RootMetadata>): string {
  const { root, targets } = signed.roles;
  return facts([
    ["tenant", signed.tenant],
    ["version", signed.version],
    ["expires", signed.expires],
    ["root keys", `${root.keyids.length}, ${root.threshold} needed`],
    ["release keys", `${targets.keyids.length}, ${targets.threshold} needed`],
    ["signatures", signatures.length],
  ]);
}
