import { type PatchInfo, refusePatch } from "./format.ts";

const MAGIC = 0xfd2fb528;
/** Magic, descriptor, window, dictionary id, content size: RFC 8878 §3.1.1.1. */
export const MAX_HEADER_BYTES = 4 + 1 + 1 + 4 + 8;
const MAX_BLOCK_BYTES = 128 * 1024;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;

export interface FrameHeader {
  headerBytes: number;
  windowBytes: number;
  contentBytes: number | null;
  checksum: boolean;
}

/** The frame header at the start of `bytes`, or undefined while more bytes are needed. */
export function parseFrameHeader(bytes: Uint8Array): FrameHeader | undefined {
  if (bytes.length < 5) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw refusePatch("the patch is not a zstd frame");
  const descriptor = view.getUint8(4);
  // RFC 8878 §3.1.1.1.1.4: a reserved bit that is set means a frame that we do not understand.
  if ((descriptor & 0x08) !== 0) throw refusePatch("the zstd frame sets a reserved bit");
  const singleSegment = (descriptor & 0x20) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] as number;
  const contentField = descriptor >> 6;
  const contentSizeBytes = contentField === 0 ? (singleSegment ? 1 : 0) : 1 << contentField;
  const headerBytes = 5 + (singleSegment ? 0 : 1) + dictionaryIdBytes + contentSizeBytes;
  if (bytes.length < headerBytes) return undefined;
  if (dictionaryIdBytes > 0) throw refusePatch("the zstd frame names a trained dictionary");
  const contentBytes = readContentSize(view, headerBytes - contentSizeBytes, contentSizeBytes);
  const windowBytes = singleSegment ? (contentBytes as number) : windowSize(view.getUint8(5));
  return { headerBytes, windowBytes, contentBytes, checksum: (descriptor & 0x04) !== 0 };
}

function readContentSize(view: DataView, offset: number, sizeBytes: number): number | null {
  switch (sizeBytes) {
    case 0:
      return null;
    case 1:
      return view.getUint8(offset);
    case 2:
      // RFC 8878 §3.1.1.1.4: the two-byte form is stored less 256.
      return view.getUint16(offset, true) + 256;
    case 4:
      return view.getUint32(offset, true);
    default: {
      const size = view.getBigUint64(offset, true);
      if (size > BigInt(Number.MAX_SAFE_INTEGER))
        throw refusePatch("the patch claims an absurd size");
      return Number(size);
    }
  }
}

/** RFC 8878 §3.1.1.1.2. */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/**
 * Passes on the bytes of exactly one frame, checked as they come: `onHeader` sees the header before
 * the decoder does; a cut frame, an impossible block and anything behind the frame are refused.
 */
export async function* singleFrame(
  input: AsyncIterable<Uint8Array>,
  onHeader: (header: FrameHeader) => void,
): AsyncGenerator<Uint8Array> {
  const walker = new FrameWalker(onHeader);
  for await (const chunk of input) {
    const passed = walker.accept(chunk);
    if (passed.length > 0) yield passed;
  }
  if (!walker.finished) throw refusePatch("the patch is cut short");
}

class FrameWalker {
  readonly #onHeader: (header: FrameHeader) => void;
  /** Bytes of a header that has not arrived in full. */
  #pending: Uint8Array = new Uint8Array(0);
  /** Bytes of block contents that pass by unread. */
  #skip = 0;
  #state: "frame-header" | "block-header" | "block" | "checksum" | "end" = "frame-header";
  #lastBlock = false;
  #checksum = false;

  constructor(onHeader: (header: FrameHeader) => void) {
    this.#onHeader = onHeader;
  }

  get finished(): boolean {
    return this.#state === "end";
  }

  /** What of `chunk`, and of bytes held back before, may go to the decoder. */
  accept(chunk: Uint8Array): Uint8Array {
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    let offset = 0;
    while (offset < bytes.length) {
      const used = this.#step(bytes.subarray(offset));
      if (used === 0) break;
      offset += used;
    }
    this.#pending = bytes.slice(offset);
    return bytes.subarray(0, offset);
  }

  /** Bytes that were understood; 0 when the next item is not there in full. */
  #step(bytes: Uint8Array): number {
    switch (this.#state) {
      case "frame-header": {
        const header = parseFrameHeader(bytes);
        if (!header) return 0;
        this.#onHeader(header);
        this.#checksum = header.checksum;
        this.#state = "block-header";
        return header.headerBytes;
      }
      case "block-header":
        return this.#blockHeader(bytes);
      case "block":
      case "checksum": {
        const used = Math.min(this.#skip, bytes.length);
        this.#skip -= used;
        if (this.#skip === 0) this.#afterBlock();
        return used;
      }
      default:
        throw refusePatch("something follows the end of the patch");
    }
  }

  /** RFC 8878 §3.1.1.2. */
  #blockHeader(bytes: Uint8Array): number {
    if (bytes.length < BLOCK_HEADER_BYTES) return 0;
    const [low, middle, high] = bytes as unknown as [number, number, number];
    const word = low | (middle << 8) | (high << 16);
    const type = (word >> 1) & 3;
    const size = word >> 3;
    if (type === 3 || size > MAX_BLOCK_BYTES) throw refusePatch("the patch holds an invalid block");
    this.#lastBlock = (word & 1) === 1;
    this.#skip = type === 1 ? 1 : size;
    this.#state = "block";
    if (this.#skip === 0) this.#afterBlock();
    return BLOCK_HEADER_BYTES;
  }

  #afterBlock(): void {
    if (this.#state === "checksum") this.#state = "end";
    else if (!this.#lastBlock) this.#state = "block-header";
    else {
      this.#state = this.#checksum ? "checksum" : "end";
      this.#skip = this.#checksum ? CHECKSUM_BYTES : 0;
    }
  }
}

/** What a zstd frame says about itself, or undefined where `bytes` begins no frame. */
export function frameInfo(bytes: Uint8Array): PatchInfo | undefined {
  if (bytes.length < 4) return undefined;
  const magic = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (magic !== MAGIC) return undefined;
  const header = parseFrameHeader(bytes);
  if (!header) throw refusePatch("the patch is cut short");
  return {
    formats: ["full-zstd", "zstd-patch"],
    targetSizeBytes: header.contentBytes,
    windowBytes: header.windowBytes,
    checksum: header.checksum,
  };
}
