import path from "node:path";
import type { Command } from "commander";
import type { Release, ReleaseDetail } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { readDocument } from "../document-files.ts";
import { ago, bytes, facts, table } from "../output.ts";
import type { Session } from "../session.ts";
import { uploadFile } from "../upload.ts";

type ListOptions = CommonOptions & {
  product?: string;
  channel?: Channel;
  yanked?: boolean;
  limit: number;
};
export type Channel = Release["channel"];
const CHANNELS: readonly Channel[] = ["dev", "beta", "stable"];

/** Releases on the platform. */
export function releaseCommands(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "publish <manifest>",
    summary: "upload an image with its signed manifest",
    example: "vautn firmware publish hub.bin.manifest.json --image hub.bin",
    data: true,
    tenant: true,
  })
    .option("--image <file>", "the image that the manifest names (default: beside the manifest)")
    .option("--files <folder>", "where its further files lie (default: beside the manifest)")
    .option("--channel <name>", "dev, beta or stable", channelName, "dev")
    .option("--notes <text>", "what is new")
    .action((file: string, options: PublishOptions) => publish(cli, file, options));

  leaf(firmware, {
    usage: "promote <release>",
    summary: "move a release to another channel, towards stable",
    example: "vautn firmware promote hub@2.4.0 --channel beta",
    data: true,
    tenant: true,
  })
    .requiredOption("--channel <name>", "beta or stable", channelName)
    .action(async (name: string, options: CommonOptions & { channel: Channel }) => {
      const session = cli.session(options);
      const params = { release: await releaseId(session, name) };
      const body = { channel: options.channel };
      const release = await session.call("promoteRelease", { params, body });
      cli.print(options, release, () => releaseTable([release]));
    });

  leaf(firmware, {
    usage: "list",
    summary: "releases, newest first",
    example: "vautn firmware list --product hub",
    data: true,
    tenant: true,
  })
    .option("--product <name>", "of one product")
    .option("--channel <name>", "of one channel", channelName)
    .option("--yanked", "those that were withdrawn")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (options: ListOptions) => {
      const { product, channel, yanked } = options;
      const query = { product, channel, ...(yanked ? { status: "yanked" as const } : {}) };
      const page = await cli.session(options).collect("listReleases", { query }, options.limit);
      cli.printList(
        options,
        page,
        releaseTable,
        product || channel || yanked
          ? "No release is such a one. All of them: vautn firmware list"
          : "No releases yet. Next: vautn firmware build IMAGE --product NAME --version VERSION --hardware REVISION",
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
        String(delta.devices),
        delta.format,
        delta.progress === null ? delta.status : `${delta.status} ${share(delta.progress)}`,
        bytes(delta.sizeBytes),
        delta.ratio === null ? "-" : share(delta.ratio),
        delta.buildMs === null ? "-" : `${(delta.buildMs / 1000).toFixed(1)} s`,
      ]);
      const head = ["FROM", "DEVICES", "FORMAT", "STATUS", "SIZE", "OF THE IMAGE", "MADE IN"];
      return `${describe(release)}${describeFiles(release)}${rows.length > 0 ? `\n${table(head, rows)}` : ""}`;
    });
  });

  leaf(firmware, {
    usage: "yank <release>",
    summary: "withdraw a release: devices refuse it, and rollouts of it are cancelled",
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

type PublishOptions = CommonOptions & {
  image?: string;
  files?: string;
  channel: Channel;
  notes?: string;
};

export function channelName(text: string): Channel {
  const found = CHANNELS.find((channel) => channel === text);
  if (found) return found;
  throw misuse(`--channel is ${CHANNELS.join(", ")}, not "${text}"`);
}

/** Every file goes up by itself and resumes where a cut has left it; then the release is made. */
async function publish(cli: Cli, file: string, options: PublishOptions): Promise<void> {
  const session = cli.session(options);
  const { parseSignable } = await import("../../firmware/index.ts");
  const manifest = parseSignable(readDocument(file));
  if (manifest.signed._type !== "release") throw misuse(`${file} is no release`);
  const { image, components = [], sbom, provenance } = manifest.signed;
  const folder = options.files ?? path.dirname(file);
  const uploads: string[] = [];
  for (const named of [image, ...components, sbom, provenance]) {
    if (!named) continue;
    const place = named === image ? options.image : undefined;
    const source = place ?? path.join(folder, path.basename(named.name));
    const bar = cli.io.isInteractive ? await uploadBar() : undefined;
    bar?.start(named.sizeBytes, 0, { size: bytes(named.sizeBytes) });
    try {
      const id = await uploadFile(session, source, named, (sent) => bar?.update(sent));
      uploads.push(id);
    } finally {
      bar?.stop();
    }
  }
  const [upload = "", ...files] = uploads;
  const { channel, notes } = options;
  const body = { upload, manifest, channel, ...(notes ? { notes } : {}), files };
  const release = await session.call("publishUploadedRelease", { body });
  cli.print(options, release, () => describe(release));
  cli.note(`Next: vautn rollout plan --release ${release.product}@${release.version}`);
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
    ["RELEASE", "PRODUCT", "VERSION", "CHANNEL", "HARDWARE", "SIZE", "STATUS", "PUBLISHED"],
    items.map((item) => [
      item.id,
      item.product,
      item.version,
      item.channel,
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

function describeFiles({ files, notes }: ReleaseDetail): string {
  const lines = files.map(({ role, component, name, sizeBytes, summary }): [string, string] => {
    const what = `${name}, ${bytes(sizeBytes)}`;
    if (summary && "componentCount" in summary) {
      return [role, `${what}, ${summary.format} with ${summary.componentCount} components`];
    }
    if (!summary) return [component, what];
    const signers = summary.signers.map((keyid) => keyid.slice(0, 12)).join(", ") || "nobody named";
    return [role, `${what}, built by ${summary.builder ?? "(unknown)"}, signed by ${signers}`];
  });
  return `${facts(lines)}${notes ? `\n${notes.trimEnd()}\n` : ""}`;
}

function describe(release: Release): string {
  return facts([
    ["release", release.id],
    ["version", `${release.product} ${release.version}`],
    ["hardware", release.hardwareRevisions.join(", ")],
    ["image", `${release.imageSha256}, ${bytes(release.imageSizeBytes)}`],
    ["channel", release.channel],
    ["status", release.yankReason ? `${release.status}: ${release.yankReason}` : release.status],
    ["published", `${ago(release.publishedAt)} by ${release.publishedBy}`],
    ["signed by", release.signers.join(", ")],
    ...warningFacts(release),
  ]);
}

function share(part: number): string {
  return `${(part * 100).toFixed(1)} %`;
}
