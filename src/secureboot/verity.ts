import { createHash } from "node:crypto";
import fs from "node:fs";
import { invalidContent } from "./refusals.ts";

const BLOCK = 4096;
const DIGEST = 32;
const DIGESTS_PER_BLOCK = BLOCK / DIGEST;
const BATCH_BLOCKS = 256;

export interface VerityTree {
  /** Root hash and salt, in hex. */
  rootHash: string;
  salt: string;
  dataBlocks: number;
  /** Follows the data, from the first block of which it begins. */
  tree: Buffer;
}

/**
 * The hash tree of dm-verity, format 1, SHA-256, blocks of 4096 bytes (Linux
 * Documentation/admin-guide/device-mapper/verity.rst): the salt goes first, levels stand from the
 * root down. `salt` is fixed by the content, so that the same image has the same root hash.
 */
export function verityTree(image: string): VerityTree {
  const sizeBytes = fs.statSync(image).size;
  if (sizeBytes === 0 || sizeBytes % BLOCK !== 0) {
    throw invalidContent(`a root image is a multiple of ${BLOCK} bytes; ${image} is not`);
  }
  const salt = hashOfFile(image);
  const levels: Buffer[] = [];
  let level = digestsOfFile(image, salt);
  for (;;) {
    const blocks = inBlocks(level);
    levels.unshift(blocks);
    if (blocks.length === BLOCK) break;
    level = digestsOf(blocks, salt);
  }
  const rootHash = digest(salt, levels[0] as Buffer);
  return {
    rootHash: rootHash.toString("hex"),
    salt: salt.toString("hex"),
    dataBlocks: sizeBytes / BLOCK,
    tree: Buffer.concat(levels),
  };
}

function hashOfFile(file: string): Buffer {
  const hash = createHash("sha256");
  forEachChunk(file, (chunk) => hash.update(chunk));
  return hash.digest();
}

function digestsOfFile(file: string, salt: Buffer): Buffer[] {
  const digests: Buffer[] = [];
  forEachChunk(file, (chunk) => digests.push(...digestsOf(chunk, salt)));
  return digests;
}

function digestsOf(blocks: Buffer, salt: Buffer): Buffer[] {
  const digests: Buffer[] = [];
  for (let at = 0; at < blocks.length; at += BLOCK) {
    digests.push(digest(salt, blocks.subarray(at, at + BLOCK)));
  }
  return digests;
}

function digest(salt: Buffer, block: Buffer): Buffer {
  return createHash("sha256").update(salt).update(block).digest();
}

/** Digests packed into blocks, the last filled with zeros. */
function inBlocks(digests: readonly Buffer[]): Buffer {
  const blocks = Math.ceil(digests.length / DIGESTS_PER_BLOCK);
  const level = Buffer.alloc(blocks * BLOCK);
  digests.forEach((one, index) => {
    one.copy(level, index * DIGEST);
  });
  return level;
}

function forEachChunk(file: string, take: (chunk: Buffer) => void): void {
  const handle = fs.openSync(file, "r");
  try {
    const buffer = Buffer.alloc(BATCH_BLOCKS * BLOCK);
    for (;;) {
      const count = fs.readSync(handle, buffer, 0, buffer.length, null);
      if (count === 0) return;
      take(buffer.subarray(0, count));
    }
  } finally {
    fs.closeSync(handle);
  }
}
