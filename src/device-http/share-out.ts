import { createHash } from "node:crypto";
import type { HeldShare } from "../firmware/index.ts";

/** How much may be under way at once; 0 bytes a second stands for no limit. */
export interface PaceLimits {
  concurrent: number;
  bytesPerSecond: number;
}

/** A stream that gets less than this is of no use to its device: fewer are let in instead. */
const MIN_STREAM_BYTES_PER_SECOND = 4 * 1024;

/** What a process may use of a limit that holds for several. */
export interface Share {
  /** Kept from the others: what it may use, and what is still under way. */
  places: number;
  /** Downloads that it may have under way; those beyond it end, and no other takes their place. */
  admits: number;
  bytesPerSecond: number;
  /** Whether asking once more, with more that is wanted, may give more at once. */
  hasSpare: boolean;
  /** Whether others still hold what is due to it, and will let go of it soon. */
  isOwed: boolean;
}

/** How many downloads are of use at once. */
export function usefulPlaces({ concurrent, bytesPerSecond }: PaceLimits): number {
  return bytesPerSecond > 0 ? Math.min(concurrent, streamsOf(bytesPerSecond)) : concurrent;
}

function streamsOf(bytesPerSecond: number): number {
  return Math.max(1, Math.floor(bytesPerSecond / MIN_STREAM_BYTES_PER_SECOND));
}

/** How many downloads a process may have under way by its share. */
export function admittedBy(share: Share, isPaced: boolean): number {
  if (!isPaced) return share.admits;
  return share.bytesPerSecond > 0 ? Math.min(share.admits, streamsOf(share.bytesPerSecond)) : 0;
}

/**
 * What `mine` gets beside what the others hold. Each is due what it wants as long as that is no more
 * than an equal part; what nobody wants is divided equally, with a part kept back for who comes next.
 * Bytes a second go by the downloads. What another one holds beyond its due is waited for, so that
 * the sum never exceeds the limit. `round` moves places that cannot be divided from one to the next.
 */
export function shareOut(
  total: PaceLimits,
  mine: Pick<HeldShare, "process" | "wanted" | "active">,
  others: readonly HeldShare[],
  round: number,
): Share {
  const whole = usefulPlaces(total);
  const all = [mine, ...others].sort((left, right) =>
    rank(left.process, round) < rank(right.process, round) ? -1 : 1,
  );
  const dues = dueOf(
    all.map((one) => one.wanted),
    whole,
  );
  const due = dues[all.indexOf(mine)] as number;
  const sumOfDues = dues.reduce((sum, one) => sum + one, 0);
  const free = Math.max(0, whole - sumOf(others, "places"));
  const spare = Math.floor((whole - sumOfDues) / (all.length + 1));
  const admits = Math.min(free, due + spare);
  const places = Math.max(mine.active, admits);

  const bytes = total.bytesPerSecond;
  const bytesDue = sumOfDues > 0 ? Math.floor((bytes * due) / sumOfDues) : 0;
  const bytesFree = Math.max(0, bytes - sumOf(others, "bytesPerSecond"));
  const bytesPerSecond = Math.min(bytesDue, bytesFree);
  return {
    ...{ places, admits, bytesPerSecond },
    // What division leaves over is no stream: nobody need ask for it.
    hasSpare: free > places || bytesFree - bytesPerSecond >= MIN_STREAM_BYTES_PER_SECOND,
    isOwed: admits < due || bytesPerSecond < bytesDue,
  };
}

/** Equal parts, of which who wants less leaves the rest to the others; the first get what is odd. */
function dueOf(wanted: readonly number[], whole: number): number[] {
  const due = wanted.map(() => 0);
  let left = whole;
  let open = wanted.map((_, index) => index);
  while (left > 0) {
    open = open.filter((index) => (wanted[index] as number) > (due[index] as number));
    if (open.length === 0) break;
    const each = Math.max(1, Math.floor(left / open.length));
    for (const index of open) {
      const more = Math.min(each, (wanted[index] as number) - (due[index] as number), left);
      due[index] = (due[index] as number) + more;
      left -= more;
    }
  }
  return due;
}

function sumOf(holders: readonly HeldShare[], key: "places" | "bytesPerSecond"): number {
  return holders.reduce((sum, holder) => sum + holder[key], 0);
}

function rank(process: string, round: number): string {
  return createHash("sha256").update(`${round}\0${process}`).digest("hex");
}
