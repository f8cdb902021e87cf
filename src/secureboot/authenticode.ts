import { context, contextPrimitive, octets, oid, sequence, TAG, tlv } from "../kernel/der.ts";
import { align, authenticodeHash, readPe } from "./pe-image.ts";
import { type BootSigner, contentInfo, signedData } from "./signed-data.ts";

const SPC_INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4";
const SPC_PE_IMAGE_DATA = "1.3.6.1.4.1.311.2.1.15";
const SHA256 = "2.16.840.1.101.3.4.2.1";
/** WIN_CERT_REVISION_2_0 and WIN_CERT_TYPE_PKCS_SIGNED_DATA. */
const CERTIFICATE_HEADER = { revision: 0x0200, type: 0x0002, sizeBytes: 8 };

/**
 * Signs an EFI program as Secure Boot wants it (UEFI 2.10 §32.2.2, Authenticode). Signatures that it
 * has already stay, so that keys can be changed over. Deterministic.
 */
export function signEfiProgram(image: Buffer, signer: BootSigner): Buffer {
  const { certificateTable, certificateEntryOffset } = readPe(image);
  const earlier = image.subarray(
    certificateTable.offset,
    certificateTable.offset + certificateTable.sizeBytes,
  );
  const body = image.subarray(0, image.length - certificateTable.sizeBytes);
  // The table begins at a multiple of eight; what fills up is hashed with the rest.
  const padded = Buffer.concat([body, Buffer.alloc(align(body.length, 8) - body.length)]);
  padded.fill(0, certificateEntryOffset, certificateEntryOffset + 8);
  const content = indirectData(authenticodeHash(padded));
  const signature = contentInfo(signedData(signer, { type: SPC_INDIRECT_DATA, value: content }));
  const table = Buffer.concat([earlier, certificateEntry(signature)]);
  padded.writeUInt32LE(padded.length, certificateEntryOffset);
  padded.writeUInt32LE(table.length, certificateEntryOffset + 4);
  return Buffer.concat([padded, table]);
}

export function isSigned(image: Buffer): boolean {
  return readPe(image).certificateTable.sizeBytes > 0;
}

function certificateEntry(signature: Buffer): Buffer {
  const size = CERTIFICATE_HEADER.sizeBytes + signature.length;
  const entry = Buffer.alloc(align(size, 8));
  entry.writeUInt32LE(entry.length, 0);
  entry.writeUInt16LE(CERTIFICATE_HEADER.revision, 4);
  entry.writeUInt16LE(CERTIFICATE_HEADER.type, 6);
  signature.copy(entry, CERTIFICATE_HEADER.sizeBytes);
  return entry;
}

/** SpcIndirectDataContent: "the hash of this PE image is". */
function indirectData(hash: Buffer): Buffer {
  const obsolete = Buffer.from("<<<Obsolete>>>", "utf16le").swap16();
  const peImageData = sequence(
    tlv(TAG.bitString, Buffer.from([0])),
    context(0, context(2, contextPrimitive(0, obsolete))),
  );
  return sequence(
    sequence(oid(SPC_PE_IMAGE_DATA), peImageData),
    sequence(sequence(oid(SHA256), tlv(TAG.null)), octets(hash)),
  );
}
