import fs from "node:fs";
import path from "node:path";
import { invalidContent } from "./refusals.ts";

export interface KernelModule {
  name: string;
  content: Buffer;
}

const MAX_MODULES = 200;
const SUFFIX = ".ko";

/**
 * Kernel modules in the order in which they have to be loaded: each after those that it depends on.
 * `optional` ones may be built into the kernel. The dependencies are read from the modules
 * themselves, so that no `depmod` has to have run.
 */
export function collectModules(
  directory: string,
  required: readonly string[],
): { modules: KernelModule[]; builtIn: string[] } {
  const files = findModules(directory);
  const modules = new Map<string, KernelModule>();
  const builtIn: string[] = [];
  const visit = (name: string, path: readonly string[]) => {
    const key = canonical(name);
    if (modules.has(key)) return;
    if (path.includes(key)) throw invalidContent(`kernel modules depend on each other: ${key}`);
    const file = files.get(key);
    if (!file) {
      builtIn.push(key);
      return;
    }
    const content = fs.readFileSync(file);
    for (const needed of dependenciesOf(content)) visit(needed, [...path, key]);
    if (modules.size >= MAX_MODULES) throw invalidContent("too many kernel modules");
    modules.set(key, { name: key, content });
  };
  for (const name of required) visit(name, []);
  return { modules: [...modules.values()], builtIn };
}

/** `depends=` of the section .modinfo. */
export function dependenciesOf(module: Buffer): string[] {
  const mark = Buffer.from("\0depends=");
  const at = module.indexOf(mark);
  if (at < 0) return [];
  const start = at + mark.length;
  const list = module.toString("latin1", start, module.indexOf(0, start));
  return list === "" ? [] : list.split(",");
}

function findModules(directory: string): Map<string, string> {
  const found = new Map<string, string>();
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (entry.isFile() && /\.ko\.(xz|zst|gz)$/.test(entry.name)) {
      throw invalidContent(`${entry.name} is compressed: unpack the kernel's modules first`);
    }
    if (!entry.isFile() || !entry.name.endsWith(SUFFIX)) continue;
    const name = canonical(entry.name.slice(0, -SUFFIX.length));
    found.set(name, path.join(entry.parentPath, entry.name));
  }
  return found;
}

/** The kernel writes `-` and `_` as if they were one. */
function canonical(name: string): string {
  return name.replaceAll("-", "_");
}
