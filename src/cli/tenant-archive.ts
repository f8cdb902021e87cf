import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import { CliError } from "./cli-error.ts";

const BLOCK = 512;
const READ_BYTES = 1024 * 1024;
const MAX_MANIFEST_BYTES = 512 * 1024 * 1024;

interface Manifest {
  tenant: string;
  files: { name: string; sizeBytes: number; sha256: string; rows?: number }[];
}

/** Reads an export to its end and compares every file with the manifest, which stands last. */
export async function verifyArchive(path: string): Promise<{ files: number; sizeBytes: number }> {
  const handle = await fs.open(path);
  try {
    const found = new Map<string, string>();
    let manifest: Manifest | undefined;
    const header = Buffer.alloc(BLOCK);
    for (let at = 0; ; ) {
      const { bytesRead } = await handle.read(header, 0, BLOCK, at);
      if (bytesRead < BLOCK) throw cutOff();
      if (header.every((byte) => byte === 0)) break;
      const name = textOf(header, 0, 100);
      const sizeBytes = Number.parseInt(textOf(header, 124, 12), 8);
      const isManifest = name === "manifest.json";
      if (isManifest && sizeBytes > MAX_MANIFEST_BYTES) throw cutOff();
      const { sha256, content } = await readFile(handle, at + BLOCK, sizeBytes, isManifest);
      if (isManifest) manifest = JSON.parse(content) as Manifest;
      else found.set(name, sha256);
      at += BLOCK + Math.ceil(sizeBytes / BLOCK) * BLOCK;
    }
    if (!manifest) throw cutOff();
    for (const { name, sha256 } of manifest.files) {
      if (found.get(name) !== sha256) throw new CliError(`${name} is not what the manifest says`);
    }
    if (found.size !== manifest.files.length) throw new CliError("the manifest lacks files");
    const sizeBytes = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    return { files: found.size, sizeBytes };
  } finally {
    await handle.close();
  }
}

async function readFile(handle: fs.FileHandle, at: number, sizeBytes: number, keeps: boolean) {
  const hash = createHash("sha256");
  const kept: Buffer[] = [];
  for (let done = 0; done < sizeBytes; ) {
    const chunk = Buffer.alloc(Math.min(READ_BYTES, sizeBytes - done));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at + done);
    if (bytesRead === 0) throw cutOff();
    const part = chunk.subarray(0, bytesRead);
    hash.update(part);
    if (keeps) kept.push(part);
    done += bytesRead;
  }
  return { sha256: hash.digest("hex"), content: Buffer.concat(kept).toString("utf8") };
}

function textOf(header: Buffer, start: number, length: number): string {
  return header
    .toString("utf8", start, start + length)
    .replace(/\0.*$/s, "")
    .trim();
}

function cutOff(): CliError {
  return new CliError("the archive is not whole", { next: "run vautn tenant export again" });
}
