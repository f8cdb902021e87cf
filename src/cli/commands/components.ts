import fs from "node:fs";
import type { Command } from "commander";
import type { Operations, ReleaseComponent } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { table } from "../output.ts";
import { type Channel, channelName, releaseId } from "./releases.ts";

type Query = NonNullable<Operations["listComponents"]["query"]>;
type ListOptions = CommonOptions & {
  release?: string;
  product?: string;
  channel?: Channel;
  published?: boolean;
  limit: number;
};
const DOCUMENTS = ["sbom", "provenance"] as const;

/** What is inside releases: their bills of materials and provenance. */
export function componentCommands(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "components [query]",
    summary: "which releases contain what, by their bills of materials",
    example: 'vautn firmware components "openssl < 3.0.15" --published',
    data: true,
    tenant: true,
  })
    .option("--release <release>", "inside this release alone")
    .option("--product <name>", "of one product")
    .option("--channel <name>", "of one channel", channelName)
    .option("--published", "leave out releases that were yanked")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 100_000), 200)
    .addHelpText(
      "after",
      "\nA query is a name or a package URL (* for anything), with bounds of the version parted by" +
        '\ncommas: "busybox >= 1.30, < 1.36.1", "pkg:npm/lodash = 4.17.20", "lib*". Components whose' +
        "\nversion is not known lie within every bound but =.",
    )
    .action(async (q: string | undefined, options: ListOptions) => {
      const session = cli.session(options);
      const query: Query = {
        q,
        product: options.product,
        channel: options.channel,
        ...(options.release ? { release: await releaseId(session, options.release) } : {}),
        ...(options.published ? { status: "published" } : {}),
      };
      const page = await session.collect("listComponents", { query }, options.limit);
      cli.printList(options, page, componentTable, "No component of a release matches.");
    });

  leaf(firmware, {
    usage: "document <release> <role>",
    summary: "write the bill of materials (sbom) or the provenance of a release to a file",
    example: "vautn firmware document hub@2.4.0 sbom --out hub-2.4.0.cdx.json",
    data: true,
    tenant: true,
  })
    .option("--out <file>", "file to write (default: standard output)")
    .action(async (name: string, role: string, options: CommonOptions & { out?: string }) => {
      const known = DOCUMENTS.find((each) => each === role);
      if (!known) throw misuse(`a release has an sbom or a provenance, not "${role}"`);
      const session = cli.session(options);
      const params = { release: await releaseId(session, name), role: known };
      const filled = session.fill("getReleaseDocument", { params });
      const content = await session.client.download("getReleaseDocument", filled);
      if (!options.out) return cli.io.out(content.toString("utf8"));
      fs.writeFileSync(options.out, content);
      cli.print(
        options,
        { file: options.out, sizeBytes: content.length },
        () => `${options.out}\n`,
      );
    });
}

function componentTable(items: ReleaseComponent[]): string {
  return table(
    ["RELEASE", "CHANNEL", "COMPONENT", "VERSION", "LICENCE", "PACKAGE URL"],
    items.map(({ name, version, license, purl, release }) => [
      `${release.product}@${release.version}`,
      release.status === "yanked" ? "yanked" : release.channel,
      name,
      version,
      license,
      purl,
    ]),
  );
}
