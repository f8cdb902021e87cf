import { createHash } from "node:crypto";
import { AppError } from "../../kernel/errors.ts";
import type { Codec, Experience } from "./codec.ts";
import { CODECS } from "./codecs.ts";
import { type Form, formOf, keptBytes } from "./layout.ts";
import { orderOf } from "./order.ts";
import { type Recipe, STREAM_MEMORY_BYTES } from "./recipe.ts";
import { memoryToRepack } from "./repack.ts";
import { scanImage } from "./scan.ts";
import { allStreams, fillForm, type ScannedStream, type StreamTree } from "./stream-tree.ts";
import { memoryToRead } from "./unpacked-source.ts";

/** Unpacking and packing may take this much on a device, else the dearest streams stay packed. */
export const MAX_LAYER_BYTES = 256 * 1024 * 1024;

export interface Prepared {
  recipe: Recipe;
  sourceForm: Uint8Array;
  targetForm: Uint8Array;
  memoryBytes: number;
  /** Libraries that packing needs. */
  requires: string;
}

/**
 * Finds what is packed in both images and can be packed again to the bit. Streams that both images
 * hold unchanged stay packed: they cost nothing then, and a device need not pack them.
 */
export async function prepareImages(
  source: Uint8Array,
  target: Uint8Array,
  onProgress: (share: number) => void,
): Promise<Prepared> {
  const scannedTarget = scanImage(target);
  if (scannedTarget.length === 0) throw nothingPacked();
  const scannedSource = scanImage(source);
  const shared = sharedStreams(scannedSource, scannedTarget);
  let kept = await describable(withoutShared(scannedTarget, shared), onProgress);
  const unpacked = withoutShared(scannedSource, shared);
  for (; kept.length > 0; kept = withoutDearest(kept)) {
    const recipe = {
      source: { streams: unpacked, cuts: orderOf(source, unpacked) },
      target: { streams: kept, cuts: orderOf(target, kept) },
    };
    const sizes = { sourceSize: source.length, targetSize: target.length };
    const forms = formsOf(recipe, sizes);
    const memoryBytes = layerMemory(recipe, forms.target);
    if (memoryBytes > MAX_LAYER_BYTES) continue;
    return {
      recipe,
      sourceForm: fillForm(source, forms.source),
      targetForm: fillForm(target, forms.target),
      memoryBytes,
      requires: requirement(kept),
    };
  }
  throw nothingPacked();
}

export function formsOf(
  { source, target }: Recipe,
  { sourceSize, targetSize }: { sourceSize: number; targetSize: number },
): { source: Form; target: Form } {
  return {
    source: formOf(sourceSize, source.streams, source.cuts),
    target: formOf(targetSize, target.streams, target.cuts),
  };
}

function nothingPacked(): AppError {
  return new AppError("delta-pointless", "nothing that changed is packed in a way known here");
}

/** Bytes that a device holds besides what the delta between the forms takes. */
export function layerMemory({ source, target }: Recipe, targetForm: Form): number {
  let settingsBytes = 0;
  let count = 2 * (source.cuts.length + target.cuts.length);
  for (const _ of allStreams(source.streams)) count += 1;
  for (const { settings } of allStreams(target.streams)) {
    count += 1;
    settingsBytes += settings.length;
  }
  return (
    count * STREAM_MEMORY_BYTES +
    2 * settingsBytes +
    keptBytes(targetForm) +
    memoryToRead(source.streams) +
    memoryToRepack(target.streams)
  );
}

function sharedStreams(
  source: readonly ScannedStream[],
  target: readonly ScannedStream[],
): Set<string> {
  const inSource = new Set([...allStreams(source)].map(fingerprint));
  return new Set([...allStreams(target)].map(fingerprint).filter((each) => inSource.has(each)));
}

function fingerprint({ packed }: ScannedStream): string {
  return `${packed.length}:${createHash("sha256").update(packed).digest("base64")}`;
}

function withoutShared(streams: ScannedStream[], shared: ReadonlySet<string>): ScannedStream[] {
  return streams
    .filter((stream) => !shared.has(fingerprint(stream)))
    .map((stream) => ({ ...stream, parts: withoutShared(stream.parts, shared) }));
}

/** Those that can be packed again, with what it takes. */
async function describable(
  streams: readonly ScannedStream[],
  onProgress: (share: number) => void,
): Promise<ScannedStream[]> {
  const experience: Experience = new Map();
  let total = 0;
  for (const { contentBytes } of allStreams(streams)) total += contentBytes;
  let done = 0;
  const describeAll = async (list: readonly ScannedStream[]): Promise<ScannedStream[]> => {
    const kept: ScannedStream[] = [];
    for (const stream of list) {
      onProgress(done / total);
      const codec = CODECS[stream.codec] as Codec;
      const settings = await codec.describe(stream.packed, stream.found, experience);
      done += stream.contentBytes;
      if (!settings) continue;
      kept.push({ ...stream, settings, parts: await describeAll(stream.parts) });
    }
    return kept;
  };
  return describeAll(streams);
}

function withoutDearest(streams: readonly ScannedStream[]): ScannedStream[] {
  const dearest = streams.reduce((most, stream) =>
    memoryToRepack([stream]) > memoryToRepack([most]) ? stream : most,
  );
  return streams.filter((stream) => stream !== dearest);
}

function requirement(streams: readonly StreamTree[]): string {
  for (const { codec } of allStreams(streams)) {
    const { requires } = CODECS[codec] as Codec;
    if (requires) return requires;
  }
  return "";
}
