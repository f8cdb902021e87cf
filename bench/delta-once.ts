// Makes or applies one patch in a process of its own and prints what it took, as one line of JSON. Started
// by bench/delta.ts. Usage: node delta-once.ts create|apply FORMAT SOURCE TARGET PATCH [MEMORY_BYTES]
import { createHash } from "node:crypto";
import fs from "node:fs";
import { applyPatch, createPatch } from "../src/delta/index.ts";
import { AppError } from "../src/kernel/index.ts";
import type { ArtifactFormat } from "../src/protocol/index.ts";
import { memoryKbOf } from "./process-figures.ts";

/** Short runs are repeated, so that the loops run as compiled as they do in a longer one. */
const SHORTEST_MS = 500;
const MAX_RUNS = 40;
const HASHED_BYTES = 64 * 1024;

/** What bench/delta.ts takes for "gains nothing for this pair". */
const POINTLESS_STATUS = 3;

const [mode, format, source, target, patch, memory] = process.argv.slice(2) as [
  "create" | "apply",
  ArtifactFormat,
  string,
  string,
  string,
  string | undefined,
];
const targetSizeBytes = fs.statSync(target).size;
const before = process.memoryUsage.rss();
try {
  if (mode === "create") await create();
  else await apply();
} catch (error) {
  if (!(error instanceof AppError) || error.code !== "delta-pointless") throw error;
  process.exitCode = POINTLESS_STATUS;
}

async function create(): Promise<void> {
  const started = cpuMs();
  const chunks = createPatch({
    format,
    source: fs.readFileSync(source),
    target: fs.createReadStream(target),
    targetSizeBytes,
    memoryBytes: memory ? Number(memory) : undefined,
  });
  await fs.promises.writeFile(patch, chunks);
  print([cpuMs() - started]);
}

async function apply(): Promise<void> {
  const file = fs.openSync(source, "r");
  const wanted = hashOf(target);
  const times: number[] = [];
  const begun = performance.now();
  while (
    times.length < MAX_RUNS &&
    (times.length === 0 || performance.now() - begun < SHORTEST_MS)
  ) {
    const hash = createHash("sha256");
    const started = cpuMs();
    await applyPatch({
      format,
      source: {
        sizeBytes: fs.fstatSync(file).size,
        async read(offset, length, bytes = Buffer.alloc(length)) {
          return bytes.subarray(0, fs.readSync(file, bytes, 0, length, offset));
        },
      },
      patch: fs.createReadStream(patch),
      expectedSizeBytes: targetSizeBytes,
      maxMemoryBytes: Number.MAX_SAFE_INTEGER,
      write: async (chunk) => void hash.update(chunk),
    });
    times.push(cpuMs() - started);
    if (hash.digest("hex") !== wanted) throw new Error(`${format} rebuilds another image`);
  }
  fs.closeSync(file);
  print(times);
}

/** Read into one buffer: a whole image, or garbage of its parts, would count as memory that applying took. */
function hashOf(image: string): string {
  const hash = createHash("sha256");
  const file = fs.openSync(image, "r");
  const room = Buffer.alloc(HASHED_BYTES);
  for (let length = fs.readSync(file, room); length > 0; length = fs.readSync(file, room)) {
    hash.update(room.subarray(0, length));
  }
  fs.closeSync(file);
  return hash.digest("hex");
}

function print(times: number[]): void {
  const ordered = times.toSorted((a, b) => a - b);
  const cpu = ordered[Math.floor(ordered.length / 2)] as number;
  // What getrusage(2) calls the maximum begins, across execve(2), with that of whoever started us.
  const growthBytes = memoryKbOf(process.pid, "peak") * 1024 - before;
  console.log(JSON.stringify({ cpuMs: cpu, firstCpuMs: times[0], growthBytes }));
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
