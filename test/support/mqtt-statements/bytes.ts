/** A string or bytes with their length before them (MQTT 5.0 §1.5.4, §1.5.6). */
export function counted(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

type Part = Buffer | readonly number[];

/** A packet of fewer than 16,384 bytes: its first byte, its length, and what is in it. */
export function packet(first: number, ...parts: Part[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const size = body.length;
  const length = size < 0x80 ? [size] : [(size & 0x7f) | 0x80, size >> 7];
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

/** Properties with their length before them. */
export function properties(...parts: Part[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([body.length]), body]);
}

/** What is no UTF-8: a byte that nothing follows, a surrogate. */
export const NO_UTF8 = [Buffer.from([0xc3, 0x28]), Buffer.from([0xed, 0xa0, 0x80])];

/** A CONNECT of MQTT 5; `fields` is what follows the client identifier. */
export function connectPacket(
  flags: number,
  { id = "c" as string | Buffer | null, fields = [] as Part[], before = properties() } = {},
): Buffer {
  const head = [...counted("MQTT"), 5, flags, 0, 60];
  return packet(0x10, head, before, id === null ? [] : counted(id), ...fields);
}
