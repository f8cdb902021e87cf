// What bench/delta.ts has measured, over all pairs, beside the goals.
import { HDIFF, type PeerResult } from "./delta-peers.ts";
import { report } from "./report.ts";

/** What bench/delta-once.ts says; processor time, and by how much its process grew. */
interface Took {
  cpuMs: number;
  /** Of the first run in a new process, before the loops are compiled. */
  firstCpuMs: number;
  growthBytes: number;
}

export interface Made {
  name: string;
  /** Whether every device of ours may be offered it. */
  isOffered: boolean;
  sizeBytes: number;
  create: Took;
  apply: Took;
  /** Memory that the patch announces. */
  announcedBytes: number;
}

export interface Measured {
  name: string;
  newBytes: number;
  made: readonly Made[];
  theirs: readonly PeerResult[];
}

/** An image that zstd cannot pack below this share is packed or encrypted inside. */
const PACKED_SHARE = 0.95;
/** Images of this size are what the goals of memory and of time to create are about. */
const LARGE_BYTES = 24e6;
const MB = 1e6;

const PORTFOLIO = "vautn, the smallest";
const SMALL_64K = "vdelta-small 64K";

/** One line for the mean of each tool and format, then one for each goal: the ratio is to the goal. */
export function reportGoals(all: readonly Measured[]): void {
  const plain = all.filter((pair) => !isPacked(pair));
  reportMeans(plain);
  const byBest = (name: string, pairs: readonly Measured[]) =>
    pairs.flatMap((pair) => {
      const [ours, theirs] = [sizeOf(pair, name), bestPeer(pair)];
      return ours && theirs ? [ours / theirs] : [];
    });
  const mean = byBest(PORTFOLIO, plain);
  if (mean.length > 0) {
    goal("mean of the plain pairs by the best peer of each", geometricMean(mean), "ratio", 0.7);
    goal("largest by the best peer", Math.max(...byBest(PORTFOLIO, all)), "ratio", 1);
    const peers = peerNames(plain).map((name) => meanShare(plain, name));
    const ours = meanShare(plain, SMALL_64K);
    if (peers.length > 0)
      goal("64 KB profile by the best mean", ours / Math.min(...peers), "ratio", 1);
  }
  goal("vdelta-small apply, slowest", slowest(all, "vdelta-small"), "MB/s", 1, "at least");
  goal("vdelta-fast apply, slowest", slowest(all, "vdelta-fast"), "MB/s", 20, "at least");
  for (const pair of all.filter(({ newBytes }) => newBytes >= LARGE_BYTES)) reportLarge(pair);
}

function reportLarge({ name, newBytes, made, theirs }: Measured): void {
  const hdiff = theirs.find((peer) => peer.name === HDIFF)?.cpuMs;
  for (const { name: way, apply, create } of made) {
    if (!way.startsWith("vdelta")) continue;
    goal(`${name}/${way} memory to apply`, apply.growthBytes / MB, "MB", 16);
    goal(`${name}/${way} memory to create`, create.growthBytes / newBytes, "bytes a byte", 10);
    if (hdiff)
      goal(`${name}/${way} time to create by HDiffPatch`, create.cpuMs / hdiff, "ratio", 2);
  }
}

function reportMeans(pairs: readonly Measured[]): void {
  if (pairs.length === 0) return;
  const ways = new Set(pairs.flatMap(({ made }) => made.map(({ name }) => name)));
  for (const name of [PORTFOLIO, ...ways, ...peerNames(pairs)]) {
    const having = pairs.filter((pair) => sizeOf(pair, name) !== undefined);
    const share = meanShare(having, name) * 100;
    const ours = (meanShare(having, PORTFOLIO) * 100) / share;
    report(`delta/geometric-mean/${having.length} pairs`, share, "% of the new image", name, ours);
  }
}

function goal(
  name: string,
  value: number | undefined,
  unit: string,
  wanted: number,
  sense: "at most" | "at least" = "at most",
): void {
  if (value === undefined) return;
  const isMet = sense === "at most" ? value <= wanted : value >= wanted;
  const against = `goal: ${sense} ${wanted}, ${isMet ? "met" : "MISSED"}`;
  report(`delta/goal/${name}`, value, unit, against, value / wanted);
}

function slowest(pairs: readonly Measured[], way: string): number | undefined {
  const speeds = pairs.flatMap(({ newBytes, made }) =>
    made.filter(({ name }) => name === way).map(({ apply }) => newBytes / 1e3 / apply.cpuMs),
  );
  return speeds.length > 0 ? Math.min(...speeds) : undefined;
}

function isPacked({ made, newBytes }: Measured): boolean {
  const full = made.find(({ name }) => name === "full-zstd");
  return full !== undefined && full.sizeBytes > newBytes * PACKED_SHARE;
}

function sizeOf({ made, theirs }: Measured, name: string): number | undefined {
  if (name !== PORTFOLIO) return [...made, ...theirs].find((one) => one.name === name)?.sizeBytes;
  const sizes = made.filter(({ isOffered }) => isOffered).map(({ sizeBytes }) => sizeBytes);
  return sizes.length > 0 ? Math.min(...sizes) : undefined;
}

function bestPeer({ theirs }: Measured): number | undefined {
  return theirs.length > 0 ? Math.min(...theirs.map(({ sizeBytes }) => sizeBytes)) : undefined;
}

/** Those that were run here on every pair; recorded ones are of one pair each. */
function peerNames(pairs: readonly Measured[]): string[] {
  const names = new Set(pairs.flatMap(({ theirs }) => theirs.map(({ name }) => name)));
  return [...names].filter((name) => pairs.every((pair) => sizeOf(pair, name) !== undefined));
}

function meanShare(pairs: readonly Measured[], name: string): number {
  return geometricMean(pairs.map((pair) => (sizeOf(pair, name) as number) / pair.newBytes));
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}
