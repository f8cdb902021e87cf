/**
 * SMP over a console (Zephyr, "SMP over console"; mcumgr's serial transport): a packet with its length
 * in front and a CRC behind, in Base64, cut into lines that begin with a marker.
 */
const FIRST = Buffer.from([0x06, 0x09]);
const NEXT = Buffer.from([0x04, 0x14]);
/** A line has 127 bytes at most: the marker, Base64 in groups of four, and the line's end. */
const LINE_CHARACTERS = 124;
/** Longest packet that is put together. */
const MAX_PACKET_BYTES = 64 * 1024;
const MAX_LINE_BYTES = 4_096;

/** CRC-16 with the polynomial 0x1021 and no start value (XMODEM). */
export function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}

export function encodeFrames(packet: Uint8Array): Buffer {
  const framed = Buffer.alloc(packet.length + 4);
  framed.writeUInt16BE(packet.length + 2, 0);
  framed.set(packet, 2);
  framed.writeUInt16BE(crc16(packet), packet.length + 2);
  const text = framed.toString("base64");
  const lines: Buffer[] = [];
  for (let at = 0; at < text.length; at += LINE_CHARACTERS) {
    const marker = at === 0 ? FIRST : NEXT;
    lines.push(marker, Buffer.from(`${text.slice(at, at + LINE_CHARACTERS)}\n`));
  }
  return Buffer.concat(lines);
}

/** Puts packets together again; whatever else a console writes is passed over. */
export class FrameReader {
  readonly #onPacket: (packet: Buffer) => void;
  #line = Buffer.alloc(0);
  #packet: Buffer | undefined;

  constructor(onPacket: (packet: Buffer) => void) {
    this.#onPacket = onPacket;
  }

  push(bytes: Uint8Array): void {
    this.#line = Buffer.concat([this.#line, bytes]);
    for (let end = this.#line.indexOf("\n"); end >= 0; end = this.#line.indexOf("\n")) {
      const line = this.#line.subarray(0, end);
      this.#line = this.#line.subarray(end + 1);
      this.#takeLine(line);
    }
    // Noise without an end is not kept.
    if (this.#line.length > MAX_LINE_BYTES) this.#line = Buffer.alloc(0);
  }

  #takeLine(line: Buffer): void {
    const at = Math.max(line.lastIndexOf(FIRST), line.lastIndexOf(NEXT));
    if (at < 0) return;
    const body = Buffer.from(line.subarray(at + 2).toString("latin1"), "base64");
    if (line.indexOf(FIRST, at) === at) this.#packet = body;
    else if (this.#packet) this.#packet = Buffer.concat([this.#packet, body]);
    const packet = this.#packet;
    if (!packet || packet.length < 2) return;
    const length = packet.readUInt16BE(0);
    if (packet.length > MAX_PACKET_BYTES) this.#packet = undefined;
    if (packet.length < length + 2) return;
    this.#packet = undefined;
    const content = packet.subarray(2, length);
    if (length < 2 || crc16(content) !== packet.readUInt16BE(length)) return;
    this.#onPacket(Buffer.from(content));
  }
}
