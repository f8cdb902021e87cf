/** A member of an initial RAM disk. */
export interface CpioEntry {
  path: string;
  /** Type and permissions, as in `stat`: 0o100644, 0o040755, 0o120777 ... */
  mode: number;
  content: Buffer;
  device?: { major: number; minor: number };
}

export const FILE = 0o100644;
export const PROGRAM = 0o100755;
export const DIRECTORY = 0o040755;
const CHARACTER_DEVICE = 0o020600;

/** The console must be there before anything is mounted. */
export const CONSOLE: CpioEntry = {
  path: "dev/console",
  mode: CHARACTER_DEVICE,
  content: Buffer.alloc(0),
  device: { major: 5, minor: 1 },
};

/** The "newc" archive that Linux unpacks (Documentation/driver-api/early-userspace), without times. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  [...entries, { path: "TRAILER!!!", mode: 0, content: Buffer.alloc(0) }].forEach(
    (entry: CpioEntry, index) => {
      const name = Buffer.from(`${entry.path}\0`);
      const fields = [
        index + 1, // inode
        entry.mode,
        0, // owner
        0, // group
        1, // links
        0, // time
        entry.content.length,
        0,
        0,
        entry.device?.major ?? 0,
        entry.device?.minor ?? 0,
        name.length,
        0,
      ];
      const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
      parts.push(padded(Buffer.concat([Buffer.from(header), name])), padded(entry.content));
    },
  );
  return Buffer.concat(parts);
}

/** Every folder that the paths need, before the paths themselves, in a fixed order. */
export function withDirectories(entries: readonly CpioEntry[]): CpioEntry[] {
  const sorted = [...entries].sort((left, right) => (left.path < right.path ? -1 : 1));
  const known = new Set(sorted.filter(({ mode }) => mode === DIRECTORY).map(({ path }) => path));
  const missing = new Set<string>();
  for (const { path } of sorted) {
    const levels = path.split("/");
    for (let depth = 1; depth < levels.length; depth += 1) {
      const folder = levels.slice(0, depth).join("/");
      if (!known.has(folder)) missing.add(folder);
    }
  }
  const folders = [...missing].map((path) => ({
    path,
    mode: DIRECTORY,
    content: Buffer.alloc(0),
  }));
  return [...folders, ...sorted].sort((left, right) => (left.path < right.path ? -1 : 1));
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
