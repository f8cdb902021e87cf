import fs from "node:fs";
import path from "node:path";
import { inflateRawSync } from "node:zlib";

/** Two versions of one firmware. */
export interface FirmwarePair {
  name: string;
  source: Buffer;
  target: Buffer;
}

const MODULES = path.resolve(import.meta.dirname, "../../node_modules");
const HUBS = ["primehub", "cityhub", "essentialhub", "technichub", "movehub"];

/** Real firmware of small hubs: two releases of @pybricks/firmware, installed under aliases. */
export function firmwarePairs(): FirmwarePair[] {
  return HUBS.flatMap((hub) => {
    const [source, target] = ["pybricks-a", "pybricks-b"].map((release) => {
      const archive = path.join(MODULES, release, "build", `${hub}.zip`);
      return fs.existsSync(archive)
        ? readZipEntry(fs.readFileSync(archive), "firmware-base.bin")
        : null;
    });
    return source && target ? [{ name: `pybricks-${hub}`, source, target }] : [];
  });
}

/** Pairs laid out as `<directory>/<name>/old.*` and `<directory>/<name>/new.*`. */
export function firmwarePairsIn(directory: string): FirmwarePair[] {
  return fs
    .readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort()
    .flatMap((name) => {
      const folder = path.join(directory, name);
      const [source, target] = ["old.", "new."].map((prefix) => {
        const file = fs.readdirSync(folder).find((entry) => entry.startsWith(prefix));
        return file ? fs.readFileSync(path.join(folder, file)) : null;
      });
      return source && target ? [{ name, source, target }] : [];
    });
}

/** One entry of a ZIP archive (APPNOTE 4.3.12: by the central directory), or null. */
function readZipEntry(archive: Buffer, wanted: string): Buffer | null {
  const end = archive.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  let offset = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left -= 1) {
    const nameBytes = archive.readUInt16LE(offset + 28);
    const name = archive.toString("utf8", offset + 46, offset + 46 + nameBytes);
    if (name === wanted) {
      const local = archive.readUInt32LE(offset + 42);
      const start =
        local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
      const body = archive.subarray(start, start + archive.readUInt32LE(offset + 20));
      return archive.readUInt16LE(offset + 10) === 0 ? body : inflateRawSync(body);
    }
    offset +=
      46 + nameBytes + archive.readUInt16LE(offset + 30) + archive.readUInt16LE(offset + 32);
  }
  return null;
}
