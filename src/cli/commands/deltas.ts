import { createHash } from "node:crypto";
import fs from "node:fs";
import type { Command } from "commander";
import type { ArtifactFormat } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { openImage } from "../document-files.ts";
import { bytes, facts } from "../output.ts";

interface ApplyOptions extends CommonOptions {
  format: string;
  size?: number;
  memory: number;
  sha256?: string;
}

const MAX_IMAGE_BYTES = 2 * 1024 ** 3;
const HEADER_BYTES = 18;

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
    .option("--format <format>", "full, full-zstd or zstd-patch", "zstd-patch")
    .option("--memory <bytes>", "memory that applying may take", memory, 1024 ** 3)
    .action((...[old, target, patch, options]: [string, string, string, ApplyOptions]) =>
      create(cli, old, target, patch, options),
    );

  leaf(delta, {
    usage: "apply <old> <patch> <new>",
    summary: "rebuild the new image from the old one and a patch",
    example: "vautn delta apply hub-2.3.bin hub.patch hub-2.4.bin",
    data: true,
  })
    .option("--format <format>", "full, full-zstd or zstd-patch", "zstd-patch")
    .option("--size <bytes>", "size of the new image (default: what the patch says)", size)
    .option("--sha256 <hex>", "hash that the new image must have")
    .option("--memory <bytes>", "memory that applying may take", memory, 1024 ** 3)
    .action(async (old: string, patch: string, target: string, options: ApplyOptions) => {
      const started = performance.now();
      const made = await apply(old, patch, target, options);
      const data = { ...made, seconds: secondsSince(started), peakMemoryBytes: peakMemory() };
      cli.print(options, data, () =>
        facts([
          ["image", `${target}, ${bytes(data.sizeBytes)}`],
          ["sha256", data.sha256],
          ["time", `${data.seconds} s`],
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
    const head = readHead(requireFile(patch));
    const info = { sizeBytes: fs.statSync(patch).size, ...patchInfo(head) };
    cli.print(options, info, () =>
      facts([
        ["size", bytes(info.sizeBytes)],
        ["may be", info.formats.join(", ")],
        ["makes", bytes(info.targetSizeBytes)],
        ["window", bytes(info.windowBytes)],
      ]),
    );
  });
}

const memory = wholeNumber("--memory", 0, 64 * 1024 ** 3);
const size = wholeNumber("--size", 0, MAX_IMAGE_BYTES);

async function create(
  cli: Cli,
  old: string,
  target: string,
  patch: string,
  options: ApplyOptions,
): Promise<void> {
  const { createPatch, memoryToApply } = await import("../../delta/index.ts");
  const format = await formatOf(options.format);
  const source = fs.readFileSync(requireFile(old));
  const targetSizeBytes = fs.statSync(requireFile(target)).size;
  const started = performance.now();
  const output = fs.createWriteStream(patch);
  const chunks = createPatch({ format, source, target: openImage(target), targetSizeBytes });
  for await (const chunk of chunks) {
    if (!output.write(chunk)) await new Promise((resolve) => output.once("drain", resolve));
  }
  await new Promise<void>((resolve, reject) => {
    output.once("error", reject);
    output.end(resolve);
  });
  const seconds = secondsSince(started);
  const proof = `${patch}.${process.pid}.proof`;
  const wanted = await hashFile(target);
  try {
    const checked = { ...options, size: targetSizeBytes, sha256: wanted };
    await apply(old, patch, proof, checked);
  } finally {
    fs.rmSync(proof, { force: true });
  }
  const sizeBytes = fs.statSync(patch).size;
  const data = {
    patch,
    format,
    sourceSizeBytes: source.length,
    targetSizeBytes,
    sizeBytes,
    ratio: targetSizeBytes === 0 ? 0 : sizeBytes / targetSizeBytes,
    seconds,
    memoryToApplyBytes: memoryToApply(format, { sourceSizeBytes: source.length, targetSizeBytes }),
    peakMemoryBytes: peakMemory(),
    verified: true,
  };
  cli.print(options, data, () =>
    facts([
      ["patch", `${patch}, ${bytes(sizeBytes)}`],
      ["of the image", `${(data.ratio * 100).toFixed(2)} %`],
      ["time", `${seconds} s`],
      ["to apply", `${bytes(data.memoryToApplyBytes)} of memory`],
    ]),
  );
}

async function apply(old: string, patch: string, target: string, options: ApplyOptions) {
  const { applyPatch, patchInfo } = await import("../../delta/index.ts");
  const format = await formatOf(options.format);
  const source = fs.openSync(requireFile(old), "r");
  const head = readHead(requireFile(patch));
  const temporary = `${target}.${process.pid}.tmp`;
  const output = fs.openSync(temporary, "w");
  const hash = createHash("sha256");
  let written = 0;
  try {
    const expected = options.size ?? patchInfo(head).targetSizeBytes ?? fs.statSync(patch).size;
    if (expected > MAX_IMAGE_BYTES) throw new CliError("the patch makes an image above 2 GiB");
    await applyPatch({
      format,
      source: {
        sizeBytes: fs.fstatSync(source).size,
        async read(offset, length) {
          const chunk = Buffer.alloc(length);
          return chunk.subarray(0, fs.readSync(source, chunk, 0, length, offset));
        },
      },
      patch: openImage(patch),
      expectedSizeBytes: expected,
      maxMemoryBytes: options.memory,
      async write(chunk) {
        hash.update(chunk);
        written += fs.writeSync(output, chunk);
      },
    });
    const sha256 = hash.digest("hex");
    if (options.sha256 && sha256 !== options.sha256) {
      throw new CliError(`the patch rebuilt another image: ${sha256}`);
    }
    fs.renameSync(temporary, target);
    return { image: target, sizeBytes: written, sha256 };
  } finally {
    fs.closeSync(source);
    fs.closeSync(output);
    fs.rmSync(temporary, { force: true });
  }
}

async function formatOf(text: string): Promise<ArtifactFormat> {
  const { ARTIFACT_FORMATS } = await import("../../protocol/index.ts");
  const found = ARTIFACT_FORMATS.find((format) => format === text);
  if (found) return found;
  throw misuse(`--format is one of ${ARTIFACT_FORMATS.join(", ")}, not "${text}"`);
}

function requireFile(file: string): string {
  if (!fs.existsSync(file)) throw misuse(`${file} is no file`);
  return file;
}

function readHead(file: string): Uint8Array {
  const head = Buffer.alloc(HEADER_BYTES);
  const handle = fs.openSync(file, "r");
  try {
    return head.subarray(0, fs.readSync(handle, head));
  } finally {
    fs.closeSync(handle);
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
