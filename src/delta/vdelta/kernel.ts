import { refusePatch } from "../format.ts";
import { KERNEL_WASM } from "./kernel-generated.ts";

/** What kernels/vdelta exports; addresses and positions are 32-bit words. */
export interface KernelFunctions {
  heapBase(): number;
  reset(processor: number): void;
  resetModel(): void;
  setSource(zero: number, size: number): void;
  setLoaded(from: number, to: number): void;
  setTarget(zero: number): void;
  setAddressMap(at: number, count: number): void;
  map(place: number): number;
  setSpaces(at: number, count: number): void;
  setLearned(at: number, bits: number): void;
  enterRegion(source: number): void;
  openBlock(gaps: number, gapBytes: number, misses: number, missBytes: number): void;
  openLiterals(at: number, bytes: number): void;
  isBlockDone(blockBytes: number): number;
  isBlockCorrupt(): number;
  openSteps(at: number): void;
  decodeSteps(limit: number): number;
  wantedFrom: { value: number };
  wantedEnd: { value: number };
  beginBlock(gaps: number, misses: number): void;
  gapsUsed(): number;
  missesUsed(): number;
  encodeRegion(source: number, target: number, length: number): number;
  setBuffer(from: number, to: number): void;
  bufferUsed(): number;
  beginCoding(isEncoding: number): void;
  finishCoding(): void;
  isCutShort: { value: number };
  isImpossible: { value: number };
  codeNumber(value: number, row: number): number;
  mixerBytes(slotBits: number, ...tables: number[]): number;
  /** Tables, then how much faster the weights move at first. */
  setUpFlags(at: number, slotBits: number, ...tables: number[]): void;
  setUpBytes(at: number, slotBits: number, ...tables: number[]): void;
  setUpLiteralMixer(at: number, slotBits: number, ...tables: number[]): void;
  setUpLiterals(table: number, indexBits: number, windowBits: number, ...rules: number[]): void;
  enterModelRegion(source: number): void;
  codeRegion(source: number, target: number, length: number): void;
  enterLiterals(): void;
  codeLiterals(target: number, length: number): void;
}

/** As much of the WebAssembly JavaScript Interface as is used; Node's types leave it out. */
interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Memory: new (limits: { initial: number; maximum: number }) => WasmMemory;
  Instance: new (module: object, imports: object) => { exports: unknown };
};

const PAGE_BYTES = 65_536;
/** What the module itself asks for. */
const INITIAL_PAGES = 4;
/** A line of a processor's cache: the slots of one group of decisions lie in one. */
const ALIGNMENT = 64;

let compiled: object | undefined;

/**
 * An instance of the compiled loops, with memory of its own that never grows beyond `maxBytes`. Its
 * parts are reserved first; `commit` then makes them one array of bytes.
 */
export class Kernel {
  readonly run: KernelFunctions;
  /** All of the memory, after `commit`. */
  bytes = new Uint8Array(0);
  readonly #memory: WasmMemory;
  readonly #maxBytes: number;
  #end: number;

  constructor(maxBytes: number) {
    compiled ??= new WebAssembly.Module(Buffer.from(KERNEL_WASM, "base64"));
    const maximum = Math.max(INITIAL_PAGES, Math.min(65_536, Math.ceil(maxBytes / PAGE_BYTES)));
    this.#maxBytes = maximum * PAGE_BYTES;
    this.#memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum });
    const { exports } = new WebAssembly.Instance(compiled, { env: { memory: this.#memory } });
    this.run = exports as KernelFunctions;
    this.#end = this.run.heapBase();
  }

  /** Address of a new stretch of zeros. */
  reserve(bytes: number): number {
    const at = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT;
    this.#end = at + bytes;
    if (this.#end > this.#maxBytes) {
      throw refusePatch("the patch needs more memory than it may have", {
        neededBytes: this.#end,
        maxMemoryBytes: this.#maxBytes,
      });
    }
    return at;
  }

  /** Makes everything reserved so far usable; arrays taken before are void. */
  commit(): void {
    const missing = this.#end - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
    this.bytes = new Uint8Array(this.#memory.buffer);
  }

  words(at: number, count: number): Int32Array {
    return new Int32Array(this.#memory.buffer, at, count);
  }
}
