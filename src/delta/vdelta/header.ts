import { refusePatch } from "../format.ts";
import type { AddressSpace } from "./address-spaces.ts";
import { ARCHITECTURES, type Architecture } from "./architectures.ts";
import { unzigzag, zigzag } from "./numbers.ts";
import { FIRST_OF_4, PROFILES } from "./profile.ts";

const MAGIC = [0x56, 0x44, 0x4c, 0x54];
/** All are read; the fast coder is the same in all, and its patches stay readable for older devices. */
const VERSIONS = [2, 3, 4];
/** A literal's place counts modulo 2^grain; version 2 knew only this. */
const GRAIN_OF_2 = 2;
const MAX_GRAIN = 2;
const CODERS = ["fast", "small"] as const;
const FIXED_BYTES = 13;
const MAX_SIZE = 2 ** 31 - 1;
/** Spaces above this are left out by the encoder. */
export const MAX_SPACES = 4096;
/** An address is looked up in each space of its module. */
export const MAX_MODULE_SPACES = 16;
const MAX_VARINT_BYTES = 5;
/** A header is never longer. */
export const MAX_HEADER_BYTES =
  FIXED_BYTES + MAX_VARINT_BYTES * 4 + MAX_SPACES * 6 * MAX_VARINT_BYTES;

export interface VdeltaHeader {
  version: number;
  coder: (typeof CODERS)[number];
  /** Index into PROFILES. */
  profile: number;
  architecture: Architecture;
  /** Instructions, and what literals are made of, lie at multiples of 2^grain. */
  grain: number;
  sourceSize: number;
  targetSize: number;
  /** CRC-32 of the new image (the one of zlib and Ethernet). */
  checksum: number;
  steps: number;
  spaces: AddressSpace[];
}

export function encodeHeader(header: VdeltaHeader): Uint8Array {
  const bytes = [
    ...MAGIC,
    header.version,
    CODERS.indexOf(header.coder),
    header.profile,
    ARCHITECTURES.indexOf(header.architecture),
    ...(header.version > 2 ? [header.grain] : []),
  ];
  for (let shift = 0; shift < 32; shift += 8) bytes.push((header.checksum >>> shift) & 0xff);
  const put = (value: number) => {
    let rest = value;
    while (rest >= 0x80) {
      bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    bytes.push(rest);
  };
  put(header.sourceSize);
  put(header.targetSize);
  put(header.steps);
  put(header.spaces.length);
  let before: AddressSpace = EMPTY_SPACE;
  for (const space of header.spaces) {
    put(space.module - before.module);
    put(space.source - (before.source + before.length));
    put(space.length);
    put(space.sourceAddress);
    put(zigzag(space.target - before.target - (space.source - before.source)));
    put(zigzag((space.targetAddress - space.sourceAddress) | 0));
    before = space;
  }
  return Uint8Array.from(bytes);
}

const EMPTY_SPACE: AddressSpace = {
  module: 0,
  source: 0,
  length: 0,
  sourceAddress: 0,
  target: 0,
  targetAddress: 0,
};

/** Bytes one after the other. */
interface ByteInput {
  next(): number;
}

export function isVdelta(patch: Uint8Array): boolean {
  return MAGIC.every((byte, index) => patch[index] === byte);
}

export function decodeHeader(input: ByteInput): VdeltaHeader {
  for (const byte of MAGIC)
    if (input.next() !== byte) throw refusePatch("the patch is not a vdelta");
  const version = input.next();
  if (!VERSIONS.includes(version)) throw refusePatch(`vdelta version ${version} is not known here`);
  const coder = CODERS[input.next()];
  const profile = input.next();
  const architecture = ARCHITECTURES[input.next()];
  const isKnown = PROFILES[profile] && (profile < FIRST_OF_4 || version > 3);
  if (!coder || !architecture || !isKnown) {
    throw refusePatch("the vdelta names a coder, profile or processor that is not known here");
  }
  const grain = version > 2 ? input.next() : GRAIN_OF_2;
  if (grain > MAX_GRAIN) throw refusePatch("the vdelta names a grain that is not known here");
  let checksum = 0;
  for (let shift = 0; shift < 32; shift += 8) checksum |= input.next() << shift;
  const sourceSize = readVarint(input, MAX_SIZE);
  const targetSize = readVarint(input, MAX_SIZE);
  const steps = readVarint(input, targetSize + 1);
  const spaces = readSpaces(input, sourceSize, targetSize);
  return {
    version,
    coder,
    profile,
    architecture,
    grain,
    sourceSize,
    targetSize,
    checksum: checksum >>> 0,
    steps,
    spaces,
  };
}

function readSpaces(input: ByteInput, sourceSize: number, targetSize: number): AddressSpace[] {
  const count = readVarint(input, MAX_SPACES);
  const spaces: AddressSpace[] = [];
  let before = EMPTY_SPACE;
  let inModule = 0;
  for (let index = 0; index < count; index++) {
    const step = readVarint(input, 1);
    inModule = step === 1 ? 1 : inModule + 1;
    if (inModule > MAX_MODULE_SPACES) throw refusePatch("a module has too many address spaces");
    const module = before.module + step;
    const source = before.source + before.length + readVarint(input, MAX_SIZE);
    const length = readVarint(input, MAX_SIZE);
    const sourceAddress = readVarint(input, 2 ** 32 - 1);
    const moved = unzigzag(readVarint(input, 2 ** 33));
    const target = before.target + (source - before.source) + moved;
    const shift = unzigzag(readVarint(input, 2 ** 33));
    const targetAddress = (sourceAddress + shift) >>> 0;
    if (source + length > sourceSize || target < 0 || target > targetSize) {
      throw refusePatch("the vdelta has an address space outside of its images");
    }
    const space = { module, source, length, sourceAddress, target, targetAddress };
    spaces.push(space);
    before = space;
  }
  return spaces;
}

export function readVarint(input: ByteInput, max: number): number {
  let result = 0;
  let scale = 1;
  for (let index = 0; index < MAX_VARINT_BYTES; index++) {
    const byte = input.next();
    result += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (result > max) throw refusePatch("the vdelta holds a number that is too large");
      return result;
    }
    scale *= 0x80;
  }
  throw refusePatch("the vdelta holds a number that is too long");
}
