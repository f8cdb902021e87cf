import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { BuiltRelease } from "../../firmware/index.ts";
import { type Cli, type CommonOptions, group, leaf, pairs, several, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { readText, writeDocument } from "../document-files.ts";
import { bytes, facts } from "../output.ts";
import { componentCommands } from "./components.ts";
import { delegationCommands } from "./delegation.ts";
import { releaseCommands } from "./releases.ts";
import { signingCommands } from "./signing.ts";
import { rootCommands } from "./trust-root.ts";

interface BuildOptions extends CommonOptions {
  product?: string;
  version?: string;
  hardware?: string;
  securityCounter: number;
  minimumSource?: string;
  component?: string[];
  sbom?: string;
  provenance?: string;
  provenanceKey?: string[];
  notes?: string;
  changelog?: string;
  validity: number;
  out?: string;
}

/** The pipeline: keys, manifests and signatures are made here; only `publish` meets the platform. */
export function firmwareCommands(program: Command, cli: Cli): void {
  const firmware = group(
    program,
    "firmware",
    "build, sign, verify and publish releases",
    "vautn firmware list",
  );
  buildCommand(firmware, cli);
  signingCommands(firmware, cli);
  releaseCommands(firmware, cli);
  componentCommands(firmware, cli);
  delegationCommands(firmware, cli);
  rootCommands(firmware, cli);
}

function buildCommand(firmware: Command, cli: Cli): void {
  leaf(firmware, {
    usage: "build <image>",
    summary: "make the manifest of a release from its files; folders become tar archives",
    example:
      "vautn firmware build hub.bin --product hub --version 2.4.0 --hardware rev-a,rev-b --sbom hub.cdx.json",
    data: true,
    tenant: true,
  })
    .option("--product <name>", "product (default: what the image says)")
    .option("--version <version>", "semantic version (default: what the image says)")
    .option("--hardware <revisions>", "hardware revisions, comma-separated (default: likewise)")
    .option("--security-counter <n>", "rises when older releases must not come back", counter, 0)
    .option("--minimum-source <version>", "oldest version that may update to it directly")
    .option("--component <name=file>", "a further file or folder (several times)", several)
    .option("--sbom <file>", "bill of materials: CycloneDX or SPDX in JSON")
    .option("--provenance <file>", "in-toto statement in a DSSE envelope or Sigstore bundle")
    .option("--provenance-key <file>", "who may vouch: public key or certificate", several)
    .option("--notes <text>", "what is new")
    .option("--changelog <file>", "what is new, from a file")
    .option("--validity <days>", "days until it expires", wholeNumber("--validity", 1, 3_650), 365)
    .option("--out <file>", "manifest to write (default: the image's name with .manifest.json)")
    .addHelpText(
      "after",
      "\nThe same files give the same bytes: the release's date is that of its newest file, or" +
        "\nSOURCE_DATE_EPOCH (seconds) where that is set; it expires so many days after that.",
    )
    .action((image: string, options: BuildOptions) => build(cli, image, options));
}

const counter = wholeNumber("--security-counter", 0, 2_147_483_647);
const MAX_CHANGELOG_BYTES = 64 * 1024;

async function build(cli: Cli, image: string, options: BuildOptions): Promise<void> {
  const { buildRelease, readAttestorKey } = await import("../../firmware/index.ts");
  const tenant = options.tenant ?? tenantWithoutPlatform(cli);
  if (!fs.existsSync(image)) throw misuse(`${image} is not there`);
  const base = image.replace(/\/+$/, "");
  const file = options.out ?? `${base}.manifest.json`;
  const { changelog, provenance, provenanceKey = [] } = options;
  const built = await buildRelease({
    tenant,
    image,
    components: Object.entries(pairs(options.component, "--component")).map(
      ([component, path]) => ({ component, file: existing(path) }),
    ),
    sbom: options.sbom && existing(options.sbom),
    provenance: provenance
      ? {
          file: existing(provenance),
          keys: provenanceKey.map((key) => readAttestorKey(readText(key))),
        }
      : undefined,
    archiveDirectory: path.dirname(file),
    product: options.product,
    version: options.version,
    hardwareRevisions: options.hardware?.split(",").map((revision) => revision.trim()),
    securityCounter: options.securityCounter,
    minimumSourceVersion: options.minimumSource ?? null,
    createdAtMs: createdAt(cli.io.environment.SOURCE_DATE_EPOCH),
    validityDays: options.validity,
    notes: changelog ? readText(changelog, MAX_CHANGELOG_BYTES) : options.notes,
  });
  const { envelope } = built;
  refuseExpired(envelope.signed);
  writeDocument(file, envelope);
  cli.print(options, { file, ...envelope, files: built.files }, () => describeBuilt(file, built));
  cli.note(`Next: vautn firmware sign ${file} --key release.key`);
}

function describeBuilt(file: string, { envelope, files, sbom, provenance }: BuiltRelease): string {
  const { product, version, hardwareRevisions, image, createdAt, expires } = envelope.signed;
  return facts([
    ["manifest", file],
    ["version", `${product} ${version}, for ${hardwareRevisions.join(", ")}`],
    ["dated", `${createdAt.slice(0, 10)}, expires ${expires.slice(0, 10)}`],
    ...files.map(({ role, name, sizeBytes, description }): [string, string] => [
      role,
      `${name}, ${bytes(sizeBytes)}${role === description ? "" : `, ${description}`}`,
    ]),
    ["image", image.sha256],
    ...Object.entries(image.facts ?? {}).map(([name, value]): [string, string] => [
      `  ${name}`,
      value,
    ]),
    ...(sbom
      ? [
          ["sbom", `${sbom.format} ${sbom.specVersion}, ${sbom.componentCount} components`] as [
            string,
            string,
          ],
        ]
      : []),
    ...(provenance
      ? [
          [
            "provenance",
            `${provenance.builder ?? "builder unknown"}, signed by ${provenance.signers.join(", ") || "nobody who was named"}`,
          ] as [string, string],
        ]
      : []),
  ]);
}

/** Seconds by which a build can be repeated (reproducible-builds.org), else the files' own time. */
function createdAt(epoch: string | undefined): number | undefined {
  if (!epoch) return undefined;
  if (!/^\d{1,11}$/.test(epoch)) throw misuse("SOURCE_DATE_EPOCH is a number of seconds");
  return Number(epoch) * 1000;
}

function refuseExpired({ createdAt, expires }: BuiltRelease["envelope"]["signed"]): void {
  if (Date.parse(expires) > Date.now()) return;
  throw misuse(
    `the newest of the files is of ${createdAt.slice(0, 10)}: the release would have expired`,
    "set SOURCE_DATE_EPOCH, e.g. to $(git log -1 --format=%ct), or give more days with --validity",
  );
}

function existing(file: string): string {
  if (!fs.existsSync(file)) throw misuse(`${file} is not there`);
  return file;
}

/** A manifest is made without the platform, so the tenant's name alone is asked for. */
function tenantWithoutPlatform(cli: Cli): string {
  const tenant = cli.contextTenant();
  if (tenant) return tenant;
  throw misuse("no tenant is named", "give --tenant ID or set VAUTN_TENANT");
}
