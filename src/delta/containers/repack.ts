import { refusePatch } from "../format.ts";
import type { Codec } from "./codec.ts";
import { CODECS } from "./codecs.ts";
import type { Feed } from "./feed.ts";
import type { StreamTree } from "./stream-tree.ts";

/** From the unpacked form, `sizeBytes` in which the streams are packed again. */
export async function* repack(
  feed: Feed,
  sizeBytes: number,
  parts: readonly StreamTree[],
): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (const stream of parts) {
    yield* feed.take(stream.offset - offset);
    yield* repackStream(feed, stream);
    offset = stream.offset + stream.packedBytes;
  }
  yield* feed.take(sizeBytes - offset);
}

async function* repackStream(feed: Feed, stream: StreamTree): AsyncGenerator<Uint8Array> {
  const { pack } = CODECS[stream.codec] as Codec;
  const content = repack(feed, stream.contentBytes, stream.parts);
  let made = 0;
  for await (const chunk of pack(stream.settings, stream.contentBytes, content)) {
    made += chunk.length;
    if (made > stream.packedBytes) throw refusePatch("a stream is packed to another size");
    yield chunk;
  }
  if (made !== stream.packedBytes) throw refusePatch("a stream is packed to another size");
}

/** Bytes that packing holds at most: streams that lie within each other are packed at once. */
export function memoryToRepack(parts: readonly StreamTree[]): number {
  let most = 0;
  for (const { codec, settings, contentBytes, parts: inner } of parts) {
    const own = (CODECS[codec] as Codec).memoryToPack(settings, contentBytes);
    most = Math.max(most, own + memoryToRepack(inner));
  }
  return most;
}
