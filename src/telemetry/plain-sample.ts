import { LIMITS } from "../kernel/index.ts";

/** A metric's name that has been found good, as its bytes too; ASCII, and no whole number. */
interface KnownName {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** The name that came behind it last: devices say the same ones in the same order. */
  next: KnownName | undefined;
  /** In which sample it came last. */
  sample: number;
}

const MAX_NAMES = 10_000;
/** Names of one key: whoever makes up more of them is read by JSON.parse. */
const MAX_ALIKE = 8;
const [SPACE, QUOTE, COMMA, COLON, OPEN, CLOSE] = [0x20, 0x22, 0x2c, 0x3a, 0x7b, 0x7d];
const [MINUS, DOT, ZERO, NINE, PLUS] = [0x2d, 0x2e, 0x30, 0x39, 0x2b];
/** Below 10^15 a whole number is a double, and its quotient by one of these is rounded once. */
const EXACT_DIGITS = 15;
const POWERS = Float64Array.from({ length: EXACT_DIGITS + 1 }, (_, index) => 10 ** index);
const [TS, SEQ, VALUES] = [1, 2, 4];

/**
 * Reads the sample that nearly all are: `ts`, `seq` and numbers under names that were seen before,
 * without escapes and without a name twice. What it reads it reads as JSON.parse does, without making
 * an object of it; everything else, and every fault, is left to JSON.parse.
 */
export class PlainSample {
  ts = 0;
  seq = 0;
  /** The values are the first so many of `names` and `values`. */
  count = 0;
  readonly names: string[] = [];
  readonly values = new Float64Array(LIMITS.telemetryMetricsPerSample);
  #first: KnownName | undefined;
  readonly #known = new Map<number, KnownName[]>();
  readonly #learned = new Set<string>();
  #sample = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  /** Whether it could; the fields are those of this sample then. `values` comes behind the others. */
  read(bytes: Uint8Array): boolean {
    this.#bytes = bytes;
    this.#at = 0;
    this.#sample += 1;
    const isRead = this.#readSample();
    this.#bytes = NOTHING;
    return isRead;
  }

  /** A name that has been found good for every device, so that it is known again. */
  learn(text: string): void {
    if (this.#learned.has(text) || this.#learned.size >= MAX_NAMES) return;
    this.#learned.add(text);
    // JSON.parse puts whole numbers before all other names.
    if (/^\d/.test(text)) return;
    const bytes = Buffer.from(text, "latin1");
    const key = keyOf(bytes, 0, bytes.length);
    const alike = this.#known.get(key) ?? [];
    if (alike.length >= MAX_ALIKE) return;
    alike.push({ text, bytes, next: undefined, sample: 0 });
    this.#known.set(key, alike);
  }

  #readSample(): boolean {
    if (!this.#take(OPEN)) return false;
    for (let seen = 0; ; ) {
      const member = this.#member();
      if (member === 0 || (seen & member) !== 0) return false;
      seen |= member;
      if (member === VALUES) return seen === (TS | SEQ | VALUES) && this.#values() && this.#ends();
      const value = this.#number();
      if (Number.isNaN(value) || !this.#take(COMMA)) return false;
      if (member === TS) this.ts = value;
      else this.seq = value;
    }
  }

  /** Which member of a sample begins here; 0 where it is none. */
  #member(): number {
    const bytes = this.#bytes;
    this.#skip();
    const at = this.#at;
    if (bytes[at] !== QUOTE) return 0;
    const member =
      bytes[at + 3] === QUOTE
        ? TS
        : bytes[at + 4] === QUOTE
          ? SEQ
          : bytes[at + 7] === QUOTE
            ? VALUES
            : 0;
    const name = MEMBERS[member];
    if (!name || !isAt(bytes, at + 1, name)) return 0;
    this.#at = at + 2 + name.length;
    return this.#take(COLON) ? member : 0;
  }

  #values(): boolean {
    this.count = 0;
    if (!this.#take(OPEN)) return false;
    let expected = this.#first;
    let last: KnownName | undefined;
    for (;;) {
      const name = this.#name(expected);
      // Of a name that comes twice JSON.parse takes the last.
      if (!name || name.sample === this.#sample || this.count >= this.values.length) return false;
      name.sample = this.#sample;
      if (last) last.next = name;
      else this.#first = name;
      last = name;
      expected = name.next;
      if (!this.#take(COLON)) return false;
      const value = this.#number();
      if (Number.isNaN(value)) return false;
      this.names[this.count] = name.text;
      this.values[this.count] = value;
      this.count += 1;
      if (this.#take(COMMA)) continue;
      return this.#take(CLOSE);
    }
  }

  /** The name that stands here, if it is known. */
  #name(expected: KnownName | undefined): KnownName | undefined {
    const bytes = this.#bytes;
    this.#skip();
    const start = this.#at + 1;
    if (bytes[this.#at] !== QUOTE) return undefined;
    if (expected && isAt(bytes, start, expected.bytes)) {
      const end = start + expected.bytes.length;
      if (bytes[end] === QUOTE) {
        this.#at = end + 1;
        return expected;
      }
    }
    const end = bytes.indexOf(QUOTE, start);
    if (end < 0 || end - start > LIMITS.metricNameLength) return undefined;
    const alike = this.#known.get(keyOf(bytes, start, end));
    const found = alike?.find((one) => {
      return one.bytes.length === end - start && isAt(bytes, start, one.bytes);
    });
    this.#at = end + 1;
    return found;
  }

  /** A finite number; NaN where there is none. */
  #number(): number {
    const bytes = this.#bytes;
    this.#skip();
    const start = this.#at;
    let at = start;
    const isNegative = bytes[at] === MINUS;
    if (isNegative) at += 1;
    let whole = 0;
    let digits = 0;
    const first = at;
    let byte = bytes[at] as number;
    while (byte >= ZERO && byte <= NINE) {
      whole = whole * 10 + (byte - ZERO);
      byte = bytes[++at] as number;
    }
    digits = at - first;
    // RFC 8259 §6: no zero before another digit.
    if (digits === 0 || (digits > 1 && bytes[first] === ZERO)) return Number.NaN;
    let decimals = 0;
    if (byte === DOT) {
      const point = at;
      byte = bytes[++at] as number;
      while (byte >= ZERO && byte <= NINE) {
        whole = whole * 10 + (byte - ZERO);
        byte = bytes[++at] as number;
      }
      decimals = at - point - 1;
      if (decimals === 0) return Number.NaN;
      digits += decimals;
    }
    const hasExponent = byte === 0x65 || byte === 0x45;
    if (hasExponent) at = this.#exponentEnd(at);
    this.#at = at;
    if (hasExponent || digits > EXACT_DIGITS) return at < 0 ? Number.NaN : this.#parsed(start, at);
    const value = decimals === 0 ? whole : whole / (POWERS[decimals] as number);
    return isNegative ? -value : value;
  }

  /** Where the exponent that begins here is over; -1 where it is none. */
  #exponentEnd(start: number): number {
    const bytes = this.#bytes;
    let at = start + 1;
    if (bytes[at] === PLUS || bytes[at] === MINUS) at += 1;
    const first = at;
    while ((bytes[at] as number) >= ZERO && (bytes[at] as number) <= NINE) at += 1;
    return at > first ? at : -1;
  }

  /** A number of many digits, or with an exponent: well-formed, and rarely seen. */
  #parsed(start: number, end: number): number {
    const value = Number(Buffer.from(this.#bytes.subarray(start, end)).toString("latin1"));
    return Number.isFinite(value) ? value : Number.NaN;
  }

  #skip(): void {
    while (this.#bytes[this.#at] === SPACE) this.#at += 1;
  }

  #take(byte: number): boolean {
    this.#skip();
    if (this.#bytes[this.#at] !== byte) return false;
    this.#at += 1;
    return true;
  }

  /** Whether the sample is over, and the message with it. */
  #ends(): boolean {
    return this.#take(CLOSE) && this.#at === this.#bytes.length;
  }
}

const NOTHING = new Uint8Array(0);
const MEMBERS: Readonly<Record<number, Uint8Array>> = {
  [TS]: Buffer.from("ts"),
  [SEQ]: Buffer.from("seq"),
  [VALUES]: Buffer.from("values"),
};

function isAt(bytes: Uint8Array, start: number, wanted: Uint8Array): boolean {
  const { length } = wanted;
  for (let index = 0; index < length; index += 1) {
    if (bytes[start + index] !== wanted[index]) return false;
  }
  return true;
}

function keyOf(bytes: Uint8Array, start: number, end: number): number {
  let key = end - start;
  for (let at = start; at < end; at += 1) key = (Math.imul(key, 31) + (bytes[at] as number)) | 0;
  return key;
}
