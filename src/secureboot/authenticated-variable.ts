import { guid } from "./efi-guid.ts";
import { type BootSigner, signedData } from "./signed-data.ts";

/** UEFI 2.10 §8.2: what a variable is and who may change it. */
export const ATTRIBUTE = {
  nonVolatile: 0x01,
  bootServiceAccess: 0x02,
  runtimeAccess: 0x04,
  timeBasedAuthentication: 0x20,
  append: 0x40,
} as const;

/** Kept, visible to the operating system, changed by a newer signed write only. */
export const AUTHENTICATED =
  ATTRIBUTE.nonVolatile |
  ATTRIBUTE.bootServiceAccess |
  ATTRIBUTE.runtimeAccess |
  ATTRIBUTE.timeBasedAuthentication;

const PKCS7_CERTIFICATE = "4aafd29d-68df-49ee-8aa9-347d375665a7";
const WIN_CERT_TYPE_EFI_GUID = 0x0ef1;

export interface VariableWrite {
  name: string;
  namespace: string;
  attributes: number;
  data: Buffer;
  /** Firmware takes a later moment only, but for appending. Whole seconds. */
  at: Date;
}

/**
 * A signed write of a variable: EFI_VARIABLE_AUTHENTICATION_2 with the data behind it (UEFI 2.10
 * §8.2.2), the form of an `.auth` file. Whoever replays an older one is refused by the firmware.
 */
export function signVariableWrite(write: VariableWrite, signer: BootSigner): Buffer {
  const timestamp = efiTime(write.at);
  const attributes = Buffer.alloc(4);
  attributes.writeUInt32LE(write.attributes);
  const signed = signedData(signer, {
    detached: Buffer.concat([
      Buffer.from(write.name, "utf16le"),
      guid(write.namespace),
      attributes,
      timestamp,
      write.data,
    ]),
  });
  const certificate = Buffer.alloc(8);
  certificate.writeUInt32LE(8 + 16 + signed.length, 0);
  certificate.writeUInt16LE(0x0200, 4);
  certificate.writeUInt16LE(WIN_CERT_TYPE_EFI_GUID, 6);
  return Buffer.concat([timestamp, certificate, guid(PKCS7_CERTIFICATE), signed, write.data]);
}

/** EFI_TIME; nanoseconds, zone and daylight must be zero here. */
export function efiTime(at: Date): Buffer {
  const time = Buffer.alloc(16);
  time.writeUInt16LE(at.getUTCFullYear(), 0);
  time[2] = at.getUTCMonth() + 1;
  time[3] = at.getUTCDate();
  time[4] = at.getUTCHours();
  time[5] = at.getUTCMinutes();
  time[6] = at.getUTCSeconds();
  return time;
}
