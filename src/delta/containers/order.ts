import { ALIGNED, BEHIND, type Cut, cutOf, MIN_ALIGNED_BYTES, type Run, runsOf } from "./layout.ts";
import { type HeldRange, squashfsFiles } from "./squashfs.ts";
import type { ScannedStream, StreamTree } from "./stream-tree.ts";

const SQUASHFS_MAGIC = Buffer.from("hsqs");
const MAX_SQUASHFS = 16;

interface Interval {
  natural: number;
  length: number;
}

/**
 * A better order for the unpacked form: each file of a squashfs in one piece, with the end that it
 * keeps among other files' ends. Empty where the natural order is as good.
 */
export function orderOf(image: Uint8Array, streams: readonly ScannedStream[]): Cut[] {
  const runs = runsOf(image.length, streams);
  const places = placesOf(runs, streams);
  const groups: Interval[][] = [];
  const buffer = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  let at = buffer.indexOf(SQUASHFS_MAGIC);
  for (let count = 0; at >= 0 && count < MAX_SQUASHFS; count++) {
    for (const file of squashfsFiles(image, at, streams) ?? []) {
      const intervals = file.flatMap((range) => intervalOf(range, places) ?? []);
      if (intervals.length > 0) groups.push(intervals);
    }
    at = buffer.indexOf(SQUASHFS_MAGIC, at + 1);
  }
  return groups.length > 0 ? cutsOf(runs, groups) : [];
}

/** Natural places of what begins at an offset of the image. */
interface Places {
  streams: ReadonlyMap<number, { stream: StreamTree; natural: number }>;
  runs: readonly Run[];
}

function placesOf(runs: readonly Run[], streams: readonly ScannedStream[]): Places {
  const byStream = new Map<StreamTree, number>();
  for (const { holder, natural } of runs) {
    if (holder && !holder.holder && !byStream.has(holder.stream)) {
      byStream.set(holder.stream, natural);
    }
  }
  const entries = streams.flatMap((stream) => {
    const natural = byStream.get(stream);
    // A cut through a stream within would tear it.
    if (natural === undefined || stream.parts.length > 0) return [];
    return [[stream.offset, { stream, natural }] as const];
  });
  return { streams: new Map(entries), runs: runs.filter(({ holder }) => !holder) };
}

function intervalOf({ block, offset, length }: HeldRange, places: Places): Interval | undefined {
  const packed = places.streams.get(block);
  if (packed) {
    const { contentBytes } = packed.stream;
    const wanted = length ?? contentBytes;
    if (offset + wanted > contentBytes) return undefined;
    return { natural: packed.natural + offset, length: wanted };
  }
  if (length === undefined) return undefined;
  const from = block + offset;
  const run = places.runs.find((each) => each.offset <= from && from < each.offset + each.length);
  if (!run || from + length > run.offset + run.length) return undefined;
  return { natural: run.natural + from - run.offset, length };
}

/** The natural order, but that a file's other parts follow its first. */
function cutsOf(runs: readonly Run[], groups: readonly Interval[][]): Cut[] {
  const cuts: Cut[] = [];
  const taken = new Taken();
  const pending = groups
    .map((group) => group.filter(({ natural, length }) => taken.take(natural, length)))
    .filter((group) => group.length > 0)
    .sort((a, b) => (a[0] as Interval).natural - (b[0] as Interval).natural);
  let next = 0;
  for (const run of runs) {
    let from = run.natural;
    const end = run.natural + run.length;
    while (from < end) {
      const group = pending[next];
      const until = Math.min(end, group?.[0]?.natural ?? end);
      for (const gap of taken.gaps(from, until)) cuts.push(gapCut(gap, run));
      from = until;
      if (from === end || !group) continue;
      cuts.push(...groupCuts(group));
      next += 1;
      from = (group[0] as Interval).natural + (group[0] as Interval).length;
    }
  }
  return cuts;
}

function gapCut(gap: Interval, run: Run): Cut {
  return gap.natural === run.natural ? { ...cutOf(run), ...gap } : { ...gap, placement: BEHIND };
}

function groupCuts(group: readonly Interval[]): Cut[] {
  return group.map(({ natural, length }, index) => {
    const isLong = group.some((each) => each.length >= MIN_ALIGNED_BYTES);
    return { natural, length, placement: index === 0 && isLong ? ALIGNED : BEHIND };
  });
}

/** Intervals that do not overlap. */
class Taken {
  readonly #intervals: Interval[] = [];

  /** False where some of it is taken. */
  take(natural: number, length: number): boolean {
    const index = this.#after(natural);
    const before = this.#intervals[index - 1];
    const behind = this.#intervals[index];
    const overlaps =
      (before && before.natural + before.length > natural) ||
      (behind && natural + length > behind.natural);
    if (overlaps) return false;
    this.#intervals.splice(index, 0, { natural, length });
    return true;
  }

  /** What is not taken from `from` to `to`. */
  *gaps(from: number, to: number): Generator<Interval> {
    let natural = from;
    for (let index = Math.max(0, this.#after(from) - 1); natural < to; index++) {
      const interval = this.#intervals[index];
      const until = interval ? Math.min(to, interval.natural) : to;
      if (until > natural) yield { natural, length: until - natural };
      if (!interval) return;
      natural = Math.max(natural, interval.natural + interval.length);
    }
  }

  #after(natural: number): number {
    let low = 0;
    let high = this.#intervals.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#intervals[middle] as Interval).natural <= natural) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
