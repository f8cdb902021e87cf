import fs from "node:fs";
import { Transform } from "node:stream";
import type { Command } from "commander";
import type { Release } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { openImage, readDocument } from "../document-files.ts";
import { ago, bytes, facts, table } from "../output.ts";
import type { Session } from "../session.ts";

type ListOptions = CommonOptions & { product?: string; limit: number };

/** Releases on the platform. */
export function releaseCommands(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "publish <manifest>",
    summary: "upload an image with its signed manifest",
    example: "vautn firmware publish hub.bin.manifest.json --image hub.bin",
    data: true,
    tenant: true,
  })
    .requiredOption("--image <file>", "the image that the manifest names")
    .option("--notes <text>", "what is new")
    .action((file: string, options: PublishOptions) => publish(cli, file, options));

  leaf(firmware, {
    usage: "list",
    summary: "releases, newest first",
    example: "vautn firmware list --product hub",
    data: true,
    tenant: true,
  })
    .option("--product <name>", "of one product")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (options: ListOptions) => {
      const { product } = options;
      const page = await cli
        .session(options)
        .collect("listReleases", { query: { product } }, options.limit);
      cli.printList(
        options,
        page,
        releaseTable,
        "No releases yet. Next: vautn firmware build IMAGE --product NAME --version VERSION --hardware REVISION",
      );
    });

  leaf(firmware, {
    usage: "show <release>",
    summary: "one release, by id or PRODUCT@VERSION, with its deltas",
    example: "vautn firmware show hub@2.4.0",
    data: true,
    tenant: true,
  }).action(async (name: string, options: CommonOptions) => {
    const session = cli.session(options);
    const params = { release: await releaseId(session, name) };
    const release = await session.call("getRelease", { params });
    const deltas = await session.call("listDeltas", { params });
    cli.print(options, { ...release, deltas: deltas.items }, () => {
      const rows = deltas.items.map((delta) => [
        delta.sourceSha256?.slice(0, 12) ?? "(any)",
        delta.format,
        delta.status,
        bytes(delta.sizeBytes),
        delta.ratio === null ? "-" : `${(delta.ratio * 100).toFixed(1)} %`,
      ]);
      const head = ["FROM", "FORMAT", "STATUS", "SIZE", "OF THE IMAGE"];
      return `${describe(release)}${rows.length > 0 ? `\n${table(head, rows)}` : ""}`;
    });
  });

  leaf(firmware, {
    usage: "yank <release>",
    summary: "withdraw a release: no rollout can use it any more",
    example: 'vautn firmware yank hub@2.4.0 --reason "crashes on rev-a"',
    data: true,
    tenant: true,
  })
    .requiredOption("--reason <text>", "why")
    .action(async (name: string, options: CommonOptions & { reason: string }) => {
      const session = cli.session(options);
      const params = { release: await releaseId(session, name) };
      const body = { reason: options.reason };
      const release = await session.call("yankRelease", { params, body });
      cli.print(options, release, () => releaseTable([release]));
    });
}

type PublishOptions = CommonOptions & { image: string; notes?: string };

async function publish(cli: Cli, file: string, options: PublishOptions): Promise<void> {
  const session = cli.session(options);
  const manifest = Buffer.from(JSON.stringify(readDocument(file))).toString("base64url");
  const image = openImage(options.image);
  const bar = cli.io.isInteractive ? await uploadBar() : undefined;
  const sizeBytes = fs.statSync(options.image).size;
  bar?.start(sizeBytes, 0, { size: bytes(sizeBytes) });
  const counted = new Transform({
    transform(chunk, _encoding, done) {
      bar?.increment(chunk.length);
      done(null, chunk);
    },
  });
  try {
    const release = await session.client.upload(
      "publishRelease",
      session.fill("publishRelease", { query: { notes: options.notes } }),
      image.pipe(counted),
      { "x-vautn-manifest": manifest },
    );
    bar?.stop();
    cli.print(options, release, () => describe(release));
    cli.note(`Next: vautn rollout plan --release ${release.product}@${release.version}`);
  } finally {
    bar?.stop();
    image.destroy();
  }
}

async function uploadBar() {
  const { SingleBar } = await import("cli-progress");
  return new SingleBar({ format: "  {bar} {percentage} % of {size}", clearOnComplete: true });
}

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The id of a release that is named by its id, by `PRODUCT@VERSION` or by its version alone. */
export async function releaseId(session: Session, name: string): Promise<string> {
  if (UUID.test(name)) return name;
  const at = name.lastIndexOf("@");
  const query = at > 0 ? { product: name.slice(0, at) } : {};
  const { items } = await session.collect("listReleases", { query }, 1_000);
  const found = items.filter((release) => release.version === name.slice(at + 1));
  if (found.length > 1) throw misuse(`several products have ${name}`, "name it PRODUCT@VERSION");
  if (found[0]) return found[0].id;
  throw new CliError(`there is no release ${name}`, { next: "vautn firmware list" });
}

function releaseTable(items: Release[]): string {
  return table(
    ["RELEASE", "PRODUCT", "VERSION", "HARDWARE", "SIZE", "STATUS", "PUBLISHED"],
    items.map((item) => [
      item.id,
      item.product,
      item.version,
      item.hardwareRevisions.join(","),
      bytes(item.imageSizeBytes),
      item.status,
      ago(item.publishedAt),
    ]),
  );
}

function warningFacts({ deltaWarning }: Release): [string, string][] {
  return deltaWarning ? [["deltas", deltaWarning]] : [];
}

function describe(release: Release): string {
  return facts([
    ["release", release.id],
    ["version", `${release.product} ${release.version}`],
    ["hardware", release.hardwareRevisions.join(", ")],
    ["image", `${release.imageSha256}, ${bytes(release.imageSizeBytes)}`],
    ["status", release.yankReason ? `${release.status}: ${release.yankReason}` : release.status],
    ["published", `${ago(release.publishedAt)} by ${release.publishedBy}`],
    ["signed by", release.signers.join(", ")],
    ...warningFacts(release),
  ]);
}
