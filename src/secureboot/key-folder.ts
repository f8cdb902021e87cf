import { randomUUID, type X509Certificate } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { ATTRIBUTE, AUTHENTICATED, signVariableWrite } from "./authenticated-variable.ts";
import {
  BOOT_KEY_NAMES,
  type BootKeyName,
  generateBootKey,
  readBootSigner,
  readCertificate,
} from "./boot-keys.ts";
import { NAMESPACE } from "./efi-guid.ts";
import { invalidContent } from "./refusals.ts";
import { certificateList, hashList } from "./signature-list.ts";
import type { BootSigner } from "./signed-data.ts";

/** Namespace and owner of what is ours in a machine's firmware. */
export const VAUTN_NAMESPACE = "56415554-4e00-4000-8000-000000000001";
/** As it is found by the first script and by the agent. */
export const FLOOR_VARIABLE = "VautnFloor";
const OWNER_FILE = "owner.txt";

/**
 * Makes the keys of one product into a new folder: private keys, certificates, signature lists
 * (`.esl`) and signed writes (`.auth`) for the firmware's own menu, KeyTool or efi-updatevar.
 */
export function writeKeyFolder(
  folder: string,
  options: { name: string; validityYears: number; nowMs: number; passphrase: string | undefined },
): { owner: string; files: string[] } {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const taken = fs.readdirSync(folder);
  if (taken.length > 0) throw invalidContent(`${folder} is not empty: keys are never written over`);
  const owner = randomUUID();
  const write = (name: string, content: string | Buffer, mode = 0o644) =>
    fs.writeFileSync(path.join(folder, name), content, { mode, flag: "wx" });
  write(OWNER_FILE, `${owner}\n`);
  for (const name of BOOT_KEY_NAMES) {
    const pair = generateBootKey({ ...options, commonName: `${options.name} ${name}` });
    write(`${name}.key`, pair.privateKeyPem, 0o600);
    write(`${name}.crt`, pair.certificatePem);
  }
  const signers = Object.fromEntries(
    BOOT_KEY_NAMES.map((name) => [name, readSigner(folder, name, options.passphrase)]),
  ) as Record<BootKeyName, BootSigner>;
  const at = new Date(options.nowMs);
  // Each is signed by the key above it; the platform key by itself (UEFI 2.10 §32.3).
  const writes: [string, string, BootSigner, BootSigner][] = [
    ["PK", NAMESPACE.global, signers.PK, signers.PK],
    ["KEK", NAMESPACE.global, signers.KEK, signers.PK],
    ["db", NAMESPACE.imageSecurity, signers.db, signers.KEK],
  ];
  for (const [name, namespace, holder, signer] of writes) {
    const data = certificateList([holder.certificate], owner);
    write(`${name}.esl`, data);
    const attributes = AUTHENTICATED;
    write(`${name}.auth`, signVariableWrite({ name, namespace, attributes, data, at }, signer));
  }
  return { owner, files: fs.readdirSync(folder).sort() };
}

export function readSigner(
  folder: string,
  name: BootKeyName,
  passphrase: string | undefined,
): BootSigner {
  const read = (extension: string) => {
    const file = path.join(folder, `${name}.${extension}`);
    try {
      return fs.readFileSync(file, "utf8");
    } catch (cause) {
      throw invalidContent(`${file} cannot be read: make keys with vautn secureboot keys`, cause);
    }
  };
  return readBootSigner({ key: read("key"), certificate: read("crt") }, passphrase);
}

export function readKeyCertificate(folder: string, name: BootKeyName): X509Certificate {
  return readCertificate(fs.readFileSync(path.join(folder, `${name}.crt`), "utf8"));
}

export function readOwner(folder: string): string {
  return fs.readFileSync(path.join(folder, OWNER_FILE), "utf8").trim();
}

/** An addition to `dbx`: what has these hashes is never started again. Signed by KEK. */
export function revocation(hashes: readonly Buffer[], owner: string, kek: BootSigner, at: Date) {
  const attributes = AUTHENTICATED | ATTRIBUTE.append;
  const write = { name: "dbx", namespace: NAMESPACE.imageSecurity, attributes };
  const payload = signVariableWrite({ ...write, data: hashList(hashes, owner), at }, kek);
  return { ...write, payload };
}

const MAX_COUNTER = 0xffff_ffff;

/**
 * Floors as a variable that only the `floor` key changes, forwards in time only: whoever holds the
 * disk, and even the running system, can neither lower it nor play an older write again.
 */
export function floorWrite(
  floors: { security: number; configuration: number },
  signer: BootSigner,
  at: Date,
) {
  const data = Buffer.alloc(8);
  for (const value of Object.values(floors)) {
    if (value < 0 || value > MAX_COUNTER) throw invalidContent("a floor is from 0 to 2^32-1");
  }
  data.writeUInt32LE(floors.security, 0);
  data.writeUInt32LE(floors.configuration, 4);
  const write = {
    name: FLOOR_VARIABLE,
    namespace: VAUTN_NAMESPACE,
    attributes: AUTHENTICATED,
  };
  return { ...write, payload: signVariableWrite({ ...write, data, at }, signer) };
}
