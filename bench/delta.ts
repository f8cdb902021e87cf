// How small are the updates, and what do they take to make and apply? Over pairs of firmware, each of our formats, and the smallest of them
// against the tools found here and the figures that lie beside the pairs. Usage: npm run bench:delta -- [DIR]
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { memoryToApply, PATCH_FORMATS, patchInfo } from "../src/delta/index.ts";
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

/** The shell's own `time` counts the processor time of what it started. */
const TIMED = 'TIMEFORMAT="%U %S"; time "$0" "$@" >/dev/null 2>/dev/null';

interface Made {
  name: string;
  /** Whether every device of ours may be offered it. */
  isOffered: boolean;
  sizeBytes: number;
  create: Took;
  apply: Took;
  /** Memory that the patch announces. */
  announcedBytes: number;
}

/** What bench/delta-once.ts says; processor time, and by how much its process grew. */
interface Took {
  cpuMs: number;
  /** Of the first run in a new process, before the loops are compiled. */
  firstCpuMs: number;
  growthBytes: number;
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
    if (against.endsWith("by the best peer of each pair")) {
      report(`delta/geometric-mean/${against}`, mean, "ratio");
      report(`delta/largest/${against}`, Math.max(...values), "ratio");
      continue;
    }
    report("delta/geometric-mean", mean * 100, "% of the new image", against, ratioOf(against));
  }
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}

async function measure(pair: FirmwarePair): Promise<void> {
  const newBytes = pair.target.length;
  const name = `delta/${pair.name}`;
  const known = recorded[pair.name];
  const files = {
    source: scratchFile("old"),
    target: scratchFile("new"),
    patch: scratchFile("patch"),
  };
  fs.writeFileSync(files.source, pair.source);
  fs.writeFileSync(files.target, pair.target);
  const theirs = peers.flatMap((peer) => runPeer(peer, pair, files) ?? []);
  if (known) theirs.push({ name: `${known.tool} (recorded)`, sizeBytes: known.best, cpuMs: 0 });
  const rival = theirs.toSorted((a, b) => a.sizeBytes - b.sizeBytes)[0];
  const hdiff = theirs.find((peer) => peer.name.startsWith("hdiffz"));
  const best = { name: "", sizeBytes: Number.POSITIVE_INFINITY };
  for (const way of WAYS) {
    const made = make(pair, way, files);
    const { sizeBytes, create, apply } = made;
    remember(made.name, sizeBytes / newBytes);
    if (rival) remember(`${made.name} by the best peer of each pair`, sizeBytes / rival.sizeBytes);
    if (made.isOffered && sizeBytes < best.sizeBytes) Object.assign(best, made);
    const line = `${name}/${made.name}`;
    report(`${line}/size`, sizeBytes, "bytes", rival?.name, rival && sizeBytes / rival.sizeBytes);
    report(`${line}/create`, create.cpuMs, "ms", hdiff?.name, hdiff && create.cpuMs / hdiff.cpuMs);
    const perByte = create.growthBytes / newBytes;
    report(`${line}/create-memory`, create.growthBytes, "bytes", "new image", perByte);
    report(`${line}/apply`, newBytes / 1e3 / apply.cpuMs, "MB/s");
    report(`${line}/apply-first`, newBytes / 1e3 / apply.firstCpuMs, "MB/s");
    const announced = apply.growthBytes / made.announcedBytes;
    report(`${line}/apply-memory`, apply.growthBytes, "bytes", "announced", announced);
  }
  const { sizeBytes } = best;
  remember(PORTFOLIO, sizeBytes / newBytes);
  if (rival) remember(`${PORTFOLIO} by the best peer of each pair`, sizeBytes / rival.sizeBytes);
  report(`${name}/size`, sizeBytes, "bytes", `full image (${best.name})`, sizeBytes / newBytes);
  for (const peer of theirs) {
    remember(
      peer.name.endsWith("(recorded)") ? "best recorded peer" : peer.name,
      peer.sizeBytes / newBytes,
    );
    report(`${name}/size`, sizeBytes, "bytes", peer.name, sizeBytes / peer.sizeBytes);
  }
}

function make(pair: FirmwarePair, way: (typeof WAYS)[number], files: Files): Made {
  const { name, format, memoryBytes } = way;
  const create = once("create", way, files);
  const apply = once("apply", way, files);
  const patch = fs.readFileSync(files.patch);
  const { vdelta, windowBytes } = patchInfo(patch);
  const sizes = { sourceSizeBytes: pair.source.length, targetSizeBytes: pair.target.length };
  return {
    name,
    isOffered: memoryBytes === undefined,
    sizeBytes: patch.length,
    create,
    apply,
    announcedBytes: vdelta ? windowBytes : memoryToApply(format, sizes),
  };
}

interface Files {
  source: string;
  target: string;
  patch: string;
}

function scratchFile(name: string): string {
  return path.join(scratch, name);
}

/** In a process of its own, so that what it takes is told apart from what this one holds. */
function once(mode: "create" | "apply", way: (typeof WAYS)[number], files: Files): Took {
  const script = path.join(import.meta.dirname, "delta-once.ts");
  const memory = way.memoryBytes === undefined ? [] : [String(way.memoryBytes)];
  const { source, target, patch } = files;
  const done = spawnSync(
    process.execPath,
    [script, mode, way.format, source, target, patch, ...memory],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  if (done.status !== 0) throw new Error(`${way.name}: ${mode} failed`);
  return JSON.parse(done.stdout);
}

function isInstalled(peer: Peer): boolean {
  // Some print a usage text and fail; what counts is that they can be started.
  const there = spawnSync(peer.program, ["--version"], { stdio: "ignore" }).error === undefined;
  if (!there) console.error(`skipped ${peer.name}: ${peer.program} is not on the PATH`);
  return there;
}

interface Theirs {
  name: string;
  sizeBytes: number;
  cpuMs: number;
}

function runPeer(peer: Peer, pair: FirmwarePair, files: Files): Theirs | undefined {
  const patch = scratchFile("their-patch");
  const done = spawnSync("bash", ["-c", TIMED, peer.program, ...peer.create({ ...files, patch })], {
    encoding: "utf8",
  });
  if (done.status !== 0) {
    console.error(`skipped ${peer.name} for ${pair.name}: it ended with status ${done.status}`);
    return undefined;
  }
  const [user, system] = done.stderr.trim().split(" ").map(Number) as [number, number];
  const cpuMs = (user + system) * 1000;
  const { size } = fs.statSync(patch);
  report(
    `delta/${pair.name}/${peer.name}/size`,
    size,
    "bytes",
    "new image",
    size / pair.target.length,
  );
  report(`delta/${pair.name}/${peer.name}/create`, cpuMs, "ms");
  return { name: peer.name, sizeBytes: size, cpuMs };
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
