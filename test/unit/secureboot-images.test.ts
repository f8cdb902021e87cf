import { createHash, createPublicKey, type KeyObject, verify, X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { membersOf, readDer, readMembers, TAG } from "../../src/kernel/der.ts";
import { fatVolume } from "../../src/secureboot/fat-volume.ts";
import {
  AUTHENTICATED,
  appendSections,
  authenticodeHash,
  bootVariables,
  certificateList,
  commandLine,
  fillVariableStore,
  generateBootKey,
  guid,
  hashList,
  isSigned,
  NAMESPACE,
  readBootSigner,
  readPe,
  readVariableStore,
  sectionContent,
  signEfiProgram,
  signVariableWrite,
  verityTree,
} from "../../src/secureboot/index.ts";
import { collectModules } from "../../src/secureboot/kernel-modules.ts";
import {
  PARTITION_TYPE,
  partitionTable,
  placePartitions,
} from "../../src/secureboot/partition-table.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-secureboot-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const pair = generateBootKey({ commonName: "test db", validityYears: 1, nowMs: Date.now() });
const signer = readBootSigner({ key: pair.privateKeyPem, certificate: pair.certificatePem });
const OWNER = "56415554-4e00-4000-8000-000000000001";

/** The smallest PE32+ image with one section of code. */
function smallProgram(): Buffer {
  const image = Buffer.alloc(0x400 + 0x200);
  image.write("MZ", 0, "latin1");
  image.writeUInt32LE(0x80, 0x3c);
  image.write("PE\0\0", 0x80, "latin1");
  image.writeUInt16LE(0x8664, 0x84);
  image.writeUInt16LE(1, 0x86);
  image.writeUInt16LE(240, 0x94);
  const optional = 0x98;
  image.writeUInt16LE(0x20b, optional);
  image.writeUInt32LE(0x1000, optional + 32);
  image.writeUInt32LE(0x200, optional + 36);
  image.writeUInt32LE(0x2000, optional + 56);
  image.writeUInt32LE(0x400, optional + 60);
  image.writeUInt32LE(16, optional + 108);
  const section = optional + 240;
  image.write(".text", section, "latin1");
  image.writeUInt32LE(0x200, section + 8);
  image.writeUInt32LE(0x1000, section + 12);
  image.writeUInt32LE(0x200, section + 16);
  image.writeUInt32LE(0x400, section + 20);
  image.fill(0x90, 0x400);
  return image;
}

describe("EFI programs", () => {
  it("take sections at whole pages, readable under their names", () => {
    const image = appendSections(smallProgram(), [
      { name: ".cmdline", content: Buffer.from("quiet") },
      { name: ".linux", content: Buffer.alloc(5_000, 7) },
    ]);
    const { sections } = readPe(image);
    expect(sections.map(({ name }) => name)).toEqual([".text", ".cmdline", ".linux"]);
    expect(sections.map(({ virtualAddress }) => virtualAddress % 4096)).toEqual([0, 0, 0]);
    expect(sectionContent(image, ".cmdline")?.toString()).toBe("quiet");
    expect(sectionContent(image, ".linux")).toEqual(Buffer.alloc(5_000, 7));
    expect(sectionContent(image, ".initrd")).toBeUndefined();
  });

  it("have a hash that every bit outside checksum and signature changes", () => {
    const image = appendSections(smallProgram(), [{ name: ".x", content: Buffer.alloc(64) }]);
    const hash = authenticodeHash(image);
    const checksum = 0x98 + 64;
    const directory = 0x98 + 112 + 32;
    for (let at = 0; at < image.length; at += 1) {
      const unhashed =
        (at >= checksum && at < checksum + 4) || (at >= directory && at < directory + 8);
      if (at < 0x200 && !unhashed && at > 0x188) continue; // Numbers that the layout follows.
      const copy = Buffer.from(image);
      copy[at] = (copy[at] as number) ^ 0x01;
      let changed: Buffer | undefined;
      try {
        changed = authenticodeHash(copy);
      } catch {
        continue; // No longer such an image at all.
      }
      expect(changed.equals(hash), `byte ${at}`).toBe(unhashed);
    }
  });

  it("are signed the same way each time, and once more by another key", () => {
    const image = smallProgram();
    const once = signEfiProgram(image, signer);
    expect(signEfiProgram(image, signer)).toEqual(once);
    expect(isSigned(image)).toBe(false);
    expect(isSigned(once)).toBe(true);
    expect(authenticodeHash(once)).toEqual(authenticodeHash(image));
    const twice = signEfiProgram(once, signer);
    expect(authenticodeHash(twice)).toEqual(authenticodeHash(image));
    expect(() => appendSections(once, [])).toThrow(/is signed/);
  });

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["text", Buffer.from("MZ is not enough".padEnd(200))],
    ["an image that is cut", smallProgram().subarray(0, 0x500)],
    ["a signature outside the file", withNumber(smallProgram(), 0x98 + 112 + 32, 0xfffffff)],
    ["a section outside the file", withNumber(smallProgram(), 0x98 + 240 + 20, 0xfffffff)],
  ])("are refused with a clear error where they are %s", (_, bytes) => {
    expect(() => signEfiProgram(bytes, signer)).toThrow(
      expect.objectContaining({ code: "invalid-content" }),
    );
  });
});

function withNumber(image: Buffer, at: number, value: number): Buffer {
  image.writeUInt32LE(value, at);
  if (at === 0x98 + 112 + 32) image.writeUInt32LE(64, at + 4);
  return image;
}

describe("keys", () => {
  it("come with a certificate by themselves, encrypted where a passphrase is given", () => {
    const locked = generateBootKey({
      ...{ commonName: "PK", validityYears: 10, nowMs: Date.UTC(2026, 0, 1), passphrase: "pw" },
    });
    expect(locked.privateKeyPem).toContain("ENCRYPTED PRIVATE KEY");
    const certificate = new X509Certificate(locked.certificatePem);
    expect(certificate.verify(certificate.publicKey)).toBe(true);
    expect(certificate.ca).toBe(true);
    expect(certificate.validTo).toContain("2036");
    const pems = { key: locked.privateKeyPem, certificate: locked.certificatePem };
    expect(readBootSigner(pems, "pw").key.asymmetricKeyType).toBe("rsa");
    expect(() => readBootSigner(pems, "wrong")).toThrow(/passphrase/);
    expect(() => readBootSigner({ ...pems, certificate: pair.certificatePem }, "pw")).toThrow(
      /not the one of this private key/,
    );
  });
});

describe("firmware variables", () => {
  it("are signed over name, namespace, attributes, time and content", () => {
    const at = new Date(Date.UTC(2026, 10, 29, 12, 34, 56));
    const data = certificateList([signer.certificate], OWNER);
    const write = { name: "db", namespace: NAMESPACE.imageSecurity, attributes: AUTHENTICATED };
    const auth = signVariableWrite({ ...write, data, at }, signer);
    expect(auth.readUInt16LE(0)).toBe(2026);
    expect([...auth.subarray(2, 7)]).toEqual([11, 29, 12, 34, 56]);
    const size = auth.readUInt32LE(16);
    const signed = auth.subarray(40, 16 + size);
    expect(auth.subarray(16 + size)).toEqual(data);
    const members = membersOf(readDer(signed), TAG.sequence);
    const info = readMembers((members.at(-1) as { content: Buffer }).content)[0];
    const signature = readMembers((info as { content: Buffer }).content).at(-1)?.content;
    const attributes = Buffer.alloc(4);
    attributes.writeUInt32LE(AUTHENTICATED);
    const message = Buffer.concat([
      Buffer.from("db", "utf16le"),
      guid(NAMESPACE.imageSecurity),
      attributes,
      auth.subarray(0, 16),
      data,
    ]);
    const key = createPublicKey(
      signer.certificate.publicKey.export({ type: "spki", format: "pem" }),
    );
    expect(verifyRsa(message, key, signature as Buffer)).toBe(true);
  });

  it("stand in a store as they were put there", () => {
    const store = Buffer.alloc(64 * 1024, 0xff);
    store.write("_FVH", 40, "latin1");
    store.writeUInt16LE(72, 48);
    guid("aaf32c78-947b-439a-a180-2e144ec37792").copy(store, 72);
    store.writeUInt32LE(32 * 1024, 88);
    const hashes = hashList([createHash("sha256").update("x").digest()], OWNER);
    const at = new Date(Date.UTC(2026, 0, 1));
    const { partitions } = placePartitions("hub", [
      { name: "vautn-esp", type: PARTITION_TYPE.efiSystem, sizeBytes: 1 },
    ]);
    const entries = bootVariables(
      [{ description: "Vautn", partition: partitions[0]!, number: 1, path: "/EFI/BOOT/B.EFI" }],
      at,
    );
    const filled = fillVariableStore(store, [
      { name: "dbx", namespace: NAMESPACE.imageSecurity, attributes: 39, data: hashes, at },
      ...entries,
    ]);
    const found = readVariableStore(filled);
    expect(found.map(({ name }) => name)).toEqual(["dbx", "Boot0000", "BootOrder"]);
    expect(found[0]?.data).toEqual(hashes);
    expect(found[1]?.data.includes(Buffer.from("\\EFI\\BOOT\\B.EFI", "utf16le"))).toBe(true);
    expect(() => fillVariableStore(Buffer.alloc(4096), [])).toThrow(/no variable store/);
    const large = { ...entries[0]!, data: Buffer.alloc(40_000) };
    expect(() => fillVariableStore(store, [large])).toThrow(/full/);
  });
});

function verifyRsa(message: Buffer, key: KeyObject, signature: Buffer) {
  return verify("sha256", message, key, signature);
}

describe("disks", () => {
  it("have a partition table whose checksums hold, and the same ids for the same names", () => {
    const wanted = [{ name: "vautn-esp", type: PARTITION_TYPE.efiSystem, sizeBytes: 5_000_000 }];
    const first = placePartitions("hub", wanted);
    expect(placePartitions("hub", wanted)).toEqual(first);
    expect(placePartitions("other", wanted).partitions[0]?.id).not.toBe(first.partitions[0]?.id);
    expect(first.partitions[0]).toMatchObject({ firstByte: 1_048_576, sizeBytes: 5_242_880 });
    const { head, tail, tailByte } = partitionTable("hub", first.diskBytes, first.partitions);
    expect(tailByte + tail.length).toBe(first.diskBytes);
    expect(head.toString("latin1", 512, 520)).toBe("EFI PART");
  });

  it("refuse files that do not fit, and too small a volume", () => {
    const file = { path: "a", content: Buffer.alloc(40 * 1024 * 1024) };
    const sizeBytes = 36 * 1024 * 1024;
    expect(() => fatVolume({ sizeBytes, label: "X", files: [file] })).toThrow(/do not fit/);
    expect(() => fatVolume({ sizeBytes: 1024, label: "X", files: [] })).toThrow(/at least 34 MiB/);
  });

  it("have a hash tree that one bit anywhere changes", () => {
    const file = path.join(folder, "root.img");
    const content = Buffer.alloc(300 * 4096, 1);
    fs.writeFileSync(file, content);
    const tree = verityTree(file);
    // 300 digests fill three blocks, and those one.
    expect(tree).toMatchObject({ dataBlocks: 300, tree: { length: 4 * 4096 } });
    expect(verityTree(file)).toEqual(tree);
    content[200 * 4096 + 17] = 2;
    fs.writeFileSync(file, content);
    expect(verityTree(file).rootHash).not.toBe(tree.rootHash);
    fs.writeFileSync(file, content.subarray(1));
    expect(() => verityTree(file)).toThrow(/multiple of 4096/);
  });
});

describe("command lines and modules", () => {
  const facts = { version: "1.2.3", securityCounter: 4, root: null, role: "system" as const };

  it("say version and counter first, and refuse what would speak for them", () => {
    expect(commandLine(facts, "quiet")).toBe("vautn.version=1.2.3 vautn.counter=4 quiet");
    expect(() => commandLine(facts, "quiet vautn.counter=9")).toThrow(/not yours/);
    expect(() => commandLine({ ...facts, version: "1 2" }, "")).toThrow(/no version/);
    expect(() => commandLine(facts, "x".repeat(3_000))).toThrow(/at most/);
    expect(() => commandLine(facts, "a\nb")).toThrow(/plain characters/);
  });

  it("load a module after those that it depends on, and name what is built in", () => {
    const modules = path.join(folder, "modules");
    fs.mkdirSync(path.join(modules, "kernel/fs"), { recursive: true });
    const write = (name: string, depends: string) =>
      fs.writeFileSync(path.join(modules, "kernel/fs", `${name}.ko`), `x\0depends=${depends}\0y`);
    write("vfat", "fat");
    write("fat", "");
    const found = collectModules(modules, ["vfat", "ext4"]);
    expect(found.modules.map(({ name }) => name)).toEqual(["fat", "vfat"]);
    expect(found.builtIn).toEqual(["ext4"]);
    write("fat", "vfat");
    expect(() => collectModules(modules, ["vfat"])).toThrow(/depend on each other/);
  });
});
