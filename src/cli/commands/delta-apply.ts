import { createHash, type Hash } from "node:crypto";
import fs from "node:fs";
import type { PatchCheckpoint } from "../../delta/index.ts";
import type { ArtifactFormat } from "../../protocol/index.ts";
import type { CommonOptions } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { openImage } from "../document-files.ts";

export interface ApplyOptions extends CommonOptions {
  format?: string;
  size?: number;
  memory: number;
  sha256?: string;
  resume?: boolean;
}

export interface Applied {
  image: string;
  sizeBytes: number;
  sha256: string;
  /** Bytes that an earlier run had written; 0 for a fresh one. */
  resumedAtBytes: number;
}

export const MAX_IMAGE_BYTES = 2 * 1024 ** 3;
/** Between two checkpoints: so much is made again at most after a power cut. */
const CHECKPOINT_BYTES = 4 * 1024 ** 2;
const READ_BYTES = 1024 ** 2;

/** Rebuilds an image beside its place, and puts it there only when it is whole and right. */
export async function applyToFile(
  old: string,
  patch: string,
  target: string,
  options: ApplyOptions,
): Promise<Applied> {
  const { applyPatch, patchInfo } = await import("../../delta/index.ts");
  const source = fs.openSync(requireFile(old), "r");
  let output: Output | undefined;
  try {
    const head = await readHead(requireFile(patch));
    const format = await formatOf(options.format ?? formatOfHead(patchInfo(head)));
    const expected = options.size ?? patchInfo(head).targetSizeBytes ?? fs.statSync(patch).size;
    if (expected > MAX_IMAGE_BYTES) throw new CliError("the patch makes an image above 2 GiB");
    output = new Output(target, options.resume ?? false);
    const { checkpoint } = output;
    await applyPatch({
      format,
      source: {
        sizeBytes: fs.fstatSync(source).size,
        async read(offset, length, chunk = Buffer.alloc(length)) {
          return chunk.subarray(0, fs.readSync(source, chunk, 0, length, offset));
        },
      },
      patch: openImage(patch),
      expectedSizeBytes: expected,
      maxMemoryBytes: options.memory,
      resumeFrom: checkpoint,
      write: output.write,
      onCheckpoint: output.keep,
    });
    const sha256 = output.finish(options.sha256);
    const resumedAtBytes = checkpoint?.writtenBytes ?? 0;
    return { image: target, sizeBytes: expected, sha256, resumedAtBytes };
  } finally {
    fs.closeSync(source);
    output?.close();
  }
}

/** A file that grows beside its place; with `isKept` what is safely in it outlives a failure. */
class Output {
  readonly checkpoint: PatchCheckpoint | undefined;
  readonly #target: string;
  readonly #temporary: string;
  readonly #isKept: boolean;
  readonly #file: number;
  readonly #hash: Hash = createHash("sha256");
  #written = 0;
  #checkpointed = 0;
  #isWhole = false;

  constructor(target: string, isKept: boolean) {
    this.#target = target;
    this.#isKept = isKept;
    this.#temporary = isKept ? `${target}.part` : `${target}.${process.pid}.tmp`;
    this.checkpoint = isKept ? readCheckpoint(this.#record, this.#temporary) : undefined;
    this.#file = fs.openSync(this.#temporary, this.checkpoint ? "r+" : "w");
    this.#written = this.checkpoint?.writtenBytes ?? 0;
    this.#checkpointed = this.#written;
    // What was written behind the checkpoint may be torn.
    fs.ftruncateSync(this.#file, this.#written);
    for (let at = 0; at < this.#written; ) {
      const part = Buffer.alloc(Math.min(READ_BYTES, this.#written - at));
      at += fs.readSync(this.#file, part, 0, part.length, at);
      this.#hash.update(part);
    }
  }

  get #record(): string {
    return `${this.#temporary}.json`;
  }

  write = async (chunk: Uint8Array): Promise<void> => {
    this.#hash.update(chunk);
    for (let done = 0; done < chunk.length; ) {
      done += fs.writeSync(this.#file, chunk, done, chunk.length - done, this.#written + done);
    }
    this.#written += chunk.length;
  };

  keep = (checkpoint: PatchCheckpoint): void => {
    const isDue = checkpoint.writtenBytes - this.#checkpointed >= CHECKPOINT_BYTES;
    if (!this.#isKept || !isDue) return;
    this.#checkpointed = checkpoint.writtenBytes;
    // The bytes are safe before the record says so; the record is replaced as a whole.
    fs.fsyncSync(this.#file);
    fs.writeFileSync(`${this.#record}.new`, JSON.stringify(checkpoint), { flush: true });
    fs.renameSync(`${this.#record}.new`, this.#record);
  };

  /** Puts the image into its place. */
  finish(wanted: string | undefined): string {
    const sha256 = this.#hash.digest("hex");
    if (wanted && sha256 !== wanted) {
      this.#discard();
      throw new CliError(`the patch rebuilt another image: ${sha256}`);
    }
    if (this.#isKept) fs.fsyncSync(this.#file);
    fs.renameSync(this.#temporary, this.#target);
    fs.rmSync(this.#record, { force: true });
    this.#isWhole = true;
    return sha256;
  }

  #discard(): void {
    for (const file of [this.#temporary, this.#record]) fs.rmSync(file, { force: true });
  }

  close(): void {
    fs.closeSync(this.#file);
    if (!this.#isWhole && !this.#isKept) this.#discard();
  }
}

/** Where an earlier run was cut off, or undefined where there was none or its bytes are gone. */
function readCheckpoint(record: string, part: string): PatchCheckpoint | undefined {
  if (!fs.existsSync(record) || !fs.existsSync(part)) return undefined;
  let found: unknown;
  try {
    found = JSON.parse(fs.readFileSync(record, "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { writtenBytes, checksum } = (found ?? {}) as Partial<PatchCheckpoint>;
  const isUsable = isCount(writtenBytes) && isCount(checksum);
  if (!isUsable) throw new CliError(`${record} is no checkpoint: remove it to begin anew`);
  return fs.statSync(part).size < writtenBytes ? undefined : { writtenBytes, checksum };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A zstd frame does not say whether it needs the old image; with it, both kinds are read. */
function formatOfHead({ formats }: { formats: string[] }): string {
  return formats.at(-1) as string;
}

export async function formatOf(text: string): Promise<ArtifactFormat> {
  const { ARTIFACT_FORMATS } = await import("../../protocol/index.ts");
  const found = ARTIFACT_FORMATS.find((format) => format === text);
  if (found) return found;
  throw misuse(`--format is one of ${ARTIFACT_FORMATS.join(", ")}, not "${text}"`);
}

export function requireFile(file: string): string {
  if (!fs.existsSync(file)) throw misuse(`${file} is no file`);
  return file;
}

export async function readHead(file: string): Promise<Uint8Array> {
  const { PATCH_HEAD_BYTES } = await import("../../delta/index.ts");
  const head = Buffer.alloc(PATCH_HEAD_BYTES);
  const handle = fs.openSync(file, "r");
  try {
    return head.subarray(0, fs.readSync(handle, head));
  } finally {
    fs.closeSync(handle);
  }
}
