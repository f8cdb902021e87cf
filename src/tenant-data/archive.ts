import { createHash } from "node:crypto";

const BLOCK = 512;

/** What a file of the archive holds, as the manifest at its end says. */
export interface ArchivedFile {
  name: string;
  sizeBytes: number;
  sha256: string;
  /** Of a table's part. */
  rows?: number;
}

/** The header of a file in a POSIX archive (POSIX.1-1988 ustar; `tar xf` reads it). */
export function tarHeader(name: string, sizeBytes: number, modifiedAt: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100, "utf8");
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${sizeBytes.toString(8).padStart(11, "0")}\0`, 124);
  const seconds = Math.floor(modifiedAt / 1_000);
  header.write(`${seconds.toString(8).padStart(11, "0")}\0`, 136);
  header.write("        ", 148); // The checksum is counted with blanks in its place.
  header.write("0", 156);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** What follows a file, up to the next whole block. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK - (sizeBytes % BLOCK)) % BLOCK);
}

/** Two empty blocks end an archive. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

export function sha256Of(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}
