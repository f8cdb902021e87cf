import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { table } from "../output.ts";
import type { Session } from "../session.ts";

/** Who decides besides the proof. */
export interface PolicyOptions {
  approval: "automatic" | "preauthorised" | "pending";
  webhook?: string;
  onWebhookFailure: "refuse" | "pending";
}

interface CreateOptions extends CommonOptions, PolicyOptions {
  kind: "token" | "secret" | "certificate";
  csr?: string;
  authority?: string;
  out?: string;
  devices: string;
  product: string;
  hardware: string;
  region?: string;
  uses: number;
  days: number;
}

const DAY_MS = 86_400_000;

export function withPolicy(command: Command): Command {
  return command
    .option("--approval <way>", "automatic, preauthorised (the list) or pending", "automatic")
    .option("--webhook <url>", "asked about each new device")
    .option("--on-webhook-failure <way>", "refuse or pending", "refuse");
}

export function policyOf({ approval, webhook, onWebhookFailure }: PolicyOptions) {
  return {
    approval,
    ...(webhook ? { webhook: { url: webhook, onFailure: onWebhookFailure } } : {}),
  };
}

export function claimCommands(program: Command, cli: Cli): void {
  const claim = group(
    program,
    "claim",
    "tokens, secrets and certificates with which devices enrol themselves",
    "vautn claim list",
  );

  leaf(claim, {
    usage: "list",
    summary: "claim tokens and how much of them is used",
    example: "vautn claim list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listClaimTokens");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["CLAIM", "KIND", "NAME", "DEVICES", "USED", "EXPIRES", "STATE"],
          items.map((item) => [
            item.id,
            item.kind,
            item.name,
            item.devicePattern,
            `${item.usedCount}/${item.maxUses}`,
            item.expiresAt,
            item.revokedAt ? "revoked" : "in use",
          ]),
        ),
      "No claim tokens yet. Next: vautn claim create NAME --devices 'hub-*' --product NAME --hardware REVISION",
    );
  });

  const create = leaf(claim, {
    usage: "create <name>",
    summary: "make a claim: a token (EST), a secret (CMP) or a certificate (both); shown this once",
    example: [
      "vautn claim create line-1 --devices 'hub-*' --product hub --hardware rev-a --uses 500",
      "vautn claim create line-2 --kind certificate --out ./line-2 --devices 'hub-*' --product hub --hardware rev-a",
    ].join("\n  "),
    data: true,
    tenant: true,
  })
    .requiredOption("--devices <pattern>", "device ids that it may enrol, with * and ?")
    .requiredOption("--product <name>", "product of those devices")
    .requiredOption("--hardware <revision>", "hardware revision of those devices")
    .option("--region <region>", "region of those devices")
    .option("--uses <count>", "how many devices", wholeNumber("--uses", 1, 1_000_000), 1)
    .option("--days <count>", "how long it works", wholeNumber("--days", 1, 3_650), 30)
    .option("--kind <kind>", "token, secret or certificate", "token")
    .option("--csr <file>", "certificate: request of a key that is elsewhere")
    .option("--authority <id>", "certificate: all those of a registered authority (for claims)")
    .option("--out <directory>", "certificate: folder to write it to, with its key");
  withPolicy(create).action((name: string, options: CreateOptions) =>
    createClaim(cli, name, options),
  );

  leaf(claim, {
    usage: "revoke <claim>",
    summary: "end a claim token",
    example: "vautn claim revoke 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("revokeClaimToken", { params: { claimToken: id } });
    cli.note("the claim token has ended");
  });
}

async function createClaim(cli: Cli, name: string, options: CreateOptions): Promise<void> {
  const session = cli.session(options);
  const body = {
    name,
    devicePattern: options.devices,
    product: options.product,
    hardwareRevision: options.hardware,
    ...(options.region ? { region: options.region } : {}),
    maxUses: options.uses,
    expiresAt: new Date(Date.now() + options.days * DAY_MS).toISOString(),
    ...policyOf(options),
  };
  if (options.kind === "certificate") return createCertificate(cli, session, body, options);
  if (options.kind === "secret") {
    const created = await session.call("createClaimSecret", { body });
    const { reference, secret, webhookSecret } = created;
    cli.print(options, created, () => `reference ${reference}\nsecret    ${secret}\n`);
    if (webhookSecret) cli.note(`webhook secret: ${webhookSecret}`);
  } else if (options.kind === "token") {
    const created = await session.call("createClaimToken", { body });
    cli.print(options, created, () => `${created.token}\n`);
    if (created.webhookSecret) cli.note(`webhook secret: ${created.webhookSecret}`);
  } else throw misuse(`there is no kind ${options.kind}`, "token, secret or certificate");
  cli.note("keep it: it is not shown again");
}

async function createCertificate(
  cli: Cli,
  session: Session,
  claim: Operations["createClaimToken"]["body"],
  options: CreateOptions,
): Promise<void> {
  const { csr, authority, out } = options;
  if (!csr && !authority && !out) {
    throw misuse(
      "the key has to go somewhere",
      "give --out DIRECTORY, --csr FILE or --authority ID",
    );
  }
  const created = await session.call("createClaimCertificate", {
    body: {
      ...claim,
      ...(csr ? { csr: fs.readFileSync(csr, "utf8") } : {}),
      ...(authority ? { authorityId: authority } : {}),
    },
  });
  const { id, chainPem, keyPem, webhookSecret } = created;
  if (out && chainPem) {
    fs.mkdirSync(out, { recursive: true, mode: 0o700 });
    if (keyPem) fs.writeFileSync(path.join(out, "claim-key.pem"), keyPem, { mode: 0o600 });
    fs.writeFileSync(path.join(out, "claim-certificate.pem"), chainPem);
  }
  // With a folder the key lies there, and nowhere else.
  const shown = out ? { ...created, keyPem: null } : created;
  cli.print(options, shown, () => (out || !chainPem ? `${id}\n` : chainPem));
  if (out) cli.note(`key and certificate: ${out}`);
  if (webhookSecret) cli.note(`webhook secret: ${webhookSecret}`);
}
