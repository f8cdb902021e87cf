import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import semver from "semver";
import { AppError, LIMITS } from "../kernel/index.ts";
import type { Envelope, ReleaseFile, ReleaseManifest, SigningKey } from "../protocol/index.ts";
import { archiveFolder, lastChange } from "./folder-archive.ts";
import { type Recognised, recognise, withFileSource } from "./formats/index.ts";
import { assembleManifest, hashContent } from "./offline-tools.ts";
import { type ProvenanceSummary, readProvenance } from "./provenance.ts";
import { readSbom, type SbomSummary, summariseSbom } from "./sbom.ts";

export interface BuildOptions {
  tenant: string;
  /** A file, or a folder that becomes a tar archive. */
  image: string;
  components: readonly { component: string; file: string }[];
  sbom?: string | undefined;
  provenance?: { file: string; keys: readonly SigningKey[] } | undefined;
  /** Where the archives of folders are written. */
  archiveDirectory: string;
  /** What is not given is taken from the image, where its format says it. */
  product?: string | undefined;
  version?: string | undefined;
  hardwareRevisions?: readonly string[] | undefined;
  securityCounter: number;
  minimumSourceVersion: string | null;
  /** Without one: when the newest of the files was changed, so that the same files give the same. */
  createdAtMs?: number | undefined;
  validityDays: number;
  notes?: string | undefined;
}

/** A file of the release as it lies on this machine. */
export interface BuiltFile {
  role: "image" | "component" | "sbom" | "provenance";
  name: string;
  file: string;
  sha256: string;
  sizeBytes: number;
  description: string;
}

export interface BuiltRelease {
  envelope: Envelope<ReleaseManifest>;
  files: BuiltFile[];
  sbom: SbomSummary | null;
  provenance: ProvenanceSummary | null;
}

/** Looks into every file, hashes it, and writes the manifest. The same inputs give the same bytes. */
export async function buildRelease(options: BuildOptions): Promise<BuiltRelease> {
  const image = await readFile(options.image, options.archiveDirectory, "image");
  const components = [];
  for (const { component, file } of options.components) {
    components.push({
      component,
      ...(await readFile(file, options.archiveDirectory, "component")),
    });
  }
  const sbom = options.sbom ? await readDocument(options.sbom, "sbom", readSummary) : null;
  const { provenance: given } = options;
  const provenance = given
    ? await readDocument(given.file, "provenance", (content) => readProvenance(content, given.keys))
    : null;
  if (provenance) assertAbout(provenance.summary, image.entry, given?.keys ?? []);
  const { facts } = image.recognised;
  const envelope = assembleManifest({
    tenant: options.tenant,
    product: options.product ?? needed("product", facts.compatible),
    version: options.version ?? needed("version", semver.valid(facts.version) ?? undefined),
    hardwareRevisions: options.hardwareRevisions ?? needed("hardware", facts.hardware).split(", "),
    securityCounter: options.securityCounter,
    minimumSourceVersion: options.minimumSourceVersion,
    image: image.entry,
    components: components.map(({ component, entry }) => ({ component, ...entry })),
    createdAtMs: options.createdAtMs ?? newestChange(options),
    validityDays: options.validityDays,
    notes: options.notes,
    sbom: sbom && { ...sbom.entry, format: sbom.summary.format },
    provenance: provenance && {
      ...provenance.entry,
      predicateType: provenance.summary.predicateType,
      keys: [...(given?.keys ?? [])],
    },
  });
  return {
    envelope,
    files: [image, ...components, ...(sbom ? [sbom] : []), ...(provenance ? [provenance] : [])].map(
      ({ built }) => built,
    ),
    sbom: sbom?.summary ?? null,
    provenance: provenance?.summary ?? null,
  };
}

function newestChange({ image, components, sbom, provenance }: BuildOptions): number {
  const files = [image, ...components.map(({ file }) => file), sbom, provenance?.file];
  const times = files.filter((file) => file !== undefined).map(lastChange);
  return Math.floor(Math.max(...times) / 1_000) * 1_000;
}

interface ReadFile {
  entry: ReleaseFile;
  built: BuiltFile;
  recognised: Recognised;
}

async function readFile(
  given: string,
  archiveDirectory: string,
  role: BuiltFile["role"],
): Promise<ReadFile> {
  const file = fs.statSync(given).isDirectory() ? await archived(given, archiveDirectory) : given;
  const name = path.basename(file);
  const hashed = await hashContent(fs.createReadStream(file, { highWaterMark: 1024 * 1024 }));
  const recognised = await withFileSource(file, recognise);
  const { kind, facts, description } = recognised;
  assertNamedAsItIs(name, kind);
  const entry: ReleaseFile = { name, ...hashed, kind };
  if (Object.keys(facts).length > 0) entry.facts = facts;
  return { entry, recognised, built: { role, name, file, ...hashed, description } };
}

/** What these names promise; whoever means something else by them renames the file. */
const KIND_BY_EXTENSION: Record<string, string> = {
  ".hex": "intel-hex",
  ".ihex": "intel-hex",
  ".uf2": "uf2",
  ".elf": "elf",
  ".swu": "swu",
  ".raucb": "rauc-bundle",
  ".mender": "mender",
};

/** A damaged file is no raw image: devices would take its bytes as they are. */
function assertNamedAsItIs(name: string, kind: string): void {
  const promised = KIND_BY_EXTENSION[path.extname(name).toLowerCase()];
  if (!promised || kind !== "raw") return;
  throw new AppError(
    "invalid-content",
    `${name} is named as ${promised} and is damaged or none: give it another name if it is a raw image`,
    { file: name, kind: promised },
  );
}

async function archived(folder: string, directory: string): Promise<string> {
  const file = path.join(directory, `${path.basename(path.resolve(folder))}.tar`);
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await pipeline(archiveFolder(folder), fs.createWriteStream(temporary));
    fs.renameSync(temporary, file);
  } finally {
    fs.rmSync(temporary, { force: true });
  }
  return file;
}

const readSummary = (content: Buffer) => summariseSbom(readSbom(content));

async function readDocument<Summary>(
  file: string,
  role: "sbom" | "provenance",
  read: (content: Buffer) => Summary,
) {
  const { size } = fs.statSync(file);
  if (size > LIMITS.releaseDocumentBytes) {
    throw new AppError(
      "invalid-content",
      `${file} has more than ${LIMITS.releaseDocumentBytes} bytes`,
    );
  }
  const content = fs.readFileSync(file);
  const summary = read(content);
  const name = path.basename(file);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const entry = { name, sha256, sizeBytes: content.length };
  return { entry, summary, built: { role, file, ...entry, description: role } };
}

/** Somebody else's provenance, or one that nobody of those who were named has signed, is none. */
export function assertAbout(
  provenance: ProvenanceSummary,
  image: { sha256: string },
  keys: readonly SigningKey[],
): void {
  if (!provenance.subjects.some(({ sha256 }) => sha256 === image.sha256)) {
    throw new AppError("invalid-content", "the provenance: it is about other files than the image");
  }
  if (keys.length > 0 && provenance.signers.length === 0) {
    throw new AppError("invalid-content", "the provenance: none of the given keys has signed it");
  }
}

function needed(what: string, found: string | undefined): string {
  if (found) return found;
  throw new AppError("invalid-content", `the image does not say its ${what}: give --${what}`);
}
