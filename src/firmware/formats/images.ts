import { type ByteSource, cleanFacts, type Recognised } from "./source.ts";

/** e_machine of what devices run on (gABI, chapter 4). */
const MACHINES: Record<number, string> = {
  3: "x86",
  8: "MIPS",
  20: "PowerPC",
  40: "ARM",
  62: "x86-64",
  94: "Xtensa",
  183: "AArch64",
  243: "RISC-V",
};

export async function recogniseElf(source: ByteSource): Promise<Recognised | undefined> {
  const head = await source.read(0, 64);
  if (head.length < 52 || head.toString("latin1", 0, 4) !== "\x7fELF") return undefined;
  const bits = head[4] === 2 ? 64 : 32;
  const little = head[5] === 1;
  const u16 = (at: number) => (little ? head.readUInt16LE(at) : head.readUInt16BE(at));
  const machine = MACHINES[u16(18)] ?? `machine ${u16(18)}`;
  return {
    kind: "elf",
    description: `ELF ${bits}-bit, ${machine}`,
    facts: cleanFacts({
      machine,
      bits: String(bits),
      byteOrder: little ? "little" : "big",
      type: ["", "relocatable", "executable", "shared", "core"][u16(16)],
    }),
  };
}

const UF2_BLOCK = 512;
/** Of the public list; others are shown by their number. */
const UF2_FAMILIES: Record<number, string> = {
  3834380118: "RP2040",
  3834380121: "RP2350-ARM-S",
  2913282112: "nRF52840",
  1760373640: "SAMD21",
  1427194976: "SAMD51",
  1467308631: "STM32F4",
  3218951918: "ESP32-S2",
  3296614247: "ESP32-S3",
};

export async function recogniseUf2(source: ByteSource): Promise<Recognised | undefined> {
  const block = await source.read(0, UF2_BLOCK);
  if (block.length < UF2_BLOCK || block.readUInt32LE(0) !== 0x0a324655) return undefined;
  if (block.readUInt32LE(4) !== 0x9e5d5157 || block.readUInt32LE(508) !== 0x0ab16f30) {
    return undefined;
  }
  const hasFamily = (block.readUInt32LE(8) & 0x2000) !== 0;
  const family = block.readUInt32LE(28);
  return {
    kind: "uf2",
    description: "UF2 image",
    facts: cleanFacts({
      blocks: String(block.readUInt32LE(24)),
      address: `0x${block.readUInt32LE(12).toString(16)}`,
      family: hasFamily ? (UF2_FAMILIES[family] ?? `0x${family.toString(16)}`) : undefined,
      complete: source.sizeBytes === block.readUInt32LE(24) * UF2_BLOCK ? "yes" : "no",
    }),
  };
}

/** Larger files are taken for Intel HEX by their first lines alone. */
const MAX_HEX_BYTES = 64 * 1024 ** 2;
const HEX_CHUNK = 1024 * 1024;

export async function recogniseIntelHex(source: ByteSource): Promise<Recognised | undefined> {
  const head = (await source.read(0, 600)).toString("latin1");
  const first = head.split(/\r?\n/, 1)[0] ?? "";
  if (!hexRecord(first)) return undefined;
  const range = source.sizeBytes <= MAX_HEX_BYTES ? await hexRange(source) : undefined;
  const hex = (value: number) => `0x${value.toString(16)}`;
  return {
    kind: "intel-hex",
    description: "Intel HEX image",
    facts: cleanFacts({
      firstAddress: range?.bytes ? hex(range.from) : undefined,
      lastAddress: range?.bytes ? hex(range.to - 1) : undefined,
      dataBytes: range ? String(range.bytes) : undefined,
      complete: range && (range.ended && range.faults === 0 ? "yes" : "no"),
      faults: range?.faults ? String(range.faults) : undefined,
    }),
  };
}

interface HexRecord {
  type: number;
  address: number;
  data: Buffer;
}

/** A line with a right checksum: the sum of all its bytes is zero. */
function hexRecord(line: string): HexRecord | undefined {
  if (!/^:(?:[0-9a-fA-F]{2}){5,260}$/.test(line)) return undefined;
  const bytes = Buffer.from(line.slice(1), "hex");
  const length = bytes[0] ?? 0;
  if (bytes.length !== length + 5) return undefined;
  if ((bytes.reduce((sum, byte) => sum + byte, 0) & 0xff) !== 0) return undefined;
  return {
    type: bytes[3] ?? 0,
    address: bytes.readUInt16BE(1),
    data: bytes.subarray(4, 4 + length),
  };
}

async function hexRange(source: ByteSource) {
  const range = { from: Number.POSITIVE_INFINITY, to: 0, bytes: 0, faults: 0, ended: false };
  let base = 0;
  let rest = "";
  for (let offset = 0; offset < source.sizeBytes; offset += HEX_CHUNK) {
    const lines = (rest + (await source.read(offset, HEX_CHUNK)).toString("latin1")).split(/\r?\n/);
    rest = lines.pop() ?? "";
    if (rest.length > 600) return { ...range, faults: range.faults + 1 };
    if (offset + HEX_CHUNK >= source.sizeBytes && rest) lines.push(rest);
    for (const line of lines) {
      if (line.trim() === "") continue;
      const record = hexRecord(line);
      if (!record) range.faults += 1;
      else if (record.type === 0) {
        const at = base + record.address;
        range.from = Math.min(range.from, at);
        range.to = Math.max(range.to, at + record.data.length);
        range.bytes += record.data.length;
      } else if (record.type === 1) range.ended = true;
      else if (record.type === 2 && record.data.length === 2)
        base = record.data.readUInt16BE(0) * 16;
      else if (record.type === 4 && record.data.length === 2) {
        base = record.data.readUInt16BE(0) * 0x10000;
      }
    }
  }
  return range;
}

/** Formats that a few bytes at a fixed place give away, and that say nothing more here. */
const MAGICS: [kind: string, description: string, offset: number, magic: string][] = [
  ["ext4", "ext4 file system", 1080, "53ef"],
  ["gpt-disk", "disk image with a GPT", 512, "4546492050415254"],
  ["fit", "device tree or U-Boot FIT image", 0, "d00dfeed"],
  ["uboot-image", "U-Boot legacy image", 0, "27051956"],
  ["pe", "PE image (EFI application or unified kernel image)", 0, "4d5a"],
  ["gzip", "gzip stream", 0, "1f8b08"],
  ["xz", "xz stream", 0, "fd377a585a00"],
  ["zstd", "zstd stream", 0, "28b52ffd"],
  ["zip", "ZIP archive", 0, "504b0304"],
  ["android-sparse", "Android sparse image", 0, "3aff26ed"],
];

export async function recogniseByMagic(source: ByteSource): Promise<Recognised | undefined> {
  const head = await source.read(0, 2048);
  const found = MAGICS.find(([, , offset, magic]) => {
    const bytes = Buffer.from(magic, "hex");
    return head.subarray(offset, offset + bytes.length).equals(bytes);
  });
  return found && { kind: found[0], description: found[1], facts: {} };
}
