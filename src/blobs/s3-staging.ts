import { randomBytes } from "node:crypto";
import fs from "node:fs/promises";
import type { Readable } from "node:stream";
import { AppError, isUuid } from "../kernel/index.ts";
import { writeAll } from "../kernel/write-all.ts";
import { asStorageFull, assertRoom } from "./disk.ts";
import type { Staging, StagingWriter } from "./staging.ts";

/** What staging asks of the store; keys are below its own folder. */
export interface StagingStore {
  putFile(key: string, file: string): Promise<void>;
  open(key: string): Promise<Readable>;
  delete(key: string): Promise<void>;
  list(prefix: string): AsyncIterable<{ key: string; changedAt: number }>;
  /** To be called before something is written: the folder is there afterwards. */
  begin(): void;
  /** Name for a file of this machine. */
  temporaryPath(): string;
  /** Folder of such files. */
  directory: string;
}

/** A piece of an upload: an object of its own, which only its writer could name. */
interface Piece {
  start: number;
  size: number;
  mark: string;
}

/** Pieces that one upload may come in: at eight megabytes each, more than an image may have. */
const MAX_PIECES = 10_000;

/**
 * Content that arrives piece by piece, in the store that all API machines share: whichever of them the
 * next request comes to goes on. Which pieces count is the caller's `state`, which it keeps beside the
 * offset and as its one writer: what a writer that was overtaken still sends is in nobody's list.
 */
export class S3Staging implements Staging {
  /** Pieces are objects: by time alone a slow sender would make thousands. */
  readonly checkpointMs = Number.POSITIVE_INFINITY;
  readonly #store: StagingStore;

  constructor(store: StagingStore) {
    this.#store = store;
  }

  /** One piece at a time lies on this machine. */
  async assertRoom(sizeBytes: number): Promise<void> {
    this.#store.begin();
    return assertRoom(this.#store.directory, Math.min(sizeBytes, ROOM_BYTES));
  }

  async writer(id: string, offset: number, state: string | null): Promise<StagingWriter> {
    const kept = upTo(piecesOf(state), offset);
    this.#store.begin();
    const file = this.#store.temporaryPath();
    const handle = await fs.open(file, "wx", 0o600).catch((error) => {
      throw asStorageFull(error);
    });
    let start = offset;
    let size = 0;
    return {
      write: async (chunk) => {
        await writeAll(handle, chunk, size).catch((error) => {
          throw asStorageFull(error);
        });
        size += chunk.length;
      },
      sync: async () => {
        if (size > 0) {
          if (kept.length >= MAX_PIECES) throw tooMany();
          const piece = { start, size, mark: randomBytes(8).toString("hex") };
          await this.#store.putFile(keyOf(id, piece), file);
          kept.push(piece);
          await handle.truncate(0);
          start += size;
          size = 0;
        }
        return stateOf(kept);
      },
      close: async () => {
        await handle.close();
        await fs.rm(file, { force: true });
      },
    };
  }

  async *read(id: string, sizeBytes: number, state: string | null): AsyncGenerator<Uint8Array> {
    const pieces = piecesOf(state);
    const last = pieces.at(-1);
    if ((last ? last.start + last.size : 0) < sizeBytes) throw lost();
    for (const piece of pieces) {
      let left = Math.min(piece.size, sizeBytes - piece.start);
      for await (const chunk of await this.#open(id, piece)) {
        const part = (chunk as Buffer).subarray(0, left);
        left -= part.length;
        yield part;
        if (left === 0) break;
      }
      if (left > 0) throw lost();
    }
  }

  async remove(id: string): Promise<void> {
    const keys: string[] = [];
    for await (const { key } of this.#store.list(folderOf(id))) keys.push(key);
    for (const key of keys) await this.#store.delete(key);
  }

  async list(): Promise<{ id: string; changedAt: number }[]> {
    const found = new Map<string, number>();
    for await (const { key, changedAt } of this.#store.list(FOLDER)) {
      const id = key.slice(FOLDER.length).split("/", 1)[0] ?? "";
      if (isUuid(id)) found.set(id, Math.max(changedAt, found.get(id) ?? 0));
    }
    return [...found].map(([id, changedAt]) => ({ id, changedAt }));
  }

  async #open(id: string, piece: Piece): Promise<Readable> {
    try {
      return await this.#store.open(keyOf(id, piece));
    } catch (error) {
      if (error instanceof AppError && error.code === "not-found") throw lost();
      throw error;
    }
  }
}

const FOLDER = "uploads/";
/** A piece, with what comes in before it is cut off. */
const ROOM_BYTES = 64 * 1024 ** 2;

function folderOf(id: string): string {
  if (!isUuid(id)) throw new AppError("not-found", "there is no such upload");
  return `${FOLDER}${id.toLowerCase()}/`;
}

function keyOf(id: string, { start, mark }: Piece): string {
  return `${folderOf(id)}${String(start).padStart(16, "0")}-${mark}`;
}

/** Sizes and marks in their order; each piece begins where the one before it ends. */
function stateOf(pieces: readonly Piece[]): string {
  return pieces.map(({ size, mark }) => `${size}:${mark}`).join(",");
}

function piecesOf(state: string | null): Piece[] {
  let start = 0;
  return (state ?? "")
    .split(",")
    .filter(Boolean)
    .map((text) => {
      const [size = "", mark = ""] = text.split(":");
      const piece = { start, size: Number(size), mark };
      start += piece.size;
      return piece;
    });
}

/** The pieces below an offset, which must be the end of one of them. */
function upTo(pieces: readonly Piece[], offset: number): Piece[] {
  const kept = pieces.filter(({ start, size }) => start + size <= offset);
  const last = kept.at(-1);
  if ((last ? last.start + last.size : 0) !== offset) throw lost();
  return kept;
}

function lost(): AppError {
  return new AppError("upload-gone", "the bytes of this upload are not here any more");
}

function tooMany(): AppError {
  return new AppError("quota-exceeded", "the upload comes in too many pieces: send larger ones", {
    maxPieces: MAX_PIECES,
  });
}
