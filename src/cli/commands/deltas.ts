import { createHash } from "node:crypto";
import fs from "node:fs";
import type { Command } from "commander";
import type { UnpackedInfo, VdeltaInfo } from "../../delta/index.ts";
import { AppError } from "../../kernel/errors.ts";
import type { ArtifactFormat } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { openImage } from "../document-files.ts";
import { bytes, facts } from "../output.ts";
import { progressBar } from "../progress-bar.ts";
import {
  type ApplyOptions,
  applyToFile,
  formatOf,
  MAX_IMAGE_BYTES,
  readHead,
  requireFile,
} from "./delta-apply.ts";

const FORMATS =
  "full, full-zstd, zstd-patch, vdelta-fast, vdelta-small, unpacked-fast or unpacked-small";

interface CreateOptions extends CommonOptions {
  format?: string;
  memory?: number;
}

const MAX_MEMORY_BYTES = 64 * 1024 ** 3;
/** What `create` chooses from. */
const PATCHES: readonly ArtifactFormat[] = [
  "zstd-patch",
  "vdelta-fast",
  "vdelta-small",
  "unpacked-fast",
  "unpacked-small",
];

/** The delta codec by itself, as the platform and the agent use it. */
export function deltaCommands(program: Command, cli: Cli): void {
  const delta = group(
    program,
    "delta",
    "binary patches between images",
    "vautn delta info hub.patch",
  );

  leaf(delta, {
    usage: "create <old> <new> <patch>",
    summary: "make the patch from one image to another, and prove it by applying it",
    example: "vautn delta create hub-2.3.bin hub-2.4.bin hub.patch --json",
    data: true,
  })
    .option("--format <format>", `${FORMATS}; each way is tried where none is named`)
    .option("--memory <bytes>", "what the device has for the model of a vdelta", memory)
    .action((...[old, target, patch, options]: [string, string, string, CreateOptions]) =>
      create(cli, old, target, patch, options),
    );

  leaf(delta, {
    usage: "apply <old> <patch> <new>",
    summary: "rebuild the new image from the old one and a patch",
    example: "vautn delta apply hub-2.3.bin hub.patch hub-2.4.bin",
    data: true,
  })
    .option("--format <format>", `${FORMATS} (default: what the patch says)`)
    .option("--size <bytes>", "size of the new image (default: what the patch says)", size)
    .option("--sha256 <hex>", "hash that the new image must have")
    .option("--memory <bytes>", "memory that applying may take", memory, 1024 ** 3)
    .option("--resume", "keep what was made when cut off, and go on from there the next time")
    .action(async (old: string, patch: string, target: string, options: ApplyOptions) => {
      const started = performance.now();
      const made = await applyToFile(old, patch, target, options);
      const data = { ...made, seconds: secondsSince(started), peakMemoryBytes: peakMemory() };
      cli.print(options, data, () =>
        facts([
          ["image", `${target}, ${bytes(data.sizeBytes)}`],
          ["sha256", data.sha256],
          ["time", `${data.seconds} s`],
          ...resumedFact(data.resumedAtBytes),
        ]),
      );
    });

  leaf(delta, {
    usage: "info <patch>",
    summary: "what the head of a patch tells",
    example: "vautn delta info hub.patch",
    data: true,
  }).action(async (patch: string, options: CommonOptions) => {
    const { patchInfo } = await import("../../delta/index.ts");
    const head = await readHead(requireFile(patch));
    const info = { sizeBytes: fs.statSync(patch).size, ...patchInfo(head) };
    cli.print(options, info, () =>
      facts([
        ["size", bytes(info.sizeBytes)],
        ["may be", info.formats.join(", ")],
        ["makes", bytes(info.targetSizeBytes)],
        ["memory", bytes(info.windowBytes)],
        ...vdeltaFacts(info.vdelta),
        ...unpackedFacts(info.unpacked),
      ]),
    );
  });
}

function resumedFact(resumedAtBytes: number): [string, string][] {
  return resumedAtBytes === 0 ? [] : [["went on from", bytes(resumedAtBytes)]];
}

function vdeltaFacts(info: VdeltaInfo | undefined): [string, string][] {
  if (!info) return [];
  return [
    ["coder", `${info.coder}, tables of ${info.profile}`],
    ["processor", info.architecture],
    ["old image", bytes(info.sourceSizeBytes)],
    ["steps", String(info.steps)],
    ["addresses", `${info.spaces} spaces in ${info.modules} modules`],
  ];
}

function unpackedFacts(info: UnpackedInfo | undefined): [string, string][] {
  if (!info) return [];
  const streams = info.streams.map(({ codec, count }) => `${count} ${codec}`).join(", ");
  return [
    ["unpacked", `${streams}; the new image comes to ${bytes(info.targetFormBytes)}`],
    ["list of them", bytes(info.recipeBytes)],
    ["the device needs", info.requires ?? "nothing else"],
  ];
}

const memory = wholeNumber("--memory", 0, MAX_MEMORY_BYTES);
const size = wholeNumber("--size", 0, MAX_IMAGE_BYTES);

async function create(
  cli: Cli,
  old: string,
  target: string,
  patch: string,
  options: CreateOptions,
): Promise<void> {
  const { memoryToApply, patchInfo } = await import("../../delta/index.ts");
  const formats = options.format ? [await formatOf(options.format)] : PATCHES;
  const sourceSizeBytes = fs.statSync(requireFile(old)).size;
  const targetSizeBytes = fs.statSync(requireFile(target)).size;
  const sha256 = await hashFile(target);
  const started = performance.now();
  const tries: { format: ArtifactFormat; file: string; sizeBytes: number }[] = [];
  try {
    for (const format of formats) {
      const file = `${patch}.${process.pid}.${format}`;
      const made = { format, file, sizeBytes: Number.POSITIVE_INFINITY };
      tries.push(made);
      const request = { old, target, file, format, memoryBytes: options.memory };
      const isMade = await write(cli, request, formats.length > 1);
      if (isMade) made.sizeBytes = fs.statSync(file).size;
    }
    const made = tries.filter(({ sizeBytes }) => Number.isFinite(sizeBytes));
    made.sort((left, right) => left.sizeBytes - right.sizeBytes);
    const { format, file, sizeBytes } = made[0] as (typeof made)[number];
    await prove(old, file, { format, size: targetSizeBytes, sha256 });
    fs.renameSync(file, patch);
    const info = patchInfo(await readHead(patch));
    const data = {
      patch,
      format,
      sourceSizeBytes,
      targetSizeBytes,
      sizeBytes,
      ratio: targetSizeBytes === 0 ? 0 : sizeBytes / targetSizeBytes,
      formats: made.map((each) => ({ format: each.format, sizeBytes: each.sizeBytes })),
      seconds: secondsSince(started),
      memoryToApplyBytes: info.vdelta
        ? info.windowBytes
        : memoryToApply(format, { sourceSizeBytes, targetSizeBytes }),
      unpacked: info.unpacked ?? null,
      peakMemoryBytes: peakMemory(),
      verified: true,
    };
    cli.print(options, data, () =>
      facts([
        ["patch", `${patch}, ${format}, ${bytes(sizeBytes)}`],
        ["of the image", `${(data.ratio * 100).toFixed(2)} %`],
        ["time", `${data.seconds} s`],
        ["to apply", `${bytes(data.memoryToApplyBytes)} of memory`],
        ...unpackedFacts(info.unpacked),
      ]),
    );
  } finally {
    for (const { file } of tries) fs.rmSync(file, { force: true });
  }
}

interface WriteRequest {
  old: string;
  target: string;
  file: string;
  format: ArtifactFormat;
  memoryBytes: number | undefined;
}

/** False where several formats are tried and this one gains nothing for these images. */
async function write(cli: Cli, request: WriteRequest, mayBePointless: boolean): Promise<boolean> {
  const { createPatch } = await import("../../delta/index.ts");
  const { old, target, file, format, memoryBytes } = request;
  const bar = await progressBar(cli, format);
  try {
    const chunks = createPatch({
      format,
      source: fs.readFileSync(old),
      target: openImage(target),
      targetSizeBytes: fs.statSync(target).size,
      memoryBytes,
      onProgress: bar.update,
    });
    await fs.promises.writeFile(file, chunks);
    return true;
  } catch (error) {
    const isPointless = error instanceof AppError && error.code === "delta-pointless";
    if (isPointless && mayBePointless) return false;
    throw error;
  } finally {
    bar.end();
  }
}

async function prove(
  old: string,
  patch: string,
  wanted: { format: string; size: number; sha256: string },
): Promise<void> {
  const proof = `${patch}.proof`;
  try {
    await applyToFile(old, patch, proof, { ...wanted, memory: MAX_MEMORY_BYTES });
  } finally {
    fs.rmSync(proof, { force: true });
  }
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of openImage(file)) hash.update(chunk as Uint8Array);
  return hash.digest("hex");
}

function secondsSince(started: number): number {
  return Math.round(performance.now() - started) / 1000;
}

/** Highest memory of this process so far, in bytes. */
function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}
