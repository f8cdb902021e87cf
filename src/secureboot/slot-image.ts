import fs from "node:fs";
import { SLOT_IMAGE, slotImageHeader, slotImagePlaces } from "../protocol/index.ts";
import { type VerityTree, verityTree } from "./verity.ts";

/** A root image with its hash tree: what stands on a root partition. */
export interface RootImage {
  file: string;
  verity: VerityTree;
  sizeBytes: number;
}

export function rootImage(file: string): RootImage {
  const verity = verityTree(file);
  return { file, verity, sizeBytes: fs.statSync(file).size + verity.tree.length };
}

/** Writes kernel and root into the one file that is published as an image. */
export function writeSlotImage(out: string, kernel: Buffer, root: RootImage | undefined): void {
  const layout = { kernelBytes: kernel.length, rootBytes: root?.sizeBytes ?? 0 };
  const { kernelAt, rootAt, sizeBytes } = slotImagePlaces(layout);
  const handle = fs.openSync(out, "w");
  try {
    fs.ftruncateSync(handle, sizeBytes);
    fs.writeSync(handle, slotImageHeader(layout), 0, SLOT_IMAGE.blockBytes, 0);
    fs.writeSync(handle, kernel, 0, kernel.length, kernelAt);
    if (root) writeRoot(handle, root, rootAt);
  } finally {
    fs.closeSync(handle);
  }
}

const COPY_BYTES = 4 * 1024 * 1024;

/** The root image and behind it its tree, from `at` on; returns where it ends. */
export function writeRoot(handle: number, root: RootImage, at: number): number {
  const end = copyInto(handle, root.file, at);
  fs.writeSync(handle, root.verity.tree, 0, root.verity.tree.length, end);
  return end + root.verity.tree.length;
}

/** Copies a file into an open one, leaving out what is zero: disk images stay sparse. */
export function copyInto(handle: number, file: string, at: number): number {
  const source = fs.openSync(file, "r");
  try {
    const buffer = Buffer.allocUnsafe(COPY_BYTES);
    for (let position = at; ; ) {
      const count = fs.readSync(source, buffer, 0, buffer.length, null);
      if (count === 0) return position;
      const chunk = buffer.subarray(0, count);
      if (chunk.some((byte) => byte !== 0)) fs.writeSync(handle, chunk, 0, count, position);
      position += count;
    }
  } finally {
    fs.closeSync(source);
  }
}
