/** A packed stream that was found in an image. */
export interface FoundStream {
  /** Bytes from where it begins. */
  packedBytes: number;
  content: Uint8Array;
  /** What the codec wants to remember until `describe`. */
  details?: unknown;
}

/** What the streams of one pair have taught so far, so that likely settings are tried first. */
export type Experience = Map<string, unknown>;

/**
 * A reversible way to pack. Unpacking gives the same bytes everywhere; packing must, so it is
 * either arithmetic of our own or bound to the version that is named in the patch.
 */
export interface Codec {
  name: string;
  /** Places where a stream may begin, in ascending order. */
  candidates(bytes: Uint8Array): Iterable<number>;
  /** The stream that begins at `at`; undefined where there is none. Content above `maxBytes` is none. */
  find(bytes: Uint8Array, at: number, maxBytes: number): FoundStream | undefined;
  /** What `pack` needs to make exactly these packed bytes; undefined where it cannot. */
  describe(
    packed: Uint8Array,
    found: FoundStream,
    experience: Experience,
  ): Promise<Uint8Array | undefined>;
  /** The content of a whole stream. */
  unpack(packed: Uint8Array, contentBytes: number): Uint8Array;
  /** Makes the packed bytes again; takes exactly `contentBytes` of `content`. */
  pack(
    settings: Uint8Array,
    contentBytes: number,
    content: AsyncIterable<Uint8Array>,
  ): AsyncIterable<Uint8Array>;
  /** Bytes that `pack` holds at most. */
  memoryToPack(settings: Uint8Array, contentBytes: number): number;
  /** A library whose version decides the packed bytes: a device must have it. */
  requires?: string;
}

/** All of what passes, which must be `sizeBytes`. */
export async function collect(
  chunks: AsyncIterable<Uint8Array>,
  sizeBytes: number,
): Promise<Uint8Array> {
  const whole = new Uint8Array(sizeBytes);
  let filled = 0;
  for await (const chunk of chunks) {
    whole.set(chunk, filled);
    filled += chunk.length;
  }
  return whole;
}

/** Places of a sequence of bytes. */
export function* placesOf(bytes: Uint8Array, sequence: readonly number[]): Generator<number> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wanted = Buffer.from(sequence);
  for (let at = buffer.indexOf(wanted); at >= 0; at = buffer.indexOf(wanted, at + 1)) yield at;
}
