import type { KeyObject } from "node:crypto";
import fs from "node:fs";
import type { Envelope } from "../protocol/index.ts";
import { CliError, misuse } from "./cli-error.ts";

const MAX_DOCUMENT_BYTES = 1024 * 1024;

/** A signed document from a file; what it says is for others to judge. */
export function readDocument(file: string): Envelope<unknown> {
  const value = readJson(file);
  const envelope = value as Partial<Envelope<unknown>> | null;
  if (typeof envelope?.signed !== "object" || !Array.isArray(envelope.signatures)) {
    throw new CliError(`${file} is no signed document`, {
      next: "make one with: vautn firmware build IMAGE, or vautn firmware root create",
    });
  }
  return envelope as Envelope<unknown>;
}

export function readJson(file: string): unknown {
  const text = readText(file);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CliError(`${file} is not JSON: ${(error as Error).message}`);
  }
}

/** Replaces the file as a whole, so that half a document is never taken for one. */
export function writeDocument(file: string, document: unknown): void {
  const temporary = `${file}.${process.pid}.tmp`;
  fs.writeFileSync(temporary, `${JSON.stringify(document, null, 2)}\n`);
  fs.renameSync(temporary, file);
}

export async function readSigningKeyFile(file: string, passphrase?: string): Promise<KeyObject> {
  const { readSigningKey } = await import("../firmware/index.ts");
  return readSigningKey(readText(file), passphrase);
}

export function readText(file: string, maxBytes = MAX_DOCUMENT_BYTES): string {
  let size: number;
  try {
    size = fs.statSync(file).size;
  } catch {
    throw misuse(`${file} cannot be read`);
  }
  if (size > maxBytes) throw misuse(`${file} is too large to be such a document`);
  return fs.readFileSync(file, "utf8");
}

export function openImage(file: string): fs.ReadStream {
  if (!fs.existsSync(file) || !fs.statSync(file).isFile()) throw misuse(`${file} is no file`);
  return fs.createReadStream(file, { highWaterMark: 1024 * 1024 });
}
