import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { replaceFile } from "../offline/atomic-file.ts";
import type { Storage, TlsCredentials } from "../ports.ts";

/**
 * A generation of a device's identity: key, certificate and roots that belong together. Generation
 * 0 lies in the files of the provisioning, each later one in files of its own, and none of them is
 * ever written while it is in use.
 */
export interface Generation extends TlsCredentials {
  number: number;
  /** Lower-case hex. */
  serial: string;
  /** The names in the certificate, as text, to compare. */
  names: string;
  notBefore: number;
  notAfter: number;
  /** SHA-256 over the DER, hex: the authority that issued it, where it came along, and the roots. */
  issuer: string | undefined;
  roots: string[];
}

const PARTS = ["key", "certificate", "root"] as const;
type Part = (typeof PARTS)[number];
const NAME = /^generation-([1-9]\d{0,8})\.(?:key|certificate|root)\.pem(?:\.new)?$/;
const MAX_CERTIFICATES = 16;

export function fileOf(number: number, part: Part): string {
  return number === 0 ? `${part}.pem` : `generation-${number}.${part}.pem`;
}

/** Numbers of the generations of which there is any file, the highest first; 0 is not counted. */
export async function generationNumbers(storage: Storage): Promise<number[]> {
  const numbers = (await storage.list()).map((name) => Number(NAME.exec(name)?.[1] ?? 0));
  return [...new Set(numbers.filter((number) => number > 0))].sort((a, b) => b - a);
}

/** Reads a generation; rejects where a part is missing, damaged or not of the others. */
export async function readGeneration(storage: Storage, number: number): Promise<Generation> {
  const texts = await Promise.all(PARTS.map((part) => readPart(storage, number, part)));
  const [key, certificate, root] = texts as [string, string, string];
  return describe(number, { key, certificate, root });
}

export async function readKey(storage: Storage, number: number): Promise<KeyObject> {
  return createPrivateKey(await readPart(storage, number, "key"));
}

/** Writes parts, each whole or not at all, and syncs them. */
export async function writeGeneration(
  storage: Storage,
  number: number,
  parts: Partial<TlsCredentials>,
): Promise<void> {
  for (const part of PARTS) {
    const text = parts[part];
    if (text !== undefined) await replaceFile(storage, fileOf(number, part), Buffer.from(text));
  }
}

/** Removes every later generation but those that are named; generation 0 stays. */
export async function removeGenerations(storage: Storage, keep: readonly number[]): Promise<void> {
  let removed = false;
  for (const name of await storage.list()) {
    const number = Number(NAME.exec(name)?.[1] ?? 0);
    if (number === 0 || keep.includes(number)) continue;
    await storage.remove(name);
    removed = true;
  }
  if (removed) await storage.syncDirectory();
}

/** The certificates of a PEM text, in its order. */
export function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length > MAX_CERTIFICATES) throw new Error("there are too many certificates");
  return blocks.map((block) => new X509Certificate(block));
}

export function sha256Of(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

export function namesIn(certificate: X509Certificate): string {
  return `${certificate.subject} ${certificate.subjectAltName ?? ""}`;
}

export function serialOf(certificate: X509Certificate): string {
  return certificate.serialNumber.toLowerCase();
}

function describe(number: number, parts: TlsCredentials): Generation {
  const [leaf, ...between] = certificatesIn(parts.certificate);
  const roots = certificatesIn(parts.root);
  if (!leaf || roots.length === 0) throw new Error("the identity is not whole");
  if (!leaf.checkPrivateKey(createPrivateKey(parts.key))) {
    throw new Error("key and certificate are not a pair");
  }
  const issuer = between.find((authority) => leaf.checkIssued(authority));
  return {
    ...parts,
    number,
    serial: serialOf(leaf),
    names: namesIn(leaf),
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
    issuer: issuer && sha256Of(issuer),
    roots: roots.map(sha256Of).sort(),
  };
}

async function readPart(storage: Storage, number: number, part: Part): Promise<string> {
  const name = fileOf(number, part);
  const content = await storage.read(name);
  if (!content) throw new Error(`${name} is missing`);
  return Buffer.from(content).toString("utf8");
}
