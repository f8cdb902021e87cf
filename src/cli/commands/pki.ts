import fs from "node:fs";
import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { readText, writeDocument } from "../document-files.ts";
import { table } from "../output.ts";
import { confirm } from "../prompt.ts";
import { drawAcme } from "../server-checks.ts";
import { rootCommands } from "./pki-root.ts";

interface RotateOptions extends CommonOptions {
  server?: boolean;
  root?: boolean;
  algorithm?: "ecdsa-p256" | "ed25519";
  pkcs11?: string;
  certificate?: string;
  cross?: string;
  yes?: boolean;
}

const MAX_BUNDLE_BYTES = 32 * 1024 * 1024;

export function pkiCommands(program: Command, cli: Cli): void {
  const pki = group(program, "pki", "authorities: root, servers', tenants'", "vautn pki show");
  showCommand(pki, cli);
  rootCommands(pki, cli);
  bundleCommands(pki, cli);
  rotationCommands(pki, cli);
  keyCommands(pki, cli);
  acmeCommand(pki, cli);
}

function showCommand(pki: Command, cli: Cli): void {
  leaf(pki, {
    usage: "show",
    summary: "the hierarchy with when each authority ends, or one tenant's with its use",
    example: "vautn pki show",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    if (!options.tenant) {
      const hierarchy = await cli.session(options).call("getHierarchy");
      cli.print(options, hierarchy, () => drawHierarchy(hierarchy));
      return;
    }
    const own = await cli.session(options).call("listTenantAuthorities");
    cli.print(options, own, () => {
      const rows = own.authorities.map((one) => [
        one.id,
        one.kind,
        one.status,
        one.keyKind,
        one.notAfter.slice(0, 10),
        one.kind === "tenant" ? one.liveCertificates : "-",
        one.subject,
      ]);
      const head = ["AUTHORITY", "KIND", "STATUS", "KEY", "ENDS", "IN USE", "SUBJECT"];
      return table(head, rows) + drawPending(own.pending);
    });
  });
}

type Hierarchy = Operations["getHierarchy"]["answer"];

/** Each root with what it has signed below it. */
function drawHierarchy({ authorities, pending, rootList }: Hierarchy): string {
  const shown = authorities.filter(({ status }) => status === "active" || status === "retiring");
  const roots = shown.filter(({ kind }) => kind === "root");
  const rows = roots.flatMap((root) => {
    const below = shown.filter(({ kind, issuerId }) => kind !== "root" && issuerId === root.id);
    return [
      rowOf(root, ""),
      ...below.map((one, index) => rowOf(one, index === below.length - 1 ? "└─ " : "├─ ")),
    ];
  });
  const drawn = table(["AUTHORITY", "STATUS", "KEY", "ENDS", "FINGERPRINT", "ID"], rows);
  const ended = authorities.length - shown.length;
  return (
    drawn +
    drawRootList(rootList) +
    drawPending(pending) +
    (ended > 0 ? `${ended} more have ended or were revoked\n` : "")
  );
}

/** The revocation list of a root that is offline. */
function drawRootList(list: Hierarchy["rootList"]): string {
  if (!list) return "";
  const { state, number, entries, nextUpdate, unlisted } = list;
  const what = number
    ? `revocation list of the root: number ${number}, ${entries} authorities, good until ${nextUpdate?.slice(0, 10)}`
    : "revocation list of the root: none was signed yet";
  const next = "Next: vautn pki request -o bundle.json, vautn pki sign-bundle, vautn pki import";
  const missing = unlisted > 0 ? `; ${unlisted} were revoked since` : "";
  return `\n${what}${missing}${state === "current" ? "" : ` (${state})\n${next}`}\n`;
}

function rowOf(one: Hierarchy["authorities"][number], branch: string): string[] {
  const { subject, status, keyKind, keyUri, notAfter, fingerprint, id } = one;
  const key = keyUri ?? keyKind;
  return [branch + subject, status, key, notAfter.slice(0, 10), fingerprint.slice(0, 16), id];
}

function drawPending(pending: Hierarchy["pending"]): string {
  if (pending.length === 0) return "";
  const rows = pending.map((one) => [one.tenantId ?? "(servers)", one.subject, one.createdAt]);
  return (
    `\nwaiting for the offline root:\n${table(["FOR", "SUBJECT", "SINCE"], rows)}` +
    "Next: vautn pki request -o bundle.json, sign it where the root lies, vautn pki import signed.json\n"
  );
}

/** The platform's side of the ceremony. */
function bundleCommands(pki: Command, cli: Cli): void {
  leaf(pki, {
    usage: "request",
    summary: "what the offline root is to sign, as a bundle to carry to it",
    example: "vautn pki request -o bundle.json",
  })
    .option("-o, --out <file>", "file to write (default: standard output)")
    .action(async (options: { out?: string }) => {
      const bundle = await cli.session().call("getAuthorityRequests");
      if (options.out) writeDocument(options.out, bundle);
      else cli.io.out(`${JSON.stringify(bundle, null, 2)}\n`);
      const count = bundle.requests.length;
      cli.note(
        count === 0
          ? bundle.revocationList
            ? "no authority waits for the root; it can sign its revocation list: vautn pki sign-bundle"
            : "nothing waits for the root"
          : `${count} requests. Next, where the root lies: vautn pki sign-bundle --root DIR BUNDLE -o signed.json`,
      );
    });

  leaf(pki, {
    usage: "import <file>",
    summary: "take over what the offline root has signed: all of it or nothing",
    example: "vautn pki import signed.json",
    data: true,
  }).action(async (file: string, options: CommonOptions) => {
    const { parseSignedBundle } = await import("../../identity/index.ts");
    const body = parseSignedBundle(readText(file, MAX_BUNDLE_BYTES));
    if (body.revocationList) cli.note("with a revocation list of the root");
    const imported = await cli.session().call("importSignedAuthorities", { body });
    cli.print(options, imported, () =>
      table(
        ["AUTHORITY", "FOR", "ENDS"],
        imported.items.map((one) => [
          one.subject,
          one.tenantId ?? "(servers)",
          one.notAfter.slice(0, 10),
        ]),
      ),
    );
  });
}

function rotationCommands(pki: Command, cli: Cli): void {
  leaf(pki, {
    usage: "rotate-ca",
    summary: "a successor for an authority; the old one stays trusted until it is ended",
    example: "vautn pki rotate-ca --tenant acme",
    tenant: true,
  })
    .option("--server", "the authority of the platform's own servers")
    .option("--root", "the root")
    .option("--algorithm <name>", "ecdsa-p256 (default) or ed25519")
    .option("--pkcs11 <uri>", "key in a token of the platform: pkcs11:token=...;object=...")
    .option("--certificate <file>", "with --root: the certificate of one made elsewhere")
    .option("--cross <file>", "with --root: the old root's signature of it (pki cross-sign)")
    .option("--yes", "do not ask before the root is rotated")
    .action((options: RotateOptions) => rotate(cli, options));

  leaf(pki, {
    usage: "end-ca <authority>",
    summary: "accept nothing more of a retiring authority; refuses while it is in use",
    example: "vautn pki end-ca 0199… --tenant acme",
    data: true,
    tenant: true,
  })
    .option("--force", "also when certificates in use are cut off")
    .action(async (authority: string, options: CommonOptions & { force?: boolean }) => {
      const body = { force: options.force ?? false };
      const params = { authority };
      const ended = options.tenant
        ? await cli.session(options).call("endTenantAuthority", { params, body })
        : await cli.session().call("endAuthority", { params, body });
      cli.print(options, ended, () => `ended; ${ended.cutOff} certificates were cut off\n`);
    });
}

async function rotate(cli: Cli, options: RotateOptions): Promise<void> {
  const { tenant, server, root, algorithm, pkcs11: tokenUri } = options;
  if ([tenant, server, root].filter(Boolean).length !== 1) {
    throw misuse("name one of --tenant ID, --server, --root");
  }
  const place = { ...(algorithm ? { algorithm } : {}), ...(tokenUri ? { tokenUri } : {}) };
  if (root) {
    await confirm(cli.io, options.yes, "a new root");
    const created = await cli.session().call("rotateRoot", {
      body: {
        ...place,
        ...(options.certificate ? { certificatePem: readText(options.certificate) } : {}),
        ...(options.cross ? { crossCertificatePem: readText(options.cross) } : {}),
      },
    });
    cli.io.out(`${created.subject} is the root now: ${created.fingerprint}\n`);
    cli.note("Both roots are trusted. Next: vautn pki show, and end-ca once devices have followed");
    return;
  }
  const { outcome } = tokenUri
    ? await cli.session().call("rotateAuthority", {
        body: { ...place, ...(tenant ? { kind: "tenant", tenant } : { kind: "server" }) },
      })
    : tenant
      ? await cli.session(options).call("rotateTenantAuthority", { body: place })
      : await cli.session().call("rotateAuthority", { body: { ...place, kind: "server" } });
  cli.note(
    outcome === "issued"
      ? "the successor signs from now on. Next: vautn pki show, and end-ca once devices have followed"
      : "the successor waits for the offline root. Next: vautn pki request -o bundle.json",
  );
}

function acmeCommand(pki: Command, cli: Cli): void {
  leaf(pki, {
    usage: "acme",
    summary: "how the server certificate of the ACME authority stands; --renew orders one now",
    example: "vautn pki acme --renew",
    data: true,
  })
    .option("--renew", "order a certificate within seconds, whatever failed before")
    .action(async (options: CommonOptions & { renew?: boolean }) => {
      const name = options.renew ? "renewAcmeCertificate" : "getAcmeStatus";
      const status = await cli.session().call(name);
      cli.print(options, status, () => drawAcme(status));
    });
}

/** Keys that are known to be in other hands. */
function keyCommands(pki: Command, cli: Cli): void {
  leaf(pki, {
    usage: "block-key <file>",
    summary: "never issue for this key again, in any tenant: a public key or a certificate",
    example: "vautn pki block-key leaked.pem --reason 'stood in a public repository'",
  })
    .requiredOption("--reason <text>", "why, for the audit log")
    .action(async (file: string, { reason }: { reason: string }) => {
      const body = { pem: fs.readFileSync(file, "utf8"), reason };
      const { publicKeySha256 } = await cli.session().call("addCompromisedKey", { body });
      cli.note(`key ${publicKeySha256} is blocked`);
    });

  leaf(pki, {
    usage: "unblock-key <sha256>",
    summary: "take a key from the list of the blocked ones",
    example: "vautn pki unblock-key 5f…",
  }).action(async (key: string) => {
    await cli.session().call("removeCompromisedKey", { params: { key } });
    cli.note("the key is not blocked any more");
  });

  leaf(pki, {
    usage: "blocked-keys",
    summary: "the keys for which nothing is issued",
    example: "vautn pki blocked-keys",
    data: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session().call("listCompromisedKeys");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["KEY (SHA-256)", "REASON", "BY", "SINCE"],
          items.map((one) => [one.publicKeySha256, one.reason, one.addedBy, one.addedAt]),
        ),
      "No key is blocked.",
    );
  });
}
