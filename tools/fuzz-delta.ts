// Makes patches of edited real images, applies them, damages them and applies those, until stopped.
// Prints the seed of what went wrong and ends with status 1.
// Usage: npm run fuzz:delta -- [--seed N] [--seconds N]
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { AppError, seededRandom } from "../src/kernel/index.ts";
import { firmwarePairs } from "../test/support/firmware-pairs.ts";
import { damagePatch, editImage, makePatch, rebuildImage } from "../test/support/patching.ts";
import { asIntelHex, asUf2 } from "../test/support/text-images.ts";

const FORMATS = [
  "zstd-patch",
  "vdelta-fast",
  "vdelta-small",
  "unpacked-fast",
  "unpacked-small",
] as const;
/** What the images of an unpacked delta are packed by. */
const PACKERS = [
  (bytes: Buffer) => gzipSync(bytes, { level: 9 }),
  (bytes: Buffer) => deflateSync(bytes, { level: 3 }),
  (bytes: Buffer) => zstdCompressSync(bytes),
  (bytes: Buffer) => asUf2(bytes),
  (bytes: Buffer) => asIntelHex(bytes, { ending: "\r\n" }),
  (bytes: Buffer) => Buffer.concat([Buffer.from("head"), deflateSync(gzipSync(bytes)), bytes]),
] as const;
const PROFILE_BYTES = [64 * 1024, 256 * 1024, 4 * 1024 ** 2, 12 * 1024 ** 2];
const MAX_IMAGE_BYTES = 60_000;
const DAMAGED_PER_PATCH = 25;
const SLOWEST_MS = 30_000;
const REPORT_MS = 10_000;

const images = firmwarePairs().flatMap(({ source, target }) => [source, target]);
if (images.length === 0) throw new Error("no firmware images found: run npm ci");

const seconds = numberOf("--seconds", Number.POSITIVE_INFINITY);
const end = performance.now() + seconds * 1000;
let reported = performance.now();
let patches = 0;
let refused = 0;
for (let seed = numberOf("--seed", 1); performance.now() < end; seed += 1) {
  try {
    await fuzz(seed);
  } catch (error) {
    console.error(`seed ${seed} failed:`, error);
    process.exit(1);
  }
  if (performance.now() - reported < REPORT_MS) continue;
  reported = performance.now();
  console.log(`seed ${seed}: ${patches} patches applied, ${refused} damaged ones refused`);
}
console.log(`${patches} patches applied, ${refused} damaged ones refused; nothing went wrong`);

async function fuzz(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)] as T;
  const image = pick(images);
  const offset = Math.floor(random.next() * image.length);
  const plain = image.subarray(offset, offset + Math.floor(random.next() * MAX_IMAGE_BYTES));
  const edited = editImage(random.next() < 0.2 ? pick(images).subarray(0, 5_000) : plain, seed);
  const format = pick(FORMATS);
  const pack = format.startsWith("unpacked-") ? pick(PACKERS) : (bytes: Buffer) => bytes;
  const source = pack(plain);
  const target = pack(edited);
  const patch = await makePatch(format, { source, target }, pick(PROFILE_BYTES)).catch(pointless);
  if (!patch) return;
  const options = { chunkBytes: pick([1, 100, 65_536]), readBytes: pick([1_000, 10_000_000]) };
  const rebuilt = await rebuildImage(format, source, patch, target.length, options);
  if (!rebuilt.equals(target)) throw new Error("the patch rebuilds another image");
  patches += 1;
  for (let round = 0; round < DAMAGED_PER_PATCH; round += 1) {
    const started = performance.now();
    const damaged = damagePatch(patch, seed * DAMAGED_PER_PATCH + round);
    const made = await rebuildImage(format, source, damaged, target.length).catch(refusal);
    if (made === undefined) refused += 1;
    else if (!made.equals(target)) throw new Error("a damaged patch rebuilds another image");
    if (performance.now() - started > SLOWEST_MS) throw new Error("a damaged patch takes too long");
  }
}

/** Nothing that changed is packed. */
function pointless(error: unknown): undefined {
  if (error instanceof AppError && error.code === "delta-pointless") return;
  throw error;
}

function refusal(error: unknown): undefined {
  if (error instanceof AppError && error.code === "delta-invalid") return;
  throw error;
}

function numberOf(option: string, fallback: number): number {
  const at = process.argv.indexOf(option);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
}
