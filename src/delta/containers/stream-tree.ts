import type { FoundStream } from "./codec.ts";
import type { Form } from "./layout.ts";

/** A packed stream in an image, or in another stream's content. */
export interface StreamTree {
  /** Index into CODECS. */
  codec: number;
  /** Where it begins in what holds it. */
  offset: number;
  packedBytes: number;
  contentBytes: number;
  /** What packing it again takes; empty for the old image, which is only unpacked. */
  settings: Uint8Array;
  /** Streams in its content, in ascending order. */
  parts: StreamTree[];
}

/** A stream while a patch is made. */
export interface ScannedStream extends StreamTree {
  parts: ScannedStream[];
  packed: Uint8Array;
  found: FoundStream;
}

export function* allStreams<T extends StreamTree>(streams: readonly T[]): Generator<T> {
  for (const stream of streams) {
    yield stream;
    yield* allStreams(stream.parts as T[]);
  }
}

/** The unpacked form itself. */
export function fillForm(image: Uint8Array, form: Form): Uint8Array {
  const bytes = new Uint8Array(form.sizeBytes);
  for (const { at, holder, offset, length } of form.pieces) {
    const held = holder ? (holder.stream as ScannedStream).found.content : image;
    bytes.set(held.subarray(offset, offset + length), at);
  }
  return bytes;
}
