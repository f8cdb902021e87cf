/** A firmware as UF2, in two runs of blocks as boards with a second area have. */
export function asUf2(bytes: Uint8Array, payloadBytes = 256): Buffer {
  const total = Math.ceil(bytes.length / payloadBytes);
  const blocks = Array.from({ length: total }, (_, number) => {
    const block = Buffer.alloc(512);
    const base = number < total / 2 ? 0x10000000 : 0x20000000;
    const words = [0x0a324655, 0x9e5d5157, 0x2000, base + number * payloadBytes, payloadBytes];
    for (const [index, word] of [...words, number, total, 0xe48bff56].entries()) {
      block.writeUInt32LE(word >>> 0, 4 * index);
    }
    block.set(bytes.subarray(number * payloadBytes, (number + 1) * payloadBytes), 32);
    block.writeUInt32LE(0x0ab16f30, 508);
    return block;
  });
  return Buffer.concat(blocks);
}

interface HexOptions {
  ending?: string;
  recordBytes?: number;
  isLowerCase?: boolean;
  isOpen?: boolean;
}

/** A firmware as Intel HEX, with a record for each 64 KiB and one for the start. */
export function asIntelHex(
  bytes: Uint8Array,
  { ending = "\n", recordBytes = 16, isLowerCase = false, isOpen = false }: HexOptions = {},
): Buffer {
  const lines: string[] = [];
  const put = (type: number, address: number, data: Uint8Array) => {
    const record = Buffer.from([data.length, (address >> 8) & 255, address & 255, type, ...data]);
    const sum = record.reduce((total, byte) => total + byte, 0);
    const digits = Buffer.concat([record, Buffer.from([-sum & 255])]).toString("hex");
    lines.push(`:${isLowerCase ? digits : digits.toUpperCase()}`);
  };
  for (let at = 0; at < bytes.length; at += recordBytes) {
    if (at % 65536 === 0) put(4, 0, Buffer.from([8, at >> 16]));
    put(0, at & 0xffff, bytes.subarray(at, at + recordBytes));
  }
  put(5, 0, Buffer.from([8, 0, 1, 0x41]));
  put(1, 0, new Uint8Array(0));
  return Buffer.from(lines.join(ending) + (isOpen ? "" : ending));
}
