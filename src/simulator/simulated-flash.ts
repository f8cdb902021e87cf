import type { Slots, Storage, StorageFile } from "../agent/index.ts";
import { AppError, type Random, seededRandom } from "../kernel/index.ts";
import type { FlashKeeper } from "./flash-log.ts";
import type { PagePool } from "./page-pool.ts";
import { SimulatedFile } from "./simulated-file.ts";

/** The machine has no power: every access to its flash fails until it is switched on again. */
export class PowerLost extends Error {
  constructor() {
    super("the power is gone");
    this.name = "PowerLost";
  }
}

type DirectoryChange =
  | { do: "link"; name: string; file: SimulatedFile }
  | { do: "unlink"; name: string }
  | { do: "rename"; from: string; to: string };

/**
 * A flash in memory with a file system's promises and no more: what was not synced may be lost or
 * torn by a power cut, and changes of the folder survive in order but not for certain.
 */
export class SimulatedFlash {
  readonly #pool: PagePool;
  readonly #random: Random;
  readonly #keeper: FlashKeeper | undefined;
  #files = new Map<string, SimulatedFile>();
  #safeFiles = new Map<string, SimulatedFile>();
  #changes: DirectoryChange[] = [];
  #powered = true;
  /** Rises when the power goes: what was opened before stays dead. */
  #epoch = 0;
  #operations = 0;
  #cutAt: number | undefined;
  #onCut: (() => void) | undefined;
  #bytesLeft: number | undefined;

  /** With a keeper, the flash begins with what an earlier process left in it. */
  constructor(pool: PagePool, random: Random = seededRandom(1), keeper?: FlashKeeper) {
    this.#pool = pool;
    this.#random = random;
    this.#keeper = keeper;
    for (const [name, content] of keeper?.load() ?? []) {
      const file = new SimulatedFile(pool, content);
      this.#name(file, name);
      this.#safeFiles.set(name, file);
    }
    this.#files = new Map(this.#safeFiles);
  }

  /** Writes, syncs, renames and removals so far. */
  get operations(): number {
    return this.#operations;
  }

  /** Cuts the power at the `count`-th change from now, which may be half done; then tells. */
  cutPowerAfter(count: number, onCut: () => void): void {
    this.#cutAt = this.#operations + count;
    this.#onCut = onCut;
  }

  cancelPowerCut(): void {
    this.#cutAt = undefined;
    this.#onCut = undefined;
  }

  /** Fails writes beyond `sizeBytes` more, as a full flash does; undefined ends that. */
  limitSpace(sizeBytes: number | undefined): void {
    this.#bytesLeft = sizeBytes;
  }

  /** Takes the power away now; a reset does the same. A cut that is still to come stays so. */
  cutPower(): void {
    if (!this.#powered) return;
    this.#powered = false;
    this.#epoch += 1;
    this.#makeSafe(this.#changes.slice(0, this.#survivors()));
    this.#changes = [];
    for (const file of new Set(this.#safeFiles.values())) file.losePower(this.#random);
    this.#files = new Map(this.#safeFiles);
  }

  /** Power is back; the flash holds what survived. */
  restorePower(): void {
    this.#powered = true;
  }

  /** The folder for one life of the machine: after a power cut it only fails. */
  mount(): Storage {
    const epoch = this.#epoch;
    return {
      open: async (name) => {
        this.#access(epoch);
        let file = this.#files.get(name);
        if (!file) {
          file = new SimulatedFile(this.#pool);
          this.#change({ do: "link", name, file });
        }
        return this.#handle(file, epoch);
      },
      read: async (name) => {
        this.#access(epoch);
        const file = this.#files.get(name);
        return file?.read(0, file.sizeBytes);
      },
      rename: async (from, to) => {
        this.#modify(epoch);
        if (!this.#files.has(from)) throw new Error(`there is no file ${from}`);
        this.#change({ do: "rename", from, to });
      },
      remove: async (name) => {
        this.#modify(epoch);
        if (this.#files.has(name)) this.#change({ do: "unlink", name });
      },
      list: async () => {
        this.#access(epoch);
        return [...this.#files.keys()];
      },
      syncDirectory: async () => {
        this.#modify(epoch);
        this.#makeSafe(this.#changes.splice(0));
      },
    };
  }

  #handle(file: SimulatedFile, epoch: number): StorageFile {
    return {
      sizeBytes: async () => {
        this.#access(epoch);
        return file.sizeBytes;
      },
      read: async (offset, length) => {
        this.#access(epoch);
        return file.read(offset, length);
      },
      write: async (offset, bytes) => {
        this.#modify(epoch, () => file.write(offset, bytes));
        this.#takeSpace(bytes.length);
        file.write(offset, bytes);
      },
      truncate: async (sizeBytes) => {
        this.#modify(epoch);
        file.truncate(sizeBytes);
      },
      sync: async () => {
        this.#modify(epoch);
        file.sync();
      },
      close: async () => {},
    };
  }

  #change(change: DirectoryChange): void {
    this.#changes.push(change);
    applyChange(this.#files, change);
  }

  #makeSafe(changes: readonly DirectoryChange[]): void {
    for (const change of changes) {
      if (change.do === "link") {
        this.#keeper?.link(change.name, change.file.safeContent);
        this.#name(change.file, change.name);
      } else if (change.do === "unlink") {
        this.#keeper?.remove(change.name);
        this.#name(this.#safeFiles.get(change.name));
      } else {
        this.#keeper?.rename(change.from, change.to);
        this.#name(this.#safeFiles.get(change.to));
        this.#name(this.#safeFiles.get(change.from), change.to);
      }
      applyChange(this.#safeFiles, change);
    }
  }

  /** From now on the file is kept under this name, or not at all. */
  #name(file: SimulatedFile | undefined, name?: string): void {
    const keeper = this.#keeper;
    if (!file || !keeper) return;
    file.onSafe =
      name === undefined ? undefined : (pages, sizeBytes) => keeper.write(name, pages, sizeBytes);
  }

  #survivors(): number {
    return Math.floor(this.#random.next() * (this.#changes.length + 1));
  }

  #takeSpace(sizeBytes: number): void {
    if (this.#bytesLeft === undefined) return;
    if (sizeBytes > this.#bytesLeft) {
      throw new AppError("unavailable", "ENOSPC: no space is left on the flash");
    }
    this.#bytesLeft -= sizeBytes;
  }

  #access(epoch: number): void {
    if (!this.#powered || epoch !== this.#epoch) throw new PowerLost();
  }

  /** Counts a change and cuts the power where it is due; `halfDone` may or may not have happened. */
  #modify(epoch: number, halfDone?: () => void): void {
    this.#access(epoch);
    this.#operations += 1;
    if (this.#cutAt === undefined || this.#operations < this.#cutAt) return;
    this.#cutAt = undefined;
    halfDone?.();
    this.cutPower();
    const onCut = this.#onCut;
    this.#onCut = undefined;
    onCut?.();
    throw new PowerLost();
  }
}

function applyChange(files: Map<string, SimulatedFile>, change: DirectoryChange): void {
  if (change.do === "link") files.set(change.name, change.file);
  else if (change.do === "unlink") files.delete(change.name);
  else {
    const file = files.get(change.from);
    files.delete(change.from);
    if (file) files.set(change.to, file);
  }
}

/** Two slots of `capacityBytes` on a simulated flash. */
export function simulatedSlots(storage: Storage, capacityBytes: number): Slots {
  return { capacityBytes, open: (slot) => storage.open(`${slot}.img`) };
}
