import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { type ArchiveEntry, cpioEntries, isTarHeader, tarEntries } from "./archives.ts";
import { type ByteSource, bufferSource, cleanFacts, type Recognised } from "./source.ts";

const unpack = promisify(gunzip);
/** Of a description or header within a package; they are some kilobytes in practice. */
const MAX_HEADER_BYTES = 1024 * 1024;
/** Entries in front of which a description must come. */
const MAX_LOOKED_AT = 64;

/** SWUpdate: a cpio archive that begins with `sw-description`. */
export async function recogniseSwu(source: ByteSource): Promise<Recognised | undefined> {
  const first = await firstOf(cpioEntries(source));
  if (!first) return undefined;
  if (first.name !== "sw-description") {
    return { kind: "cpio", description: "cpio archive", facts: {} };
  }
  const names: string[] = [];
  for await (const entry of cpioEntries(source)) names.push(entry.name);
  const text = await readText(source, first);
  return {
    kind: "swu",
    description: "SWUpdate package",
    facts: cleanFacts({
      version: /\bversion\s*[:=]\s*"([^"]{1,64})"/.exec(text)?.[1],
      description: /\bdescription\s*[:=]\s*"([^"]{1,128})"/.exec(text)?.[1],
      hardware: listOf(/\bhardware-compatibility\s*[:=]\s*\[([^\]]{0,512})\]/.exec(text)?.[1]),
      signed: names.includes("sw-description.sig") ? "yes" : "no",
      files: String(names.filter((name) => !name.startsWith("sw-description")).length),
    }),
  };
}

/** Mender (a tar archive whose first file says so), or any other tar. */
export async function recogniseTar(source: ByteSource): Promise<Recognised | undefined> {
  if (!isTarHeader(await source.read(0, 512))) return undefined;
  const entries: ArchiveEntry[] = [];
  for await (const entry of tarEntries(source)) {
    entries.push(entry);
    if (entries.length >= MAX_LOOKED_AT) break;
  }
  const [first] = entries;
  const version = first?.name === "version" && parse(await readText(source, first));
  if (version && version.format === "mender") {
    return {
      kind: "mender",
      description: `Mender artifact, version ${String(version.version)}`,
      facts: await menderFacts(source, entries),
    };
  }
  const files =
    entries.length >= MAX_LOOKED_AT ? `${MAX_LOOKED_AT} or more` : String(entries.length);
  return { kind: "tar", description: "tar archive", facts: { files } };
}

async function menderFacts(source: ByteSource, entries: readonly ArchiveEntry[]) {
  const header = entries.find(({ name }) => name === "header.tar.gz");
  const signed = entries.some(({ name }) => name === "manifest.sig") ? "yes" : "no";
  if (!header || header.sizeBytes > MAX_HEADER_BYTES) return { signed };
  let inner: Buffer;
  try {
    const packed = await source.read(header.offset, header.sizeBytes);
    inner = await unpack(packed, { maxOutputLength: MAX_HEADER_BYTES });
  } catch {
    return { signed }; // Damaged, or a bomb: it says nothing.
  }
  const innerSource = bufferSource(inner);
  for await (const entry of tarEntries(innerSource)) {
    if (entry.name !== "header-info") continue;
    const info = parse(await readText(innerSource, entry)) ?? {};
    const provides = info.artifact_provides as Record<string, unknown> | undefined;
    const depends = info.artifact_depends as Record<string, unknown> | undefined;
    const payloads = (info.payloads ?? info.updates) as { type?: unknown }[] | undefined;
    return cleanFacts({
      artifactName: asText(provides?.artifact_name),
      artifactGroup: asText(provides?.artifact_group),
      hardware: asText(depends?.device_type),
      payloads: Array.isArray(payloads) ? asText(payloads.map((each) => each?.type)) : undefined,
      signed,
    });
  }
  return { signed };
}

/**
 * RAUC: a squashfs, then a CMS signature, then its length in eight bytes. In the `verity` and
 * `crypt` forms the manifest lies within the signature and can be read as it is.
 */
export async function recogniseSquashfs(source: ByteSource): Promise<Recognised | undefined> {
  const head = await source.read(0, 96);
  if (head.length < 96 || head.toString("latin1", 0, 4) !== "hsqs") return undefined;
  const usedBytes = Number(head.readBigUInt64LE(40));
  const facts: Record<string, string | undefined> = {
    compression: COMPRESSIONS[head.readUInt16LE(20)],
  };
  const signature = await trailingSignature(source, usedBytes);
  if (!signature) return { kind: "squashfs", description: "squashfs", facts: cleanFacts(facts) };
  const text = signature.toString("latin1");
  const inManifest = (name: string) =>
    new RegExp(`(?:^|\\n)${name}=([^\\n]{1,128})\\n`).exec(text)?.[1];
  return {
    kind: "rauc-bundle",
    description: "RAUC bundle",
    facts: cleanFacts({
      compatible: inManifest("compatible"),
      version: inManifest("version"),
      compression: facts.compression,
      format: inManifest("format") ?? "plain",
      description: inManifest("description"),
      signed: "yes",
    }),
  };
}

const COMPRESSIONS = ["", "gzip", "lzma", "lzo", "xz", "lz4", "zstd"];

async function trailingSignature(source: ByteSource, usedBytes: number) {
  if (source.sizeBytes < usedBytes + 8 || usedBytes < 96) return undefined;
  const length = Number((await source.read(source.sizeBytes - 8, 8)).readBigUInt64BE(0));
  if (length < 16 || length > MAX_HEADER_BYTES) return undefined;
  const start = source.sizeBytes - 8 - length;
  if (start < usedBytes) return undefined;
  const signature = await source.read(start, length);
  // RFC 5652 §3: ContentInfo is a sequence that begins with the OID of signedData.
  const isCms = signature[0] === 0x30 && signature.includes(SIGNED_DATA);
  return isCms ? signature : undefined;
}

const SIGNED_DATA = Buffer.from("06092a864886f70d010702", "hex");

async function firstOf<Item>(items: AsyncIterable<Item>): Promise<Item | undefined> {
  for await (const item of items) return item;
  return undefined;
}

async function readText(source: ByteSource, entry: ArchiveEntry): Promise<string> {
  const length = Math.min(entry.sizeBytes, MAX_HEADER_BYTES);
  return (await source.read(entry.offset, length)).toString("utf8");
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function asText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return undefined;
  return value
    .filter((each) => typeof each === "string")
    .slice(0, 16)
    .join(", ");
}

function listOf(inner: string | undefined): string | undefined {
  return inner && [...inner.matchAll(/"([^"]{1,64})"/g)].map((match) => match[1]).join(", ");
}
