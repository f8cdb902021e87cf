import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { fatVolume } from "../../src/secureboot/fat-volume.ts";
import {
  ATTRIBUTE,
  AUTHENTICATED,
  authenticodeHash,
  certificateList,
  generateBootKey,
  hashList,
  NAMESPACE,
  readBootSigner,
  signEfiProgram,
  signVariableWrite,
  unifiedKernel,
  verityTree,
} from "../../src/secureboot/index.ts";

// What we sign and build ourselves, judged by the tools of others.
const LOADER = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const has = (program: string) => spawnSync("which", [program]).status === 0;
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-secureboot-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

function makeSigner(name: string) {
  const pair = generateBootKey({ commonName: name, validityYears: 1, nowMs: Date.now() });
  const certificateFile = path.join(folder, `${name}.crt`);
  fs.writeFileSync(certificateFile, pair.certificatePem);
  fs.writeFileSync(path.join(folder, `${name}.key`), pair.privateKeyPem);
  const signer = readBootSigner({ key: pair.privateKeyPem, certificate: pair.certificatePem });
  return { signer, certificateFile };
}
const db = makeSigner("db");
const other = makeSigner("other");
const OWNER = "56415554-4e00-4000-8000-000000000001";

function write(name: string, content: Buffer): string {
  const file = path.join(folder, name);
  fs.writeFileSync(file, content);
  return file;
}

describe.skipIf(!has("sbverify") || !fs.existsSync(LOADER))("sbverify", () => {
  const verify = (file: string, certificate: string) =>
    spawnSync("sbverify", ["--cert", certificate, file]).status;

  test("accepts our signature by its key and by no other, and none after one bit", () => {
    const signed = signEfiProgram(fs.readFileSync(LOADER), db.signer);
    const file = write("loader.efi", signed);
    expect(verify(file, db.certificateFile)).toBe(0);
    expect(verify(file, other.certificateFile)).not.toBe(0);
    signed[0x3000] = (signed[0x3000] as number) ^ 1;
    expect(verify(write("altered.efi", signed), db.certificateFile)).not.toBe(0);
  });

  test("accepts each of two signatures of one program", () => {
    const once = signEfiProgram(fs.readFileSync(LOADER), db.signer);
    const file = write("two.efi", signEfiProgram(once, other.signer));
    expect(verify(file, db.certificateFile)).toBe(0);
    expect(verify(file, other.certificateFile)).toBe(0);
  });

  test("finds no gap in a unified kernel image, and the hash that others compute", () => {
    const kernel = unifiedKernel({
      stub: fs.readFileSync(STUB),
      kernel: Buffer.alloc(10_000, 1),
      initrd: Buffer.alloc(5_000, 2),
      commandLine: "quiet",
      name: "hub",
    });
    const file = write("kernel.efi", signEfiProgram(kernel, db.signer));
    const { status, stderr } = spawnSync("sbverify", ["--cert", db.certificateFile, file], {
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });

  test("what sbsign has signed has the same hash for us", () => {
    const output = path.join(folder, "sbsign.efi");
    const key = path.join(folder, "db.key");
    execFileSync(
      "sbsign",
      ["--key", key, "--cert", db.certificateFile, "--output", output, LOADER],
      {
        stdio: "ignore",
      },
    );
    expect(authenticodeHash(fs.readFileSync(output))).toEqual(
      authenticodeHash(signEfiProgram(fs.readFileSync(LOADER), db.signer)),
    );
  });
});

describe.skipIf(!has("sign-efi-sig-list"))("efitools", () => {
  test("make the same signature lists, and the same signed write but for their own signature", () => {
    const list = path.join(folder, "db.esl");
    execFileSync("cert-to-efi-sig-list", ["-g", OWNER, db.certificateFile, list]);
    const ours = certificateList([db.signer.certificate], OWNER);
    expect(ours).toEqual(fs.readFileSync(list));
    const hash = path.join(folder, "dbx.esl");
    const signed = signEfiProgram(fs.readFileSync(LOADER), db.signer);
    const file = write("signed.efi", signed);
    execFileSync("hash-to-efi-sig-list", [file, hash], { stdio: "ignore" });
    const theirs = fs.readFileSync(hash);
    const mine = hashList([authenticodeHash(signed)], OWNER);
    // The owner is the tool's own.
    expect(mine.subarray(-32)).toEqual(theirs.subarray(-32));

    const at = new Date(Date.UTC(2026, 10, 29, 12, 0, 0));
    const attributes = AUTHENTICATED | ATTRIBUTE.append;
    const variable = { name: "db", namespace: NAMESPACE.imageSecurity, attributes, at };
    const auth = signVariableWrite({ ...variable, data: ours }, db.signer);
    const key = path.join(folder, "db.key");
    const theirAuth = path.join(folder, "db.auth");
    execFileSync(
      "sign-efi-sig-list",
      [
        "-a",
        "-t",
        "2026-11-29 12:00:00",
        "-k",
        key,
        "-c",
        db.certificateFile,
        "db",
        list,
        theirAuth,
      ],
      { stdio: "ignore", env: { ...process.env, TZ: "UTC" } },
    );
    const theirBytes = fs.readFileSync(theirAuth);
    expect(theirBytes.subarray(-ours.length)).toEqual(ours);
    // RSA signatures by PKCS#1 are the same for the same key and message.
    const signature = (bytes: Buffer, end: number) =>
      bytes.subarray(end - 256, end).toString("hex");
    expect(signature(auth, auth.length - ours.length)).toBe(
      signature(theirBytes, theirBytes.length - ours.length),
    );
  });
});

describe.skipIf(!has("fsck.vfat") || !has("mdir"))("dosfstools and mtools", () => {
  test("find no fault in our volume, and every file in it", () => {
    const content = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 251));
    const files = [
      { path: "EFI/BOOT/BOOTX64.EFI", content },
      { path: "EFI/Linux/vautn-0001-a.efi", content: content.subarray(1) },
      { path: "EFI/Linux/a-name-that-is-longer-than-one-entry.efi", content: Buffer.from("x") },
      { path: "loader/loader.conf", content: Buffer.from("timeout 0\n") },
      { path: "empty", content: Buffer.alloc(0) },
    ];
    const volume = fatVolume({ sizeBytes: 36 * 1024 * 1024, label: "VAUTNESP", files });
    const file = write("esp.img", volume);
    const check = spawnSync("fsck.vfat", ["-n", file], { encoding: "utf8" });
    expect({ status: check.status, out: check.stdout }).toMatchObject({ status: 0 });
    for (const one of files) {
      const target = path.join(folder, "copy");
      execFileSync("mcopy", ["-n", "-o", "-i", file, `::${one.path}`, target]);
      expect(fs.readFileSync(target).equals(one.content), one.path).toBe(true);
    }
  });
});

describe.skipIf(!has("veritysetup"))("veritysetup", () => {
  test("computes the same root hash", () => {
    const image = write("root.img", Buffer.alloc(200 * 4096, 5));
    const tree = verityTree(image);
    const hashes = path.join(folder, "root.hash");
    const out = execFileSync(
      "veritysetup",
      ["format", "--no-superblock", "--salt", tree.salt, image, hashes],
      { encoding: "utf8" },
    );
    expect(/Root hash:\s+(\S+)/.exec(out)?.[1]).toBe(tree.rootHash);
  });
});
