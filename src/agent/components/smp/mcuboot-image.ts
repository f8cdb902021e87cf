const HEADER_MAGIC = 0x96f3b83d;
const TLV_MAGIC = 0x6907;
const PROTECTED_TLV_MAGIC = 0x6908;
const TLV_SHA256 = 0x10;
const HEADER_BYTES = 32;
const TLV_INFO_BYTES = 4;

/**
 * The hash by which MCUboot knows an image (MCUboot, design, "Image format"): SHA-256 over header and
 * content, kept in the trailer behind them. Undefined where the file is no such image.
 */
export function mcubootHash(image: Buffer): Buffer | undefined {
  if (image.length < HEADER_BYTES || image.readUInt32LE(0) !== HEADER_MAGIC) return undefined;
  let at = image.readUInt16LE(8) + image.readUInt32LE(12);
  if (image.readUInt16LE(10) > 0) {
    if (at + TLV_INFO_BYTES > image.length) return undefined;
    if (image.readUInt16LE(at) !== PROTECTED_TLV_MAGIC) return undefined;
    at += image.readUInt16LE(at + 2);
  }
  if (at + TLV_INFO_BYTES > image.length || image.readUInt16LE(at) !== TLV_MAGIC) return undefined;
  const end = Math.min(image.length, at + image.readUInt16LE(at + 2));
  for (at += TLV_INFO_BYTES; at + TLV_INFO_BYTES <= end; ) {
    const length = image.readUInt16LE(at + 2);
    const content = image.subarray(at + TLV_INFO_BYTES, at + TLV_INFO_BYTES + length);
    if (image.readUInt16LE(at) === TLV_SHA256) return content.length === 32 ? content : undefined;
    at += TLV_INFO_BYTES + length;
  }
  return undefined;
}
