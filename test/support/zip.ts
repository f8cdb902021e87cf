import { inflateRawSync } from "node:zlib";

/** The files of an archive, by its central directory. */
export function readZip(bytes: Buffer): Map<string, { text: string; mode: number }> {
  const files = new Map<string, { text: string; mode: number }>();
  const end = bytes.length - 22;
  if (bytes.readUInt32LE(end) !== 0x06054b50) throw new Error("no end of the central directory");
  let at = bytes.readUInt32LE(end + 16);
  for (let count = bytes.readUInt16LE(end + 10); count > 0; count -= 1) {
    const packedSize = bytes.readUInt32LE(at + 20);
    const nameSize = bytes.readUInt16LE(at + 28);
    const mode = (bytes.readUInt32LE(at + 38) >>> 16) & 0o777;
    const local = bytes.readUInt32LE(at + 42);
    const name = bytes.toString("utf8", at + 46, at + 46 + nameSize);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const packed = bytes.subarray(start, start + packedSize);
    files.set(name, { text: inflateRawSync(packed).toString("utf8"), mode });
    at += 46 + nameSize;
  }
  return files;
}
