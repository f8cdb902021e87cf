// Compiles kernels/vdelta to WebAssembly and writes it, as text, into src/delta/vdelta/kernel-generated.ts. The
// compiler's version is fixed by the lockfile, so that the same source gives the same bytes.
// Usage: npm run build:kernels
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(import.meta.dirname, "..");
const ENTRY = "kernels/vdelta/index.ts";
const COMPILER = "node_modules/assemblyscript/bin/asc.js";
const OPTIONS = [
  ...["--runtime", "stub", "--noAssert"],
  ...["--importMemory", "--zeroFilledMemory", "--initialMemory", "4"],
  ...["--enable", "simd,bulk-memory", "-O3", "--converge"],
];
const LINE_LENGTH = 96;
/** Where the module goes. */
export const KERNEL_FILE = path.join(root, "src/delta/vdelta/kernel-generated.ts");

/** The file's text, made anew. */
export function buildKernel(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-kernels-"));
  try {
    const binary = path.join(folder, "kernel.wasm");
    const done = spawnSync(process.execPath, [COMPILER, ENTRY, ...OPTIONS, "--outFile", binary], {
      cwd: root,
      encoding: "utf8",
    });
    if (done.status !== 0) throw new Error(`the kernel does not compile: ${done.stderr}`);
    return asSource(fs.readFileSync(binary));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

function asSource(binary: Buffer): string {
  const text = binary.toString("base64");
  const lines = text.match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? [];
  return [
    "// Made from kernels/vdelta by `npm run build:kernels`. Do not edit.",
    "",
    `/** The compiled module, ${binary.length} bytes, in base64. */`,
    "export const KERNEL_WASM = [",
    ...lines.map((line) => `  "${line}",`),
    '].join("");',
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  fs.writeFileSync(KERNEL_FILE, buildKernel());
  console.log(`${path.relative(root, KERNEL_FILE)}: ${fs.statSync(KERNEL_FILE).size} bytes`);
}
