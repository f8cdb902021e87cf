import { refusePatch } from "../format.ts";
import type { StreamTree } from "./stream-tree.ts";

/** Contents begin at multiples of this, as executables and tables expect. */
const ALIGNMENT = 512;
/** Shorter pieces follow without padding. */
export const MIN_ALIGNED_BYTES = 512;

/** How a piece lies: right behind the one before, as it lies in what holds it, or at a multiple. */
export const BEHIND = 0;
export const AS_HELD = 1;
export const ALIGNED = 2;
export type Placement = typeof BEHIND | typeof AS_HELD | typeof ALIGNED;

/** A stream and what holds it; the image itself is undefined. */
export interface Holder {
  stream: StreamTree;
  holder: Holder | undefined;
}

/** A run of bytes that are packed no further. */
export interface Run {
  /** Where it begins when everything is unpacked in its place, without padding. */
  natural: number;
  holder: Holder | undefined;
  /** Where it begins in what holds it. */
  offset: number;
  length: number;
}

/** A part of the natural order, to be put where the list of them says. */
export interface Cut {
  natural: number;
  length: number;
  placement: Placement;
}

/** A piece of the unpacked form. */
export interface Piece extends Run {
  /** Where it begins in the form; zeros lie between pieces. */
  at: number;
}

/** The unpacked form of an image: its pieces in order. */
export interface Form {
  sizeBytes: number;
  pieces: Piece[];
}

export function runsOf(sizeBytes: number, parts: readonly StreamTree[]): Run[] {
  const runs: Run[] = [];
  addRuns(runs, undefined, sizeBytes, parts, 0);
  return runs;
}

function addRuns(
  runs: Run[],
  holder: Holder | undefined,
  sizeBytes: number,
  parts: readonly StreamTree[],
  start: number,
): number {
  let natural = start;
  let offset = 0;
  for (const stream of parts) {
    const length = stream.offset - offset;
    if (length > 0) runs.push({ natural, holder, offset, length });
    natural += length;
    const inner: Holder = { stream, holder };
    natural = addRuns(runs, inner, stream.contentBytes, stream.parts, natural);
    offset = stream.offset + stream.packedBytes;
  }
  const length = sizeBytes - offset;
  if (length > 0) runs.push({ natural, holder, offset, length });
  return natural + length;
}

/** The form by a list of cuts, which must take up each byte once; without cuts, the natural order. */
export function formOf(
  sizeBytes: number,
  parts: readonly StreamTree[],
  cuts: readonly Cut[],
): Form {
  const runs = runsOf(sizeBytes, parts);
  const last = runs.at(-1);
  const naturalSize = last ? last.natural + last.length : 0;
  const pieces: Piece[] = [];
  let at = 0;
  for (const cut of cuts.length > 0 ? cuts : runs.map(cutOf)) {
    let natural = cut.natural;
    const end = cut.natural + cut.length;
    for (let index = runAt(runs, natural); natural < end; index++) {
      const run = runs[index];
      if (!run || natural < run.natural) throw refusePatch("the patch cuts outside of its image");
      const skipped = natural - run.natural;
      const length = Math.min(run.length - skipped, end - natural);
      if (length <= 0) throw refusePatch("the patch cuts outside of its image");
      const offset = run.offset + skipped;
      if (natural === cut.natural) at += padding(at, offset, cut.placement);
      pieces.push({ at, natural, holder: run.holder, offset, length });
      at += length;
      natural += length;
    }
  }
  if (!coversOnce(pieces, naturalSize)) throw refusePatch("the patch's cuts leave something out");
  return { sizeBytes: at, pieces };
}

export function cutOf({ natural, length }: Run): Cut {
  return { natural, length, placement: length < MIN_ALIGNED_BYTES ? BEHIND : AS_HELD };
}

function padding(at: number, offset: number, placement: Placement): number {
  if (placement === BEHIND) return 0;
  const wanted = placement === AS_HELD ? offset % ALIGNMENT : 0;
  return (wanted - (at % ALIGNMENT) + ALIGNMENT) % ALIGNMENT;
}

/** The last run that begins at or before `natural`. */
function runAt(runs: readonly Run[], natural: number): number {
  let low = 0;
  let high = runs.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((runs[middle] as Run).natural <= natural) low = middle;
    else high = middle - 1;
  }
  return low;
}

function coversOnce(pieces: readonly Piece[], naturalSize: number): boolean {
  let natural = 0;
  for (const piece of pieces.toSorted((a, b) => a.natural - b.natural)) {
    if (piece.natural !== natural) return false;
    natural += piece.length;
  }
  return natural === naturalSize;
}

/** Bytes that have to be kept because the form has them before their natural place. */
export function keptBytes({ pieces }: Form): number {
  let kept = 0;
  let most = 0;
  let natural = 0;
  const early = new Map<number, number>();
  for (const piece of pieces) {
    if (piece.natural !== natural) {
      early.set(piece.natural, piece.length);
      kept += piece.length;
      most = Math.max(most, kept);
      continue;
    }
    natural += piece.length;
    for (let length = early.get(natural); length !== undefined; length = early.get(natural)) {
      kept -= length;
      natural += length;
    }
  }
  return most;
}
