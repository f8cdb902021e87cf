/**
 * An image for machines whose slot is in two places: the kernel, an EFI program on the system
 * partition, and the root image, on a partition of its own. One file is signed, published and
 * patched; the agent writes its parts to where they belong.
 */
export interface SlotImageLayout {
  kernelBytes: number;
  rootBytes: number;
}

export const SLOT_IMAGE = {
  /** The header, and what every part is filled up to. */
  blockBytes: 4096,
  magic: "VAUTNSLT",
  version: 1,
} as const;

const MAX_PART_BYTES = 16 * 1024 ** 3;

export function slotImageHeader({ kernelBytes, rootBytes }: SlotImageLayout): Buffer {
  const header = Buffer.alloc(SLOT_IMAGE.blockBytes);
  header.write(SLOT_IMAGE.magic, 0, "latin1");
  header.writeUInt32LE(SLOT_IMAGE.version, 8);
  header.writeBigUInt64LE(BigInt(kernelBytes), 16);
  header.writeBigUInt64LE(BigInt(rootBytes), 24);
  return header;
}

/** The layout, or undefined where these are not the first bytes of a slot image. */
export function readSlotImageHeader(header: Uint8Array): SlotImageLayout | undefined {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.length);
  if (bytes.length < SLOT_IMAGE.blockBytes) return undefined;
  if (bytes.toString("latin1", 0, 8) !== SLOT_IMAGE.magic) return undefined;
  if (bytes.readUInt32LE(8) !== SLOT_IMAGE.version) return undefined;
  const kernelBytes = Number(bytes.readBigUInt64LE(16));
  const rootBytes = Number(bytes.readBigUInt64LE(24));
  if (kernelBytes > MAX_PART_BYTES || rootBytes > MAX_PART_BYTES) return undefined;
  return { kernelBytes, rootBytes };
}

/** Where the parts begin, and how long the whole is. */
export function slotImagePlaces(layout: SlotImageLayout) {
  const kernelAt = SLOT_IMAGE.blockBytes;
  const kernelSpace = Math.ceil(layout.kernelBytes / SLOT_IMAGE.blockBytes) * SLOT_IMAGE.blockBytes;
  const rootAt = kernelAt + kernelSpace;
  return { kernelAt, rootAt, sizeBytes: rootAt + layout.rootBytes };
}
