import { crc32 } from "node:zlib";
import {
  type ApplyInput,
  type CreateInput,
  type PatchFormat,
  type PatchInfo,
  type PatchSource,
  refusePatch,
} from "../format.ts";
import { isVdelta } from "../vdelta/header.ts";
import { vdeltaFast, vdeltaInfo, vdeltaSmall } from "../vdelta/vdelta.ts";
import { CODECS } from "./codecs.ts";
import { Feed } from "./feed.ts";
import { decodeHead, encodeHead, MAX_UNPACKED_HEAD_BYTES, type UnpackedHead } from "./head.ts";
import type { Form } from "./layout.ts";
import { PatchBytes } from "./patch-bytes.ts";
import { formsOf, layerMemory, MAX_LAYER_BYTES, prepareImages } from "./prepare.ts";
import { decodeRecipe, encodeRecipe, packRecipe, type Recipe, unpackRecipe } from "./recipe.ts";
import { repack } from "./repack.ts";
import { allStreams } from "./stream-tree.ts";
import { UnpackedSource } from "./unpacked-source.ts";

/** No vdelta makes more. */
const MAX_FORM_BYTES = 2 ** 31 - 1;

/** vdelta-fast between what the images hold when everything in them is unpacked. */
export const unpackedFast: PatchFormat = formatOver(vdeltaFast);
/** vdelta-small between the same. */
export const unpackedSmall: PatchFormat = formatOver(vdeltaSmall);

function formatOver(inner: PatchFormat): PatchFormat {
  return {
    needsSource: true,
    create: (input) => create(inner, input),
    apply: (input) => apply(inner, input),
    // What the images hold may be far larger than they are, and so is coded with larger tables.
    memoryToApply: (sizes) =>
      MAX_LAYER_BYTES + inner.memoryToApply({ ...sizes, targetSizeBytes: MAX_FORM_BYTES }),
  };
}

async function* create(inner: PatchFormat, input: CreateInput): AsyncGenerator<Uint8Array> {
  const source = input.source as Uint8Array;
  const target = await readTarget(input);
  const { onProgress } = input;
  const prepared = await prepareImages(source, target, (share) => onProgress?.("unpacking", share));
  const recipe = encodeRecipe(prepared.recipe);
  const packedRecipe = packRecipe(recipe);
  yield encodeHead({
    checksum: crc32(target),
    sourceSize: source.length,
    targetSize: target.length,
    sourceFormSize: prepared.sourceForm.length,
    targetFormSize: prepared.targetForm.length,
    memoryBytes: prepared.memoryBytes,
    streams: countByCodec(prepared.recipe),
    requires: prepared.requires,
    recipeBytes: recipe.length,
    packedRecipeBytes: packedRecipe.length,
  });
  yield packedRecipe;
  yield* inner.create({
    ...input,
    source: prepared.sourceForm,
    target: once(prepared.targetForm),
    targetSizeBytes: prepared.targetForm.length,
  });
}

async function readTarget(input: CreateInput): Promise<Uint8Array> {
  const whole = new Uint8Array(input.targetSizeBytes);
  let filled = 0;
  for await (const chunk of input.target) {
    if (filled + chunk.length > whole.length) {
      throw refusePatch("the target is larger than announced");
    }
    whole.set(chunk, filled);
    filled += chunk.length;
  }
  if (filled !== whole.length) throw refusePatch("the target is smaller than announced");
  return whole;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function countByCodec({ target }: Pick<Recipe, "target">): number[] {
  const counts: number[] = CODECS.map(() => 0);
  for (const { codec } of allStreams(target.streams)) counts[codec] = (counts[codec] as number) + 1;
  return counts;
}

async function* apply(inner: PatchFormat, input: ApplyInput): AsyncGenerator<Uint8Array> {
  const patch = new PatchBytes(input.patch);
  let feed: Feed | undefined;
  try {
    const { head, headBytes } = decodeHead(await patch.peek(MAX_UNPACKED_HEAD_BYTES));
    check(head, input);
    await patch.take(headBytes);
    const packedRecipe = await patch.take(head.packedRecipeBytes);
    const recipe = decodeRecipe(unpackRecipe(packedRecipe, head.recipeBytes), head);
    const forms = formsOf(recipe, head);
    checkForms(head, recipe, forms);
    const delta = inner.apply({
      source: new UnpackedSource(input.source as PatchSource, forms.source),
      patch: patch.rest(),
      expectedSizeBytes: head.targetFormSize,
      maxMemoryBytes: input.maxMemoryBytes - head.memoryBytes,
    });
    feed = new Feed(copiesOf(delta), forms.target);
    let checksum = 0;
    for await (const chunk of repack(feed, head.targetSize, recipe.target.streams)) {
      checksum = crc32(chunk, checksum);
      yield chunk;
    }
    await feed.expectEnd();
    if (checksum !== head.checksum) throw refusePatch("the rebuilt image has another checksum");
  } finally {
    await feed?.close();
    await patch.close();
  }
}

/** Packing keeps what it is given for longer than the delta leaves it alone. */
async function* copiesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield chunk.slice();
}

/** Before memory is taken for the recipe. */
function check(head: UnpackedHead, input: ApplyInput): void {
  const { sizeBytes } = input.source as PatchSource;
  if (head.sourceSize !== sizeBytes) {
    throw refusePatch("the patch is for another old image", {
      claimedBytes: head.sourceSize,
      sourceBytes: sizeBytes,
    });
  }
  if (head.targetSize !== input.expectedSizeBytes) {
    throw refusePatch("the patch does not hold the image's size", {
      claimedBytes: head.targetSize,
      expectedSizeBytes: input.expectedSizeBytes,
    });
  }
  const { maxMemoryBytes } = input;
  const neededBytes = Math.max(head.memoryBytes, 2 * head.recipeBytes);
  if (neededBytes > maxMemoryBytes) {
    throw refusePatch(`the patch needs ${neededBytes} bytes of memory`, {
      neededBytes,
      maxMemoryBytes,
    });
  }
  if (head.requires && !CODECS.some(({ requires }) => requires === head.requires)) {
    throw refusePatch(`the patch needs ${head.requires}`, { requires: head.requires });
  }
}

function checkForms(head: UnpackedHead, recipe: Recipe, forms: { source: Form; target: Form }) {
  const { source, target } = forms;
  if (source.sizeBytes !== head.sourceFormSize || target.sizeBytes !== head.targetFormSize) {
    throw refusePatch("the patch's recipe makes forms of other sizes");
  }
  if (layerMemory(recipe, target) > head.memoryBytes) {
    throw refusePatch("the patch's recipe takes more memory than announced");
  }
}

/** What the head says; `bytes` begin like such a patch. */
export function unpackedInfo(bytes: Uint8Array): PatchInfo {
  const { head, headBytes } = decodeHead(bytes);
  const innerAt = headBytes + head.packedRecipeBytes;
  // The delta's own head lies behind the recipe, perhaps beyond what was read.
  const inner = bytes.subarray(innerAt);
  const delta = isVdelta(inner) ? vdeltaInfo(inner) : undefined;
  const formats = delta
    ? delta.formats.map((format) => format.replace("vdelta-", "unpacked-"))
    : ["unpacked-fast", "unpacked-small"];
  return {
    formats,
    targetSizeBytes: head.targetSize,
    windowBytes: head.memoryBytes + (delta?.windowBytes ?? 0),
    checksum: true,
    ...(delta?.vdelta ? { vdelta: delta.vdelta } : {}),
    unpacked: {
      streams: head.streams.flatMap((count, index) =>
        count > 0 ? [{ codec: CODECS[index]?.name ?? "?", count }] : [],
      ),
      sourceFormBytes: head.sourceFormSize,
      targetFormBytes: head.targetFormSize,
      recipeBytes: head.packedRecipeBytes,
      requires: head.requires || null,
    },
  };
}
