// How small are the updates, and what do they take to make and apply? Over pairs of firmware, each of our formats, and the smallest of them
// against the tools found here and the figures that lie beside the pairs (PEERS.json). Progress goes to standard error, every goal at the end.
// Usage: npm run bench:delta -- [DIR] [--only NAME,...] [--part 1/3] [--no-peers]
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { memoryToApply, PATCH_FORMATS, patchInfo } from "../src/delta/index.ts";
import type { ArtifactFormat } from "../src/protocol/index.ts";
import {
  type FirmwarePair,
  firmwarePairs,
  firmwarePairsIn,
} from "../test/support/firmware-pairs.ts";
import { type Made, type Measured, reportGoals } from "./delta-goals.ts";
import { HDIFF, installedPeers, type PairFiles, runPeer } from "./delta-peers.ts";
import { report } from "./report.ts";

interface Way {
  name: string;
  format: ArtifactFormat;
  memoryBytes?: number;
}

/** What is made of each pair; the portfolio is the smallest of those without `memoryBytes`. */
const WAYS: readonly Way[] = [
  ...(Object.keys(PATCH_FORMATS) as ArtifactFormat[])
    .filter((format) => format !== "full")
    .map((format) => ({ name: format, format })),
  { name: "vdelta-small 64K", format: "vdelta-small", memoryBytes: 64 * 1024 },
];
/** With this status bench/delta-once.ts ends where a format gains nothing for a pair. */
const POINTLESS_STATUS = 3;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: "string" },
    part: { type: "string" },
    "no-peers": { type: "boolean" },
  },
});
const directory = positionals[0];
const pairs = chosen(directory ? firmwarePairsIn(directory) : firmwarePairs());
if (pairs.length === 0) {
  console.error("no pairs found: name a folder with <name>/old.* and <name>/new.*");
  process.exit(1);
}
const recorded = readRecorded(directory);
const peers = options["no-peers"] ? [] : installedPeers();
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
const started = performance.now();
const steps = pairs.length * (peers.length + WAYS.length);
let step = 0;
try {
  reportGoals(pairs.map(measure));
} finally {
  fs.rmSync(scratch, { recursive: true, force: true });
}

function measure(pair: FirmwarePair): Measured {
  const newBytes = pair.target.length;
  const files = {
    source: path.join(scratch, "old"),
    target: path.join(scratch, "new"),
    patch: path.join(scratch, "patch"),
  };
  fs.writeFileSync(files.source, pair.source);
  fs.writeFileSync(files.target, pair.target);
  const theirs = peers.flatMap((peer) => {
    announce(pair.name, peer.name);
    return runPeer(peer, { ...files, patch: path.join(scratch, "their-patch") }) ?? [];
  });
  for (const { name, sizeBytes, cpuMs } of theirs) {
    const line = `delta/${pair.name}/${name}`;
    report(`${line}/size`, sizeBytes, "bytes", "new image", sizeBytes / newBytes);
    report(`${line}/create`, cpuMs as number, "ms");
  }
  const known = recorded[pair.name];
  if (known) theirs.push({ name: `${known.tool} (recorded)`, sizeBytes: known.best, cpuMs: null });
  const made = WAYS.flatMap((way) => {
    announce(pair.name, way.name);
    return make(pair, way, files) ?? [];
  });
  const measured = { name: pair.name, newBytes, made, theirs };
  reportPair(measured);
  return measured;
}

function reportPair({ name, newBytes, made, theirs }: Measured): void {
  const rival = theirs.toSorted((a, b) => a.sizeBytes - b.sizeBytes)[0];
  const hdiff = theirs.find((peer) => peer.name === HDIFF)?.cpuMs;
  for (const { name: way, sizeBytes, create, apply, announcedBytes } of made) {
    const line = `delta/${name}/${way}`;
    report(`${line}/size`, sizeBytes, "bytes", rival?.name, rival && sizeBytes / rival.sizeBytes);
    report(`${line}/create`, create.cpuMs, "ms", hdiff ? HDIFF : undefined, ratio(create, hdiff));
    const perByte = create.growthBytes / newBytes;
    report(`${line}/create-memory`, create.growthBytes, "bytes", "new image", perByte);
    report(`${line}/apply`, newBytes / 1e3 / apply.cpuMs, "MB/s");
    report(`${line}/apply-first`, newBytes / 1e3 / apply.firstCpuMs, "MB/s");
    const announced = apply.growthBytes / announcedBytes;
    report(`${line}/apply-memory`, apply.growthBytes, "bytes", "announced", announced);
  }
  const best = smallestOf(made);
  if (!best) return;
  const { sizeBytes } = best;
  const line = `delta/${name}/size`;
  report(line, sizeBytes, "bytes", `full image (${best.name})`, sizeBytes / newBytes);
  for (const peer of theirs) {
    report(line, sizeBytes, "bytes", peer.name, sizeBytes / peer.sizeBytes);
  }
}

function ratio({ cpuMs }: { cpuMs: number }, theirs: number | null | undefined) {
  return theirs ? cpuMs / theirs : undefined;
}

function smallestOf(made: readonly Made[]): Made | undefined {
  return made.filter((one) => one.isOffered).toSorted((a, b) => a.sizeBytes - b.sizeBytes)[0];
}

function make(pair: FirmwarePair, way: Way, files: PairFiles): Made | undefined {
  const { name, format, memoryBytes } = way;
  const create = once("create", way, files);
  if (!create) return undefined;
  const apply = once("apply", way, files);
  if (!apply) throw new Error(`${name}: apply says that it gains nothing`);
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

/** In a process of its own, so that what it takes is told apart from what this one holds. */
function once(mode: "create" | "apply", way: Way, files: PairFiles): Made["apply"] | undefined {
  const script = path.join(import.meta.dirname, "delta-once.ts");
  const memory = way.memoryBytes === undefined ? [] : [String(way.memoryBytes)];
  const { source, target, patch } = files;
  const done = spawnSync(
    process.execPath,
    [script, mode, way.format, source, target, patch, ...memory],
    { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
  );
  if (done.status === POINTLESS_STATUS) return undefined;
  if (done.status !== 0) throw new Error(`${way.name}: ${mode} failed`);
  return JSON.parse(done.stdout);
}

function announce(pair: string, what: string): void {
  const elapsed = ((performance.now() - started) / 1000).toFixed(0);
  step += 1;
  console.error(`[${step}/${steps}, ${elapsed} s] ${pair}: ${what}`);
}

/** The pairs of `--only`, and of those the share of `--part`. */
function chosen(all: FirmwarePair[]): FirmwarePair[] {
  const only = options.only?.split(",");
  const wanted = only ? all.filter(({ name }) => only.some((one) => name.startsWith(one))) : all;
  if (options.part === undefined) return wanted;
  const [part, parts] = options.part.split("/").map(Number);
  if (!part || !parts || part > parts) throw new Error("--part is like 2/3");
  return wanted.filter((_, index) => index % parts === part - 1);
}

function readRecorded(folder: string | undefined): Record<string, { best: number; tool: string }> {
  const file = folder && path.join(folder, "PEERS.json");
  return file && fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, "utf8")) : {};
}
