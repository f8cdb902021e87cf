// Numbers, streams and the head for the second applier (see vdelta-by-the-text.ts).
import { zstdDecompressSync } from "node:zlib";

export interface Space {
  module: number;
  source: number;
  length: number;
  sourceAddress: number;
  target: number;
  targetAddress: number;
}

export interface Step {
  copied: number;
  literals: number;
  seek: number;
}

export interface Head {
  version: number;
  isSmall: boolean;
  profile: number;
  isThumb: boolean;
  grain: number;
  sourceSize: number;
  targetSize: number;
  steps: number;
  spaces: Space[];
  /** Where the head ends. */
  end: number;
}

export class Bytes {
  at = 0;
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  next(): number {
    return this.bytes[this.at++] ?? 0;
  }
  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.next();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
  signed(): number {
    return unzigzag(this.varint());
  }
  /** "A packed stream". */
  stream(): Uint8Array {
    const length = this.varint();
    const packed = this.varint();
    const body = this.bytes.subarray(this.at, this.at + packed);
    this.at += packed;
    return packed === length ? body : zstdDecompressSync(body);
  }
}

export function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

export function readHead(bytes: Bytes): Head {
  bytes.at = 4;
  const version = bytes.next();
  const isSmall = bytes.next() === 1;
  const profile = bytes.next();
  const processor = bytes.next();
  if (processor > 1) throw new Error("this applier knows no such processor");
  const grain = version > 2 ? bytes.next() : 2;
  bytes.at += 4;
  const [sourceSize, targetSize, steps] = [bytes.varint(), bytes.varint(), bytes.varint()];
  const spaces: Space[] = [];
  let p: Space = {
    ...{ module: 0, source: 0, length: 0, sourceAddress: 0, target: 0, targetAddress: 0 },
  };
  for (let left = bytes.varint(); left > 0; left--) {
    const module = p.module + bytes.varint();
    const source = p.source + p.length + bytes.varint();
    const length = bytes.varint();
    const sourceAddress = bytes.varint();
    const target = p.target + (source - p.source) + bytes.signed();
    const targetAddress = (sourceAddress + bytes.signed()) >>> 0;
    p = { module, source, length, sourceAddress, target, targetAddress };
    spaces.push(p);
  }
  const isThumb = processor === 1;
  const sizes = { sourceSize, targetSize, steps, spaces, end: bytes.at };
  return { version, isSmall, profile, isThumb, grain, ...sizes };
}
