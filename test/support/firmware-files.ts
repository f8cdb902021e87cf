import { gzipSync } from "node:zlib";

/** Small files of each format, written byte by byte after its specification. */

export function tarOf(files: [name: string, content: Buffer | string][]): Buffer {
  const blocks = files.flatMap(([name, content]) => {
    const data = Buffer.from(content);
    return [tarHeader(name, data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export function tarHeader(name: string, sizeBytes: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write("0000644", 100);
  header.write(sizeBytes.toString(8).padStart(11, "0"), 124);
  header.write(" ".repeat(8), 148);
  header.write("0", 156);
  header.write("ustar\0", 257);
  header.write("00", 263);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

export function cpioOf(files: [name: string, content: Buffer | string][]): Buffer {
  const entries = [...files, ["TRAILER!!!", ""] as const].flatMap(([name, content]) => {
    const data = Buffer.from(content);
    const fields = [1, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
    const hex = fields.map((field) => field.toString(16).padStart(8, "0")).join("");
    const head = pad4(Buffer.from(`070702${hex}${name}\0`));
    return [head, pad4(data)];
  });
  return Buffer.concat(entries);
}

function pad4(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

export function swuOf(version: string): Buffer {
  const description = `software = {
  version = "${version}";
  hardware-compatibility: [ "rev-a", "rev-b" ];
  images: ( { filename = "rootfs.img"; device = "/dev/mmcblk0p2"; } );
}`;
  return cpioOf([
    ["sw-description", description],
    ["sw-description.sig", "signature"],
    ["rootfs.img", "x".repeat(999)],
  ]);
}

export function menderOf(): Buffer {
  const info = {
    payloads: [{ type: "rootfs-image" }],
    artifact_provides: { artifact_name: "release-7" },
    artifact_depends: { device_type: ["gateway", "gateway-lite"] },
  };
  return tarOf([
    ["version", '{"format":"mender","version":3}'],
    ["manifest", "aa  data/0000.tar.gz\n"],
    ["manifest.sig", "c2ln"],
    ["header.tar.gz", gzipSync(tarOf([["header-info", JSON.stringify(info)]]))],
    ["data/0000.tar.gz", gzipSync(tarOf([["rootfs", "x"]]))],
  ]);
}

/** A squashfs of which only the superblock is right, and a signature behind it. */
export function raucOf(): Buffer {
  const squashfs = Buffer.alloc(4096);
  squashfs.write("hsqs", 0);
  squashfs.writeUInt16LE(6, 20);
  squashfs.writeBigUInt64LE(4096n, 40);
  const manifest = "[update]\ncompatible=acme-gateway\nversion=3.1.0\n\n[bundle]\nformat=verity\n";
  const signature = Buffer.concat([
    Buffer.from("30820200", "hex"),
    Buffer.from("06092a864886f70d010702", "hex"),
    Buffer.from(`\n${manifest}`),
  ]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(signature.length));
  return Buffer.concat([squashfs, signature, length]);
}

export function elfOf(): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", 0, "latin1");
  header.set([2, 1, 1], 4);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(183, 18);
  return header;
}

export function uf2Of(): Buffer {
  const block = Buffer.alloc(512);
  const words: [number, number][] = [
    [0x0a324655, 0],
    [0x9e5d5157, 4],
    [0x2000, 8],
    [0x10000000, 12],
    [256, 16],
    [0, 20],
    [1, 24],
    [0xe48bff56, 28],
    [0x0ab16f30, 508],
  ];
  for (const [value, offset] of words) block.writeUInt32LE(value, offset);
  return block;
}

export const INTEL_HEX = [
  ":020000040800F2",
  ":10000000000102030405060708090A0B0C0D0E0F78",
  ":0400100010111213A6",
  ":00000001FF",
  "",
].join("\r\n");

/** A header that claims a gigabyte, and inside it eight megabytes of nothing in some kilobytes. */
export function menderBomb(): Buffer {
  return tarOf([
    ["version", '{"format":"mender","version":3}'],
    ["header.tar.gz", gzipSync(Buffer.alloc(8 * 1024 ** 2))],
  ]);
}
