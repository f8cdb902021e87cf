// How small are the updates? Over pairs of firmware, each of our formats, and the smallest of them
// against the tools found here and the figures that lie beside the pairs. Usage: npm run bench:delta -- [DIR]
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {
  applyPatch,
  createPatch,
  memoryToApply,
  PATCH_FORMATS,
  patchInfo,
} from "../src/delta/index.ts";
import type { ArtifactFormat } from "../src/protocol/index.ts";
import {
  type FirmwarePair,
  firmwarePairs,
  firmwarePairsIn,
} from "../test/support/firmware-pairs.ts";

interface Peer {
  name: string;
  program: string;
  /** Arguments that make `patch` from `old` and `new`. */
  create(files: { source: string; target: string; patch: string }): string[];
}

const PEERS: Peer[] = [
  {
    name: "zstd -19 --patch-from",
    program: "zstd",
    create: ({ source, target, patch }) => [
      "-19",
      "-q",
      "-f",
      `--patch-from=${source}`,
      target,
      "-o",
      patch,
    ],
  },
  {
    name: "xdelta3 -9",
    program: "xdelta3",
    create: ({ source, target, patch }) => [
      "-9",
      "-S",
      "lzma",
      "-f",
      "-e",
      "-s",
      source,
      target,
      patch,
    ],
  },
  {
    name: "bsdiff",
    program: "bsdiff",
    create: ({ source, target, patch }) => [source, target, patch],
  },
  {
    name: "hdiffz -SD lzma2",
    program: "hdiffz",
    create: ({ source, target, patch }) => ["-SD", "-c-lzma2-9", "-f", source, target, patch],
  },
];

/** What is made of each pair; the portfolio is the smallest of those without `memoryBytes`. */
const WAYS: { name: string; format: ArtifactFormat; memoryBytes?: number }[] = [
  ...(Object.keys(PATCH_FORMATS) as ArtifactFormat[])
    .filter((format) => format !== "full")
    .map((format) => ({ name: format, format })),
  { name: "vdelta-small 64K", format: "vdelta-small", memoryBytes: 64 * 1024 },
];

interface Made {
  name: string;
  /** Whether every device of ours may be offered it. */
  isOffered: boolean;
  sizeBytes: number;
  createMs: number;
  applyMs: number;
  memoryBytes: number;
}

const PORTFOLIO = "vautn, the smallest";
const directory = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
const pairs = directory ? firmwarePairsIn(directory) : firmwarePairs();
if (pairs.length === 0) {
  console.error("no pairs found: name a folder with <name>/old.* and <name>/new.*");
  process.exit(1);
}
const recorded = readRecorded(directory);
const peers = PEERS.filter((peer) => isInstalled(peer));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
const ratios = new Map<string, number[]>();
try {
  for (const pair of pairs) await measure(pair);
  for (const [against, values] of ratios) {
    const mean = geometricMean(values);
    report("delta/geometric-mean", mean * 100, "% of the new image", against, ratioOf(against));
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}

async function measure(pair: FirmwarePair): Promise<void> {
  const newBytes = pair.target.length;
  const name = `delta/${pair.name}`;
  const known = recorded[pair.name];
  const best = { name: "", sizeBytes: Number.POSITIVE_INFINITY };
  for (const way of WAYS) {
    const made = await make(pair, way);
    const { sizeBytes } = made;
    remember(made.name, sizeBytes / newBytes);
    if (made.isOffered && sizeBytes < best.sizeBytes) Object.assign(best, made);
    const against = known ? `${known.tool} (recorded)` : "full image";
    const ratio = sizeBytes / (known?.best ?? newBytes);
    report(`${name}/${made.name}/size`, sizeBytes, "bytes", against, ratio);
    report(`${name}/${made.name}/create`, made.createMs, "ms");
    report(`${name}/${made.name}/apply`, newBytes / 1e3 / made.applyMs, "MB/s");
    report(`${name}/${made.name}/apply-memory`, made.memoryBytes, "bytes");
  }
  const { sizeBytes } = best;
  remember(PORTFOLIO, sizeBytes / newBytes);
  report(`${name}/size`, sizeBytes, "bytes", `full image (${best.name})`, sizeBytes / newBytes);
  for (const peer of peers) {
    const theirs = runPeer(peer, pair);
    if (theirs === undefined) continue;
    remember(peer.name, theirs / newBytes);
    report(`${name}/size`, sizeBytes, "bytes", peer.name, sizeBytes / theirs);
  }
  if (known) {
    remember("best recorded peer", known.best / newBytes);
    const against = `${known.tool} (recorded)`;
    report(`${name}/size`, sizeBytes, "bytes", against, sizeBytes / known.best);
  }
}

async function make(pair: FirmwarePair, way: (typeof WAYS)[number]): Promise<Made> {
  const { source, target } = pair;
  const { name, format, memoryBytes } = way;
  let started = performance.now();
  const chunks: Uint8Array[] = [];
  const whole = (async function* () {
    yield target;
  })();
  for await (const chunk of createPatch({
    format,
    source,
    target: whole,
    targetSizeBytes: target.length,
    memoryBytes,
  })) {
    chunks.push(chunk);
  }
  const createMs = performance.now() - started;
  const patch = Buffer.concat(chunks);
  started = performance.now();
  const rebuilt = createHash("sha256");
  await applyPatch({
    format,
    source: { sizeBytes: source.length, read: async (at, n) => source.subarray(at, at + n) },
    patch: (async function* () {
      yield patch;
    })(),
    expectedSizeBytes: target.length,
    maxMemoryBytes: Number.MAX_SAFE_INTEGER,
    write: async (chunk) => void rebuilt.update(chunk),
  });
  const applyMs = performance.now() - started;
  if (rebuilt.digest("hex") !== createHash("sha256").update(target).digest("hex")) {
    throw new Error(`${name} does not rebuild ${pair.name}`);
  }
  const { vdelta, windowBytes } = patchInfo(patch);
  const sizes = { sourceSizeBytes: source.length, targetSizeBytes: target.length };
  return {
    name,
    isOffered: memoryBytes === undefined,
    sizeBytes: patch.length,
    createMs,
    applyMs,
    memoryBytes: vdelta ? windowBytes : memoryToApply(format, sizes),
  };
}

function isInstalled(peer: Peer): boolean {
  // Some print a usage text and fail; what counts is that they can be started.
  const there = spawnSync(peer.program, ["--version"], { stdio: "ignore" }).error === undefined;
  if (!there) console.error(`skipped ${peer.name}: ${peer.program} is not on the PATH`);
  return there;
}

function runPeer(peer: Peer, pair: FirmwarePair): number | undefined {
  const file = (name: string) => path.join(scratch, name);
  const files = { source: file("old"), target: file("new"), patch: file("patch") };
  fs.writeFileSync(files.source, pair.source);
  fs.writeFileSync(files.target, pair.target);
  const { status } = spawnSync(peer.program, peer.create(files), { stdio: "ignore" });
  if (status !== 0) {
    console.error(`skipped ${peer.name} for ${pair.name}: it ended with status ${status}`);
    return undefined;
  }
  return fs.statSync(files.patch).size;
}

function readRecorded(folder: string | undefined): Record<string, { best: number; tool: string }> {
  const file = folder && path.join(folder, "PEERS.json");
  return file && fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : {};
}

function remember(against: string, ratio: number): void {
  ratios.set(against, [...(ratios.get(against) ?? []), ratio]);
}

function geometricMean(values: number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** Our geometric mean by theirs, over the pairs that both have. */
function ratioOf(against: string): number | undefined {
  const [ours, theirs] = [ratios.get(PORTFOLIO), ratios.get(against)];
  if (against === PORTFOLIO || !ours || ours.length !== theirs?.length) return undefined;
  return geometricMean(ours) / geometricMean(theirs);
}

function report(name: string, value: number, unit: string, against?: string, ratio?: number): void {
  const rounded = (number: number) => Number(number.toPrecision(5));
  console.log(
    JSON.stringify({
      name,
      value: rounded(value),
      unit,
      ratio: ratio === undefined ? null : rounded(ratio),
      against: against ?? null,
    }),
  );
}
