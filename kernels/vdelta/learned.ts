/**
 * What has been seen of words and addresses: three tables of pairs of 32-bit words, key and value. An
 * entry forgets the one that it displaces. Before anything is learned, 0 stands for 0.
 */
let words: usize = 0;
let exact: usize = 0;
let shifts: usize = 0;
let mask: i32 = 0;

/** What `lookWord`, `lookExact` and `lookNear` found. */
export let found: i32 = 0;

/** Neighbours that moved by more than this have nothing in common. */
const MAX_SHIFT: i32 = 1 << 20;
/** Neighbourhoods of an address, the nearest first: how many of its lowest bits they leave open. */
const NEAR: i32 = 5;
const FAR: i32 = 9;
const FARTHEST: i32 = 14;
const NEAR_SALT: i32 = 0x01234567;
const FAR_SALT: i32 = 0x07654321;
const FARTHEST_SALT: i32 = 0x0abcdef1;

/** `tables` has room for three tables of 2^bits entries, and is zero. */
export function setLearned(tables: usize, bits: i32): void {
  const bytes: usize = 8 << bits;
  words = tables;
  exact = tables + bytes;
  shifts = exact + bytes;
  mask = (1 << bits) - 1;
}

function slot(table: usize, key: i32): usize {
  const hash: i32 = (key ^ (key >>> 15)) * <i32>0x9e3779b1;
  return table + ((<usize>((hash ^ (hash >>> 14)) & mask)) << 3);
}

function look(table: usize, key: i32): bool {
  const at = slot(table, key);
  if (load<i32>(at) !== key) return false;
  found = load<i32>(at, 4);
  return true;
}

function set(table: usize, key: i32, value: i32): void {
  const at = slot(table, key);
  store<i32>(at, key);
  store<i32>(at, value, 4);
}

/** Old word -> new word. */
export function lookWord(word: i32): bool {
  return look(words, word);
}

export function setWord(word: i32, now: i32): void {
  set(words, word, now);
}

/** Old address (or place) -> new one, exactly as seen. */
export function lookExact(address: i32): bool {
  return look(exact, address);
}

export function setExact(from: i32, to: i32): void {
  set(exact, from, to);
}

/**
 * By how much the last address near this one moved: 2 where one within 512 did, 1 where only one
 * within 16 KB did, else 0.
 */
export function lookNear(address: i32): i32 {
  if (!look(shifts, (address >>> FARTHEST) ^ FARTHEST_SALT)) return 0;
  if (look(shifts, (address >>> NEAR) ^ NEAR_SALT)) return 2;
  return look(shifts, (address >>> FAR) ^ FAR_SALT) ? 2 : 1;
}

/** That something stayed where it was is worth knowing only where something else moved. */
export function learnShift(address: i32, shift: i32): void {
  if (shift <= -MAX_SHIFT || shift >= MAX_SHIFT) return;
  const farthest = (address >>> FARTHEST) ^ FARTHEST_SALT;
  if (shift === 0 && !look(shifts, farthest)) return;
  set(shifts, (address >>> NEAR) ^ NEAR_SALT, shift);
  set(shifts, (address >>> FAR) ^ FAR_SALT, shift);
  set(shifts, farthest, shift);
}

/** Remembers where an address really went. */
export function learnAddress(from: i32, to: i32): void {
  setExact(from, to);
  learnShift(from, to - from);
}
