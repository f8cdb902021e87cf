import type { X509Certificate } from "node:crypto";
import { guid } from "./efi-guid.ts";

/** What a signature list may hold (UEFI 2.10 §32.4.1). */
const TYPE = {
  x509: "a5c059a1-94e4-4aa7-87b5-ab155c2bf072",
  sha256: "c1c41626-504c-4092-aca9-41f936934328",
} as const;

const LIST_HEADER_BYTES = 28;
const OWNER_BYTES = 16;

/** Certificates, each in a list of its own since their sizes differ. */
export function certificateList(certificates: readonly X509Certificate[], owner: string): Buffer {
  return Buffer.concat(
    certificates.map(({ raw }) => signatureList(TYPE.x509, [Buffer.from(raw)], owner)),
  );
}

/** Authenticode hashes of EFI programs, for `dbx` or `db`. */
export function hashList(hashes: readonly Buffer[], owner: string): Buffer {
  return hashes.length === 0 ? Buffer.alloc(0) : signatureList(TYPE.sha256, hashes, owner);
}

function signatureList(type: string, entries: readonly Buffer[], owner: string): Buffer {
  const entryBytes = OWNER_BYTES + (entries[0]?.length ?? 0);
  const header = Buffer.alloc(LIST_HEADER_BYTES);
  guid(type).copy(header);
  header.writeUInt32LE(LIST_HEADER_BYTES + entryBytes * entries.length, 16);
  header.writeUInt32LE(entryBytes, 24);
  return Buffer.concat([header, ...entries.flatMap((entry) => [guid(owner), entry])]);
}
