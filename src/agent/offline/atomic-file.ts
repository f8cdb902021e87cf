import { createHash } from "node:crypto";
import type { Storage } from "../ports.ts";

/**
 * Replaces a small file so that a power cut leaves the old or the new content, never a mixture:
 * write beside it, sync, rename, sync the folder.
 */
export async function replaceFile(
  storage: Storage,
  name: string,
  content: Uint8Array,
): Promise<void> {
  const temporary = `${name}.new`;
  const file = await storage.open(temporary);
  try {
    await file.truncate(0);
    await file.write(0, content);
    await file.sync();
  } finally {
    await file.close();
  }
  await storage.rename(temporary, name);
  await storage.syncDirectory();
}

/** Removes a file for good. */
export async function removeFile(storage: Storage, name: string): Promise<void> {
  await storage.remove(name);
  await storage.syncDirectory();
}

/** Writes a JSON document with a checksum line, atomically. */
export async function writeDocument(
  storage: Storage,
  name: string,
  document: unknown,
): Promise<void> {
  const body = JSON.stringify(document);
  await replaceFile(storage, name, Buffer.from(`${digest(body)}\n${body}`));
}

/** The document, `undefined` where there is none, `"damaged"` where it is not what was written. */
export async function readDocument(
  storage: Storage,
  name: string,
): Promise<{ document: unknown } | undefined | "damaged"> {
  const content = await storage.read(name);
  if (!content) return undefined;
  const text = Buffer.from(content).toString("utf8");
  const lineEnd = text.indexOf("\n");
  const body = text.slice(lineEnd + 1);
  if (lineEnd < 0 || text.slice(0, lineEnd) !== digest(body)) return "damaged";
  return { document: JSON.parse(body) };
}

function digest(body: string): string {
  return createHash("sha256").update(body).digest("hex").slice(0, 16);
}
