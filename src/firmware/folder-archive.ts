import fs from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { AppError } from "../kernel/index.ts";

const MAX_FILES = 20_000;
const BLOCK = 512;
const MAX_FILE_BYTES = 0o77777777777;

interface Item {
  /** Within the archive, with slashes. */
  name: string;
  file: string;
  type: "file" | "folder" | "link";
  sizeBytes: number;
  isExecutable: boolean;
  target: string;
}

/**
 * A folder as a tar archive (POSIX.1-2017, ustar) that depends on nothing but the files' names and
 * contents and on whether they can be executed: names sorted, no owners, no times, two modes.
 */
export function archiveFolder(folder: string): Readable {
  return Readable.from(archive(listItems(folder)));
}

/** When a file, or the newest file of a folder, was changed. */
export function lastChange(given: string): number {
  const stat = fs.statSync(given);
  if (!stat.isDirectory()) return stat.mtimeMs;
  // A folder's own time says when a name in it came or went, in this copy of it.
  const files = listItems(given).filter(({ type }) => type === "file");
  return files.reduce((newest, { file }) => Math.max(newest, fs.statSync(file).mtimeMs), 0);
}

async function* archive(items: readonly Item[]): AsyncGenerator<Buffer> {
  for (const item of items) {
    yield tarHeader(item);
    if (item.type !== "file") continue;
    let sizeBytes = 0;
    for await (const chunk of fs.createReadStream(item.file, { highWaterMark: 1024 * 1024 })) {
      sizeBytes += chunk.length;
      yield chunk;
    }
    if (sizeBytes !== item.sizeBytes) {
      throw new AppError("invalid-content", `${item.name} changed while it was read`);
    }
    yield Buffer.alloc((BLOCK - (sizeBytes % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function listItems(folder: string): Item[] {
  const items: Item[] = [];
  const visit = (directory: string, prefix: string) => {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      if (items.length >= MAX_FILES) {
        throw new AppError("invalid-content", `a folder has at most ${MAX_FILES} files`);
      }
      const file = path.join(directory, entry.name);
      const name = prefix + entry.name;
      items.push(itemOf(folder, file, name));
      if (entry.isDirectory()) visit(file, `${name}/`);
    }
  };
  visit(folder, "");
  if (items.length === 0) throw new AppError("invalid-content", `${folder} is empty`);
  // By code unit: a locale would sort otherwise on another machine.
  return items.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function itemOf(folder: string, file: string, name: string): Item {
  const stat = fs.lstatSync(file);
  const common = { name, file, sizeBytes: 0, isExecutable: false, target: "" };
  if (stat.isDirectory()) return { ...common, name: `${name}/`, type: "folder" };
  if (stat.isFile()) {
    const isExecutable = (stat.mode & 0o100) !== 0;
    return { ...common, type: "file", sizeBytes: stat.size, isExecutable };
  }
  if (!stat.isSymbolicLink()) {
    throw new AppError("invalid-content", `${name} is neither a file, a folder nor a link`);
  }
  const target = fs.readlinkSync(file);
  const reached = path.resolve(path.dirname(file), target);
  const isInside =
    reached === path.resolve(folder) || reached.startsWith(path.resolve(folder) + path.sep);
  if (path.isAbsolute(target) || !isInside) {
    throw new AppError("invalid-content", `the link ${name} leads out of the folder`);
  }
  return { ...common, type: "link", target };
}

function tarHeader({ name, type, sizeBytes, isExecutable, target }: Item): Buffer {
  const header = Buffer.alloc(BLOCK);
  const [prefix, rest] = splitName(name);
  const put = (text: string, offset: number) => header.write(text, offset, "utf8");
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  if (sizeBytes > MAX_FILE_BYTES || Buffer.byteLength(target) > 100) {
    throw new AppError("invalid-content", `${name} is too large, or its link too long`);
  }
  put(rest, 0);
  put(octal(type === "file" && !isExecutable ? 0o644 : 0o755, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(sizeBytes, 11), 124);
  put(octal(0, 11), 136);
  put(" ".repeat(8), 148);
  put({ file: "0", link: "2", folder: "5" }[type], 156);
  put(target, 157);
  put("ustar\0", 257);
  put("00", 263);
  put(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)}\0 `, 148);
  return header;
}

/** 100 bytes of name behind 155 of folders. */
function splitName(name: string): [prefix: string, rest: string] {
  if (Buffer.byteLength(name) <= 100) return ["", name];
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) {
    const [prefix, rest] = [name.slice(0, at), name.slice(at + 1)];
    if (rest !== "" && Buffer.byteLength(rest) <= 100 && Buffer.byteLength(prefix) <= 155) {
      return [prefix, rest];
    }
  }
  throw new AppError("invalid-content", `the name ${name} is too long for the archive`);
}
