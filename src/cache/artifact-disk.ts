import { rmSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { AppError } from "../kernel/index.ts";
import { gauge } from "../kernel/metrics.ts";

const SHA256 = /^[0-9a-f]{64}$/;
/** Left overs of downloads that nobody has gone on with. */
const PARTIAL_KEPT_MS = 7 * 86_400_000;

const usedBytes = gauge("vautn_cache_bytes", "Bytes of artifacts that the cache holds");

interface Entry {
  sizeBytes: number;
  /** Readers: what is being read is not thrown away. */
  inUse: number;
}

/**
 * Artifacts on a bounded part of the disk. `whole/<hash>` has been verified before it got its name;
 * `partial/<hash>` is on its way and believed in nothing. What was used longest ago goes first.
 */
export class ArtifactDisk {
  readonly #directory: string;
  readonly #maxBytes: number;
  /** In the order of use, the last one last. */
  readonly #entries = new Map<string, Entry>();
  /** Room of partials, the one that was touched last last. */
  readonly #reserved = new Map<string, number>();
  /** Partials that a fetch is filling. */
  readonly #arriving = new Set<string>();

  private constructor(directory: string, maxBytes: number) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
  }

  /** Opens what an earlier run has left; where the limit is lower now, the oldest go. */
  static async open(directory: string, maxBytes: number): Promise<ArtifactDisk> {
    const disk = new ArtifactDisk(directory, maxBytes);
    for (const name of ["whole", "partial"]) {
      await fs.mkdir(path.join(directory, name), { recursive: true, mode: 0o700 });
    }
    const found: { name: string; sizeBytes: number; usedAt: number }[] = [];
    for (const name of await fs.readdir(path.join(directory, "whole"))) {
      if (!SHA256.test(name)) continue;
      const { size, mtimeMs } = await fs.stat(path.join(directory, "whole", name));
      found.push({ name, sizeBytes: size, usedAt: mtimeMs });
    }
    found.sort((left, right) => left.usedAt - right.usedAt);
    for (const { name, sizeBytes } of found) disk.#entries.set(name, { sizeBytes, inUse: 0 });
    const partials: { name: string; size: number; mtimeMs: number }[] = [];
    for (const name of await fs.readdir(path.join(directory, "partial"))) {
      const file = path.join(directory, "partial", name);
      const { size, mtimeMs } = await fs.stat(file);
      if (Date.now() - mtimeMs > PARTIAL_KEPT_MS) await fs.rm(file, { force: true });
      else partials.push({ name, size, mtimeMs });
    }
    partials.sort((left, right) => left.mtimeMs - right.mtimeMs);
    for (const { name, size } of partials) disk.#reserved.set(name, size);
    await disk.#makeRoom(0);
    usedBytes.set(disk.#used());
    return disk;
  }

  partialPath(sha256: string): string {
    return path.join(this.#directory, "partial", sha256);
  }

  wholePath(sha256: string): string {
    return path.join(this.#directory, "whole", sha256);
  }

  sizeOf(sha256: string): number | undefined {
    return this.#entries.get(sha256)?.sizeBytes;
  }

  /** Keeps the artifact from being thrown away until the result is called; undefined without it. */
  use(sha256: string): (() => void) | undefined {
    const entry = this.#entries.get(sha256);
    if (!entry) return undefined;
    this.#entries.delete(sha256);
    this.#entries.set(sha256, entry);
    entry.inUse += 1;
    const now = new Date();
    // So that the order outlives a restart; where it cannot be written, the order is a little older.
    fs.utimes(this.wholePath(sha256), now, now).catch(() => {});
    return () => {
      entry.inUse -= 1;
    };
  }

  /** A fetch goes on with the partial: it stays until the result is called. */
  arriving(sha256: string): () => void {
    this.#arriving.add(sha256);
    return () => {
      this.#arriving.delete(sha256);
      const reserved = this.#reserved.get(sha256);
      if (reserved === undefined) return;
      this.#reserved.delete(sha256);
      this.#reserved.set(sha256, reserved);
    };
  }

  /**
   * Makes room for an artifact on its way, by throwing away what an ended fetch has left and then
   * other artifacts; else `storage-full`.
   */
  async reserve(sha256: string, sizeBytes: number): Promise<void> {
    this.#reserved.delete(sha256);
    await this.#makeRoom(sizeBytes);
    this.#reserved.set(sha256, sizeBytes);
    usedBytes.set(this.#used());
  }

  /** The artifact is whole, verified and synced: from here on it has its name. */
  async complete(sha256: string, sizeBytes: number): Promise<void> {
    await fs.rename(this.partialPath(sha256), this.wholePath(sha256));
    const folder = await fs.open(path.join(this.#directory, "whole"), "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    this.#reserved.delete(sha256);
    this.#entries.set(sha256, { sizeBytes, inUse: 0 });
  }

  async discardPartial(sha256: string): Promise<void> {
    await fs.rm(this.partialPath(sha256), { force: true });
    this.#reserved.delete(sha256);
  }

  async discard(sha256: string): Promise<void> {
    this.#entries.delete(sha256);
    await fs.rm(this.wholePath(sha256), { force: true });
  }

  #used(): number {
    let sum = 0;
    for (const { sizeBytes } of this.#entries.values()) sum += sizeBytes;
    for (const sizeBytes of this.#reserved.values()) sum += sizeBytes;
    return sum;
  }

  /** What must stay: artifacts that are being read, and those on their way. */
  #pinned(): number {
    let sum = 0;
    for (const { sizeBytes, inUse } of this.#entries.values()) if (inUse > 0) sum += sizeBytes;
    for (const [sha256, sizeBytes] of this.#reserved) {
      if (this.#arriving.has(sha256)) sum += sizeBytes;
    }
    return sum;
  }

  async #makeRoom(sizeBytes: number): Promise<void> {
    // Nothing is thrown away for what would not fit even then.
    if (this.#pinned() + sizeBytes > this.#maxBytes && sizeBytes > 0) throw noRoom(sizeBytes);
    for (const sha256 of this.#reserved.keys()) {
      if (this.#used() + sizeBytes <= this.#maxBytes) break;
      if (this.#arriving.has(sha256)) continue;
      this.#reserved.delete(sha256);
      // At once: a fetch that begins meanwhile must not open what is on its way out.
      rmSync(this.partialPath(sha256), { force: true });
    }
    for (const [sha256, entry] of this.#entries) {
      if (this.#used() + sizeBytes <= this.#maxBytes) break;
      if (entry.inUse === 0) await this.discard(sha256);
    }
    if (this.#used() + sizeBytes > this.#maxBytes && sizeBytes > 0) throw noRoom(sizeBytes);
    usedBytes.set(this.#used());
  }
}

function noRoom(sizeBytes: number): AppError {
  return new AppError("storage-full", "the cache has no room for this artifact", { sizeBytes });
}
