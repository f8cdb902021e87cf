import fs, { type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";

/** What one read of a file takes, and one write to a connection. */
export const BLOCK_BYTES = 256 * 1024;
/** Kept at most: a rollout's patches, or an image of an embedded Linux. */
const MAX_KEPT_BYTES = 128 * 1024 ** 2;

/**
 * Blocks of files that were read lately. A stage of a rollout makes thousands of devices fetch the
 * same bytes within minutes, and a read costs a multiple of encrypting what was read. A block is
 * never written to once it is here: all who send it send the same memory.
 */
export class RecentBlocks {
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #blocks = new Map<string, { bytes: number; content: Promise<Buffer> }>();
  #bytes = 0;

  constructor(maxBytes: number = MAX_KEPT_BYTES) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes `start` to `end` of the file, both included. `name` stands for its content for good. */
  stream(
    file: { name: string; path: string; sizeBytes: number },
    { start, end }: { start: number; end: number },
  ): Readable {
    return new BlockStream(start, end, (index, handle) => this.#block(file, index, handle));
  }

  forget(name: string): void {
    for (const key of this.#blocks.keys()) if (key.startsWith(`${name}/`)) this.#drop(key);
  }

  #block(
    file: { name: string; path: string; sizeBytes: number },
    index: number,
    handle: HandleSource,
  ): Promise<Buffer> {
    const key = `${file.name}/${index}`;
    const kept = this.#blocks.get(key);
    if (kept) {
      this.#blocks.delete(key);
      this.#blocks.set(key, kept);
      return kept.content;
    }
    const bytes = Math.min(BLOCK_BYTES, file.sizeBytes - index * BLOCK_BYTES);
    const content = readBlock(handle(file.path), index * BLOCK_BYTES, bytes);
    this.#blocks.set(key, { bytes, content });
    this.#bytes += bytes;
    content.catch(() => {
      if (this.#blocks.get(key)?.content === content) this.#drop(key);
    });
    for (const oldest of this.#blocks.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#drop(oldest);
    }
    return content;
  }

  #drop(key: string): void {
    this.#bytes -= this.#blocks.get(key)?.bytes ?? 0;
    this.#blocks.delete(key);
  }
}

type HandleSource = (path: string) => Promise<FileHandle>;

async function readBlock(opened: Promise<FileHandle>, at: number, bytes: number): Promise<Buffer> {
  const handle = await opened;
  const block = Buffer.allocUnsafeSlow(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await handle.read(block, filled, bytes - filled, at + filled);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${at + filled}`);
    filled += bytesRead;
  }
  return block;
}

class BlockStream extends Readable {
  /** As `fs.ReadStream` has it. */
  bytesRead = 0;
  #at: number;
  readonly #end: number;
  readonly #block: (index: number, handle: HandleSource) => Promise<Buffer>;
  #handle: Promise<FileHandle> | undefined;
  #reading: Promise<unknown> | undefined;

  constructor(
    start: number,
    end: number,
    block: (index: number, handle: HandleSource) => Promise<Buffer>,
  ) {
    super({ highWaterMark: BLOCK_BYTES });
    this.#at = start;
    this.#end = end;
    this.#block = block;
  }

  override _read(): void {
    if (this.#at > this.#end) {
      this.push(null);
      return;
    }
    const index = Math.floor(this.#at / BLOCK_BYTES);
    const open: HandleSource = (path) => {
      this.#handle ??= fs.open(path);
      return this.#handle;
    };
    this.#reading = this.#block(index, open).then(
      (block) => {
        const from = this.#at - index * BLOCK_BYTES;
        const part = block.subarray(
          from,
          Math.min(block.length, this.#end + 1 - index * BLOCK_BYTES),
        );
        this.#at += part.length;
        this.bytesRead += part.length;
        this.push(part);
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Others may wait for the block that is being read through this file.
    const close = async () => {
      await this.#reading;
      await (await this.#handle)?.close();
    };
    close().then(
      () => done(error),
      (failure: Error) => done(error ?? failure),
    );
  }
}
