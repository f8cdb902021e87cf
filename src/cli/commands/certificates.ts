import type { Command } from "commander";
import type { Certificate, RevocationOutcome } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { facts, table } from "../output.ts";
import { confirm } from "../prompt.ts";
import { rotationCommands } from "./rotation.ts";

interface ListOptions extends CommonOptions {
  status?: Certificate["status"];
  device?: string;
  algorithm?: string;
  expiresWithin?: number;
  limit: number;
}

interface SelectionOptions extends CommonOptions {
  device?: string[];
  query?: string;
  comment?: string;
  yes?: boolean;
}

type Reason = NonNullable<Certificate["revocationCode"]>;

const DAY_MS = 86_400_000;
const STATUSES = ["active", "superseded", "held", "revoked"] as const;
const REASONS = [
  "unspecified",
  "keyCompromise",
  "cACompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
  "aACompromise",
] as const satisfies readonly Reason[];

export function certificateCommands(program: Command, cli: Cli): void {
  const certificate = group(
    program,
    "certificate",
    "devices' certificates: who has which, until when; revoking, holding, renewing",
    "vautn certificate list --expires-within 30",
  );
  readingCommands(certificate, cli);
  revokingCommands(certificate, cli);
  rotationCommands(certificate, cli);
}

function readingCommands(certificate: Command, cli: Cli): void {
  leaf(certificate, {
    usage: "list",
    summary: "certificates, those that end first before the others",
    example: "vautn certificate list --status active --expires-within 30",
    data: true,
    tenant: true,
  })
    .option("--status <status>", STATUSES.join(", "), oneOf("--status", STATUSES))
    .option("--device <device>", "those of one device")
    .option("--algorithm <name>", "those of one kind of key, such as ec-p256")
    .option("--expires-within <days>", "those that end by then", wholeNumber("--days", 0, 3_650))
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 100)
    .action(async (options: ListOptions) => {
      const { status, device, algorithm, expiresWithin: days } = options;
      const expiresBefore =
        days === undefined ? undefined : new Date(Date.now() + days * DAY_MS).toISOString();
      const query = { status, device, algorithm, expiresBefore };
      const page = await cli.session(options).collect("listCertificates", { query }, options.limit);
      cli.printList(options, page, certificateTable, "No certificate matches.");
    });

  leaf(certificate, {
    usage: "show <serial>",
    summary: "one certificate and what became of it",
    example: "vautn certificate show 4f0c…",
    data: true,
    tenant: true,
  }).action(async (serial: string, options: CommonOptions) => {
    const found = await cli.session(options).call("getCertificate", { params: { serial } });
    cli.print(options, found, () => describe(found));
  });
}

function revokingCommands(certificate: Command, cli: Cli): void {
  selecting(certificate, {
    usage: "revoke [serials...]",
    summary: "revoke certificates, or devices with all of theirs, for good",
    example: "vautn certificate revoke --query 'tags.lot = \"7\"' --reason keyCompromise --yes",
  })
    .option("--reason <reason>", REASONS.join(", "), oneOf("--reason", REASONS), "unspecified")
    .action(async (serials: string[], options: SelectionOptions & { reason: Reason }) => {
      await revoke(cli, serials, options, options.reason, "revoking");
    });

  selecting(certificate, {
    usage: "hold [serials...]",
    summary: "revoke certificates for a while: `unhold` takes it back",
    example: "vautn certificate hold --device hub-001 --comment 'in repair' --yes",
  }).action(async (serials: string[], options: SelectionOptions) => {
    await revoke(cli, serials, options, "certificateHold", "holding");
  });

  selecting(certificate, {
    usage: "unhold [serials...]",
    summary: "lift holds; what was revoked for good stays revoked",
    example: "vautn certificate unhold --device hub-001",
  }).action(async (serials: string[], options: SelectionOptions) => {
    const body = { ...selectionOf(serials, options), ...commentOf(options) };
    const outcome = await cli.session(options).call("unholdCertificates", { body });
    cli.print(options, outcome, () => outcomeText(outcome));
  });
}

function selecting(
  certificate: Command,
  texts: { usage: string; summary: string; example: string },
): Command {
  return leaf(certificate, { ...texts, data: true, tenant: true })
    .option("--device <device>", "all certificates of a device (several times)", several)
    .option("--query <query>", "all certificates of the devices that a fleet query finds")
    .option("--comment <text>", "why, for the audit log")
    .option("--yes", "do not ask");
}

async function revoke(
  cli: Cli,
  serials: string[],
  options: SelectionOptions,
  reason: Reason,
  doing: string,
): Promise<void> {
  const selection = selectionOf(serials, options);
  const what = options.query ?? options.device?.join(", ") ?? `${serials.length} certificates`;
  await confirm(cli.io, options.yes, `${doing} ${what}`);
  const body = { ...selection, ...commentOf(options), reason };
  const outcome = await cli.session(options).call("revokeCertificates", { body });
  cli.print(options, outcome, () => outcomeText(outcome));
}

/** Exactly one way of saying which certificates are meant. */
function selectionOf(serials: string[], { device, query }: SelectionOptions) {
  const ways = [serials.length > 0, device !== undefined, query !== undefined];
  if (ways.filter(Boolean).length !== 1) {
    throw misuse("say which certificates", "give serials, or --device ID, or --query QUERY");
  }
  if (query !== undefined) return { query };
  return device ? { devices: device } : { serials: serials.map((one) => one.toLowerCase()) };
}

function commentOf({ comment }: SelectionOptions): { comment?: string } {
  return comment ? { comment } : {};
}

function oneOf<T extends string>(name: string, allowed: readonly T[]) {
  return (text: string): T => {
    const found = allowed.find((one) => one.toLowerCase() === text.toLowerCase());
    if (found) return found;
    throw misuse(`${name} is one of ${allowed.join(", ")}, not "${text}"`);
  };
}

function certificateTable(items: Certificate[]): string {
  return table(
    ["SERIAL", "DEVICE", "STATUS", "KEY", "UNTIL", "VIA"],
    items.map((item) => [
      item.serial,
      item.deviceId,
      item.revocationCode && item.status === "revoked"
        ? `revoked: ${item.revocationCode}`
        : item.status,
      item.keyAlgorithm,
      item.notAfter,
      item.issuedVia,
    ]),
  );
}

function describe(item: Certificate): string {
  return facts([
    ["serial", item.serial],
    ["device", item.deviceId],
    ["status", item.status],
    ["subject", item.subject],
    ["fingerprint", item.fingerprint],
    ["key", item.keyAlgorithm],
    ["valid", `${item.notBefore} until ${item.notAfter}`],
    ["issued", `${item.issuedAt} via ${item.issuedVia}, by authority ${item.authorityId}`],
    ["first used", item.firstUsedAt],
    ["superseded", item.supersededAt],
    ["revoked", item.revokedAt && `${item.revokedAt}: ${item.revocationCode}`],
    ["comment", item.revocationReason],
  ]);
}

function outcomeText(outcome: RevocationOutcome): string {
  const { certificates, devices, unknown, unknownCount } = outcome;
  const done = `${certificates} certificates of ${devices} devices changed\n`;
  if (unknownCount === 0) return done;
  return `${done}${unknownCount} are not known: ${unknown.slice(0, 10).join(", ")}\n`;
}
