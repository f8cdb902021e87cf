// The coders of the second applier (see vdelta-by-the-text.ts), written from docs/protocol/vdelta.md alone.
import { Guesser, placed } from "./vdelta-by-the-text.ts";
import { Bytes, readHead, type Step, unzigzag } from "./vdelta-by-the-text-head.ts";
import { Numbers, PROFILES, RangeDecoder } from "./vdelta-by-the-text-mixer.ts";
import { Small } from "./vdelta-by-the-text-small.ts";

/** Rebuilds the new image; both are whole in memory. */
export function applyByTheText(patch: Uint8Array, old: Buffer): Buffer {
  const bytes = new Bytes(patch);
  const head = readHead(bytes);
  const made = Buffer.alloc(head.targetSize);
  const sizes = PROFILES[head.profile] as (typeof PROFILES)[number];
  const coder = head.isSmall ? new RangeDecoder(bytes) : undefined;
  const steps = coder ? smallSteps(coder, head.steps) : fastSteps(bytes, head.steps);
  const guesser = new Guesser(head, old, made, steps, sizes.learned);
  if (!coder) {
    applyFast(bytes, { made, steps, guesser });
    return made;
  }
  const { version, grain } = head;
  const small = new Small(coder, sizes, { version, grain, old, made });
  placed(steps).forEach(({ source, target, length }, index) => {
    guesser.enterRegion();
    small.enterRegion();
    for (let at = 0; at < length; at++) {
      const choice = guesser.choose(source + at, target + at);
      made[target + at] = small.copied(source + at, target + at, choice);
      guesser.learn(source + at, target + at, choice.place);
    }
    small.enterLiterals();
    const literals = (steps[index] as Step).literals;
    for (let at = 0; at < literals; at++)
      made[target + length + at] = small.literal(target + length + at);
  });
  return made;
}

function smallSteps(coder: RangeDecoder, count: number): Step[] {
  const numbers = new Numbers(coder);
  let [hadLiterals, hadSeek] = [0, 0];
  return Array.from({ length: count }, () => {
    const copied = numbers.number(hadLiterals + 2 * hadSeek);
    const short = copied < 64 ? 1 : 0;
    const literals = numbers.number(4 + short + 2 * hadLiterals);
    hadLiterals = literals > 0 ? 1 : 0;
    const seek = unzigzag(numbers.number(8 + hadLiterals + 2 * short));
    hadSeek = seek === 0 ? 0 : 1;
    return { copied, literals, seek };
  });
}

function fastSteps(bytes: Bytes, count: number): Step[] {
  const values = new Bytes(bytes.stream());
  return Array.from({ length: count }, () => {
    return { copied: values.varint(), literals: values.varint(), seek: values.signed() };
  });
}

/** "The fast coder". */
function applyFast(
  bytes: Bytes,
  { made, steps, guesser }: { made: Buffer; steps: readonly Step[]; guesser: Guesser },
): void {
  let [gaps, misses, literals] = [0, 0, 0].map(() => new Bytes(Buffer.alloc(0))) as [
    Bytes,
    Bytes,
    Bytes,
  ];
  let gap = Number.POSITIVE_INFINITY;
  const nextGap = () => (gaps.at < gaps.bytes.length ? gaps.varint() : Number.POSITIVE_INFINITY);
  const enter = (target: number) => {
    if (target % (512 * 1024) !== 0) return;
    [gaps, misses, literals] = [0, 0, 0].map(() => new Bytes(bytes.stream())) as [
      Bytes,
      Bytes,
      Bytes,
    ];
    gap = nextGap();
  };
  placed(steps).forEach(({ source, target, length }, index) => {
    guesser.enterRegion();
    for (let at = 0; at < length; at++) {
      enter(target + at);
      const choice = guesser.choose(source + at, target + at);
      const isMiss = gap === 0;
      made[target + at] = isMiss ? (choice.pick + misses.next()) & 255 : choice.pick;
      gap = isMiss ? nextGap() : gap - 1;
      guesser.learn(source + at, target + at, choice.place);
    }
    const { literals: count } = steps[index] as Step;
    for (let at = target + length; at < target + length + count; at++) {
      enter(at);
      made[at] = literals.next();
    }
  });
}
