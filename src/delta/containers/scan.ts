import type { Codec } from "./codec.ts";
import { CODECS } from "./codecs.ts";
import type { ScannedStream } from "./stream-tree.ts";

/** A gzip in a tar in a gzip in a cpio: deeper ones are left as they are. */
const MAX_DEPTH = 5;
export const MAX_STREAMS = 200_000;
/** Shorter ones cost more to name than they save. */
const MIN_PACKED_BYTES = 48;
/** What one image may come to. */
const MAX_UNPACKED_BYTES = 1024 ** 3;
/** No codec is taken to pack better than this: bombs are left as they are. */
const MAX_RATIO = 1024;

/** The packed streams of an image, also those within each other. */
export function scanImage(bytes: Uint8Array): ScannedStream[] {
  return scan(bytes, { streams: MAX_STREAMS, bytes: MAX_UNPACKED_BYTES }, MAX_DEPTH);
}

interface Budget {
  streams: number;
  bytes: number;
}

function scan(bytes: Uint8Array, budget: Budget, depth: number): ScannedStream[] {
  const found: ScannedStream[] = [];
  let end = 0;
  for (const { at, codec } of candidates(bytes)) {
    if (at < end || budget.streams === 0) continue;
    const stream = streamAt(bytes, at, codec, budget);
    if (!stream) continue;
    budget.streams -= 1;
    budget.bytes -= stream.contentBytes;
    end = at + stream.packedBytes;
    found.push(stream);
  }
  if (depth > 1)
    for (const stream of found) stream.parts = scan(stream.found.content, budget, depth - 1);
  return found;
}

function streamAt(
  bytes: Uint8Array,
  at: number,
  codec: number,
  budget: Budget,
): ScannedStream | undefined {
  const maxBytes = Math.min(budget.bytes, (bytes.length - at) * MAX_RATIO);
  const found = (CODECS[codec] as Codec).find(bytes, at, maxBytes);
  if (!found || found.packedBytes < MIN_PACKED_BYTES) return undefined;
  return {
    codec,
    offset: at,
    packedBytes: found.packedBytes,
    contentBytes: found.content.length,
    settings: new Uint8Array(0),
    parts: [],
    packed: bytes.subarray(at, at + found.packedBytes),
    found,
  };
}

function candidates(bytes: Uint8Array): { at: number; codec: number }[] {
  const all: { at: number; codec: number }[] = [];
  for (const [codec, { candidates }] of CODECS.entries()) {
    for (const at of candidates(bytes)) all.push({ at, codec });
  }
  return all.sort((left, right) => left.at - right.at || left.codec - right.codec);
}
