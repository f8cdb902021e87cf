import { codeBit } from "./range-coder";
import { reciprocalFour, squash, stretchFour } from "./tables";
import { adjust, ROW_BYTES, setUpWeights, weigh } from "./weights";

const MAP_POINTS: i32 = 33;
/** A confidence of more observations than this counts no more. */
const CONFIDENCE_LIMIT: i32 = 30;
const BIAS_INPUT: i32 = 40;
const MIN_PROBABILITY: i32 = 16;
/** Contexts are worked on four at a time, in 16 lanes whatever their number; the last is the bias. */
const LANES: i32 = 16;
const LANE_BYTES: usize = 64;
const BIAS_LANE: i32 = 15;

/**
 * Predicts one bit from many hashed contexts by two sets of weights whose answers are averaged, and
 * refines the answer by two adaptive maps. Integers only.
 *
 * A slot is 16 bits of probability, 8 check bits, 8 bits of count: a context that was never seen is
 * known as such and has no say.
 */
@unmanaged
export class Mixer {
  /** Contexts mixed for each decision. */
  count: i32;
  slots: usize;
  slotMask: i32;
  /** ROW_BYTES of inputs, and LANE_BYTES each of slots and of rates; zero but for the bias. */
  scratch: usize;
  weightsA: usize;
  weightsB: usize;
  setMaskA: i32;
  setMaskB: i32;
  mapA: usize;
  mapB: usize;
  mapBitsA: i32;
  mapBitsB: i32;
  /** Observations after which a counter no longer slows down, at most 255. */
  countLimit: i32;
  learningRate: i32;
  /** How much faster the weights move at first; one less after each 2^earlyShift decisions. */
  early: i32;
  earlyShift: i32;
  /** Made while `early` lasts. */
  decisions: i32;
  // Set before each call of `mix`: which weights and which rows of the maps serve a decision.
  first: i32;
  second: i32;
  firstMap: i32;
  secondMap: i32;
}

/** Set before `enterContexts`. */
const contexts = memory.data(64, 16);
/** Tells equal contexts of different number apart. */
const salts = memory.data(64, 16);
/** Hashes of the contexts. */
const bases = memory.data(64, 16);
/** 0 to 3. */
const lanes = memory.data<i32>([0, 1, 2, 3], 16);
/** Addresses of the slots. */
const chosen = memory.data(64, 16);

/** Whether the bit that `mix` coded last was the likelier one. */
export let wasLikely: i32 = 0;

export function setContext(index: i32, value: i32): void {
  store<i32>(contexts + ((<usize>index) << 2), value);
}

/** Bytes that a mixer's tables take. */
export function mixerBytes(
  slotBits: i32,
  setBitsA: i32,
  setBitsB: i32,
  mapBitsA: i32,
  mapBitsB: i32,
): usize {
  const rows = (1 << setBitsA) + (1 << setBitsB);
  const mapRows = (1 << mapBitsA) + (1 << mapBitsB);
  const bytes = (4 << slotBits) + rows * <i32>ROW_BYTES + mapRows * MAP_POINTS * 2;
  return (<usize>bytes + 15) & ~15;
}

/** Makes a mixer whose tables lie at `at`. */
export function setUpMixer(
  mixer: Mixer,
  scratch: usize,
  at: usize,
  count: i32,
  slotBits: i32,
  setBitsA: i32,
  setBitsB: i32,
  mapBitsA: i32,
  mapBitsB: i32,
  countLimit: i32,
  learningRate: i32,
  early: i32,
  earlyShift: i32,
): void {
  mixer.count = count;
  mixer.slots = at;
  mixer.scratch = scratch;
  store<i32>(scratch + (BIAS_LANE << 2), BIAS_INPUT);
  for (let lane = 0; lane < LANES; lane++) {
    store<i32>(salts + ((<usize>lane) << 2), lane * 0x632be5ab);
  }
  mixer.slotMask = (1 << slotBits) - 1;
  mixer.weightsA = at + (4 << slotBits);
  mixer.weightsB = mixer.weightsA + ((<i32>ROW_BYTES) << setBitsA);
  mixer.setMaskA = (1 << setBitsA) - 1;
  mixer.setMaskB = (1 << setBitsB) - 1;
  mixer.mapA = mixer.weightsB + ((<i32>ROW_BYTES) << setBitsB);
  mixer.mapB = mixer.mapA + ((MAP_POINTS * 2) << mapBitsA);
  mixer.mapBitsA = mapBitsA;
  mixer.mapBitsB = mapBitsB;
  mixer.countLimit = countLimit;
  mixer.learningRate = learningRate;
  mixer.early = early;
  mixer.earlyShift = earlyShift;
  mixer.decisions = 0;
  const slots = 1 << slotBits;
  for (let slot = 0; slot < slots; slot++) store<u32>(at + ((<usize>slot) << 2), 0x80000000);
  setUpWeights(mixer.weightsA, count, (1 << setBitsA) + (1 << setBitsB));
  const points = MAP_POINTS * ((1 << mapBitsA) + (1 << mapBitsB));
  for (let point = 0; point < points; point++) {
    const logit = ((point % MAP_POINTS) - 16) * 128;
    const start = squash(logit > 2047 ? 2047 : logit < -2047 ? -2047 : logit);
    store<u16>(mixer.mapA + ((<usize>point) << 1), start);
  }
}

/**
 * Takes the contexts for up to four decisions, `prefix` telling such groups apart. The slots of a group
 * lie within 16 neighbours, one line of a processor's cache.
 */
export function enterContexts(prefix: i32): void {
  const salt = i32x4.splat(prefix * <i32>0x9e3779b1);
  const first = i32x4.splat(<i32>0x85ebca6b);
  const second = i32x4.splat(<i32>0xc2b2ae35);
  for (let at: usize = 0; at < LANE_BYTES; at += 16) {
    let hash = i32x4.add(v128.load(contexts + at), v128.load(salts + at));
    hash = i32x4.mul(i32x4.add(hash, salt), first);
    hash = v128.xor(hash, i32x4.shr_u(hash, 15));
    hash = i32x4.mul(hash, second);
    v128.store(bases + at, v128.xor(hash, i32x4.shr_u(hash, 13)));
  }
}

/** Codes one bit; `node`, 1 to 15, tells the decisions of a group apart. */
export function mix(mixer: Mixer, bit: i32, node: i32): i32 {
  const weightsA = mixer.weightsA + <usize>(mixer.first & mixer.setMaskA) * ROW_BYTES;
  const weightsB = mixer.weightsB + <usize>(mixer.second & mixer.setMaskB) * ROW_BYTES;
  const inputs = mixer.scratch;
  look(mixer, node);
  const logitA = clampLogit(weigh(weightsA, inputs) >> 6);
  const logitB = clampLogit(weigh(weightsB, inputs) >> 6);
  const logit = (logitA + logitB) >> 1;

  const position = logit + 2048;
  const share = position & 127;
  const column = position >> 7;
  const rowA = mixer.mapA + ((fold(mixer.firstMap, mixer.mapBitsA) * MAP_POINTS + column) << 1);
  const rowB = mixer.mapB + ((fold(mixer.secondMap, mixer.mapBitsB) * MAP_POINTS + column) << 1);
  const refined = interpolate(rowA, share) + interpolate(rowB, share);
  let probability = (squash(logit) * 2 + refined) >> 2;
  if (probability < MIN_PROBABILITY) probability = MIN_PROBABILITY;
  else if (probability > 65536 - MIN_PROBABILITY) probability = 65536 - MIN_PROBABILITY;

  const coded = codeBit(bit, probability);
  const target = coded ? 65535 : 0;
  wasLikely = probability >= 32768 === (coded !== 0) ? 1 : 0;
  const nearer: usize = share < 64 ? 0 : 2;
  approach(rowA + nearer, target);
  approach(rowB + nearer, target);
  const rate = nextRate(mixer);
  adjust(weightsA, inputs, ((target - squash(logitA)) * rate) >> 6);
  adjust(weightsB, inputs, ((target - squash(logitB)) * rate) >> 6);
  learn(mixer, target);
  return coded;
}

function nextRate(mixer: Mixer): i32 {
  const early = mixer.early - (mixer.decisions >> mixer.earlyShift);
  if (early <= 0) return mixer.learningRate;
  mixer.decisions += 1;
  return mixer.learningRate + early;
}

/**
 * Finds each context's slot and what it says, four at a time and without jumps: no processor foresees
 * which of two slots it will be, and what was stored word by word cannot be loaded as four at once.
 */
function look(mixer: Mixer, node: i32): void {
  const groups = (<usize>mixer.count) << 2;
  const inputs = mixer.scratch;
  const found = inputs + ROW_BYTES;
  const slots = i32x4.splat(<i32>mixer.slots);
  const slotMask = i32x4.splat(mixer.slotMask << 2);
  const nodeBytes = i32x4.splat(node << 2);
  const mark = i32x4.splat((node * 0x1d) & 0xff);
  const low = i32x4.splat(0xff);
  const neighbour = i32x4.splat(4);
  for (let at: usize = 0; at < groups; at += 16) {
    const base = v128.load(bases + at);
    const check = v128.xor(i32x4.shr_u(base, 24), mark);
    const place = i32x4.add(v128.and(v128.xor(i32x4.shl(base, 2), nodeBytes), slotMask), slots);
    const slot = gather(place);
    const other = gather(v128.xor(place, neighbour));
    const isHere = i32x4.eq(v128.and(i32x4.shr_u(slot, 8), low), check);
    const isThere = i32x4.eq(v128.and(i32x4.shr_u(other, 8), low), check);
    // Where neither knows the context, the one that has seen less makes room.
    const isRoomThere = i32x4.lt_s(v128.and(other, low), v128.and(slot, low));
    const goesThere = v128.andnot(v128.or(isThere, isRoomThere), isHere);
    const fresh = v128.or(i32x4.splat(<i32>0x80000000), i32x4.shl(check, 8));
    const known = v128.bitselect(slot, other, isHere);
    let value = v128.bitselect(known, fresh, v128.or(isHere, isThere));
    // Lanes without a context keep what they had.
    const used = i32x4.lt_s(
      i32x4.add(i32x4.splat(<i32>at >> 2), v128.load(lanes)),
      i32x4.splat(mixer.count),
    );
    value = v128.bitselect(value, v128.load(found + at), used);
    v128.store(chosen + at, v128.xor(place, v128.and(goesThere, neighbour)));
    v128.store(found + at, value);
    // A slot that has seen nothing holds one half, whose logit is 0.
    const probability = i32x4.shr_u(value, 16);
    const logit = stretchFour(probability);
    v128.store(inputs + at, v128.bitselect(logit, v128.load(inputs + at), used));
    const seen = v128.and(value, low);
    v128.store(found + LANE_BYTES + at, v128.and(reciprocalFour(seen), used));
  }
  const half = i32x4.splat(32768);
  const limit = i32x4.splat(CONFIDENCE_LIMIT);
  for (let at: usize = 0; at < LANE_BYTES; at += 16) {
    const slot = v128.load(found + at);
    const probability = i32x4.sub(i32x4.shr_u(slot, 16), half);
    const confidence = i32x4.min_s(v128.and(slot, low), limit);
    v128.store(inputs + LANE_BYTES + at, i32x4.shr_s(i32x4.mul(probability, confidence), 11));
  }
}

/** The words at four addresses. */
function gather(places: v128): v128 {
  let words = v128.load32_zero(<usize>i32x4.extract_lane(places, 0));
  words = v128.load32_lane(<usize>i32x4.extract_lane(places, 1), words, 1);
  words = v128.load32_lane(<usize>i32x4.extract_lane(places, 2), words, 2);
  return v128.load32_lane(<usize>i32x4.extract_lane(places, 3), words, 3);
}

/** Moves the slots that were looked at towards what came. */
function learn(mixer: Mixer, target: i32): void {
  const found = mixer.scratch + ROW_BYTES;
  const goal = i32x4.splat(target);
  const least = i32x4.splat(1);
  const most = i32x4.splat(65535);
  const checkMask = i32x4.splat(0xff00);
  const seenMask = i32x4.splat(0xff);
  const limit = i32x4.splat(mixer.countLimit);
  const end = (<usize>mixer.count) << 2;
  for (let at: usize = 0; at < LANE_BYTES; at += 16) {
    const slot = v128.load(found + at);
    let probability = i32x4.shr_u(slot, 16);
    const step = i32x4.mul(i32x4.sub(goal, probability), v128.load(found + LANE_BYTES + at));
    probability = i32x4.add(probability, i32x4.shr_s(step, 15));
    probability = i32x4.min_s(i32x4.max_s(probability, least), most);
    const seen = i32x4.min_s(i32x4.add(v128.and(slot, seenMask), least), limit);
    const rest = v128.or(v128.and(slot, checkMask), seen);
    const moved = v128.or(i32x4.shl(probability, 16), rest);
    v128.store(found + at, moved);
    // One after the other: of two contexts in one slot the later one stands.
    if (at < end) {
      store<i32>(<usize>load<u32>(chosen + at), i32x4.extract_lane(moved, 0));
      store<i32>(<usize>load<u32>(chosen + at, 4), i32x4.extract_lane(moved, 1));
    }
    if (at + 8 < end) {
      store<i32>(<usize>load<u32>(chosen + at, 8), i32x4.extract_lane(moved, 2));
      store<i32>(<usize>load<u32>(chosen + at, 12), i32x4.extract_lane(moved, 3));
    }
  }
}

function clampLogit(logit: i32): i32 {
  return logit > 2047 ? 2047 : logit < -2047 ? -2047 : logit;
}

function interpolate(at: usize, share: i32): i32 {
  return (<i32>load<u16>(at) * (128 - share) + <i32>load<u16>(at, 2) * share) >> 7;
}

function approach(at: usize, target: i32): void {
  const value: i32 = load<u16>(at);
  store<u16>(at, value + ((target - value) >> 6));
}

/** A selector of up to 16 bits in `bits` bits. */
function fold(value: i32, bits: i32): i32 {
  return (value ^ (value >>> bits)) & ((1 << bits) - 1);
}
