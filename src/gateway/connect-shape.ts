const WILL = 0x04;
const USER_NAME = 0x80;
const PASSWORD = 0x40;
const VERSION_5 = 5;

/**
 * Whether a CONNECT holds what its flags announce and nothing behind it (MQTT 5.0 §3.1.2.3, §3.1.3
 * [MQTT-3.1.2-16] to [MQTT-3.1.2-19]): the codec reads no further than it has to.
 */
export function hasConnectShape(bytes: Buffer): boolean {
  let offset = 1;
  const skipInteger = (): number => {
    let value = 0;
    for (let shift = 1; offset < bytes.length; shift *= 128) {
      const byte = bytes[offset++] as number;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
    return Number.POSITIVE_INFINITY;
  };
  const skipCounted = (): void => {
    offset =
      offset + 2 > bytes.length
        ? Number.POSITIVE_INFINITY
        : offset + 2 + bytes.readUInt16BE(offset);
  };
  skipInteger();
  skipCounted();
  const [version = 0, flags = 0] = bytes.subarray(offset, offset + 2);
  // Version, flags and Keep Alive.
  offset += 4;
  const skipProperties = () => {
    if (version !== VERSION_5) return;
    const sizeBytes = skipInteger();
    offset += sizeBytes;
  };
  skipProperties();
  skipCounted();
  if (flags & WILL) {
    skipProperties();
    skipCounted();
    skipCounted();
  }
  if (flags & USER_NAME) skipCounted();
  if (flags & PASSWORD) skipCounted();
  return offset === bytes.length;
}
