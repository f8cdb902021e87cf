import { type DerValue, membersOf, oidOf, TAG } from "../kernel/der.ts";
import { AppError } from "../kernel/index.ts";
import { isDeviceId, isTenantId, OID } from "../protocol/index.ts";

/** Whom the subject of a request names; what it leaves out follows from the right to enrol. */
export interface RequestedName {
  tenantId?: string;
  deviceId?: string;
  /** X.520 serialNumber: the maker's number, for lists that go by it. */
  serialNumber?: string;
}

const SERIAL_NUMBER = "2.5.4.5";
const READ: readonly string[] = [OID.commonName, OID.organization, SERIAL_NUMBER];
const TEXT_TAGS: readonly number[] = [TAG.utf8String, TAG.printableString, TAG.ia5String];
const MAX_SERIAL_LENGTH = 128;

/**
 * Reads a subject: the common name is `<tenant>/<device>` or the device alone, the organisation the
 * tenant. Both may be left out; what is there must agree, and stand there once.
 */
export function readRequestedName(subject: DerValue | undefined): RequestedName {
  const texts = textsOf(subject);
  const organization = texts.get(OID.organization);
  const commonName = texts.get(OID.commonName);
  const serialNumber = texts.get(SERIAL_NUMBER);
  if (organization !== undefined && !isTenantId(organization)) {
    throw refused("the organisation must be the tenant");
  }
  if (serialNumber !== undefined && serialNumber.length > MAX_SERIAL_LENGTH) {
    throw refused("the serial number is too long");
  }
  const parts = commonName?.split("/") ?? [];
  if (parts.length > 2) throw refused("the common name must be <tenant>/<device>");
  const deviceId = parts.at(-1);
  const tenantId = parts.length === 2 ? parts[0] : organization;
  if (deviceId !== undefined && !isDeviceId(deviceId)) {
    throw refused("the common name must be <tenant>/<device>");
  }
  if (tenantId !== undefined && !isTenantId(tenantId)) {
    throw refused("the common name must be <tenant>/<device>");
  }
  if (organization !== undefined && organization !== tenantId) {
    throw refused("the organisation and the common name differ in the tenant");
  }
  return {
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(serialNumber === undefined ? {} : { serialNumber }),
  };
}

function textsOf(subject: DerValue | undefined): Map<string, string> {
  const texts = new Map<string, string>();
  for (const relative of membersOf(subject, TAG.sequence)) {
    for (const attribute of membersOf(relative, TAG.set)) {
      const [type, value] = membersOf(attribute, TAG.sequence);
      const name = oidOf(type);
      if (!READ.includes(name)) continue;
      if (texts.has(name)) throw refused("the subject names someone twice");
      if (!value || !TEXT_TAGS.includes(value.tag)) throw refused("the subject is no text");
      texts.set(name, value.content.toString("utf8"));
    }
  }
  return texts;
}

function refused(message: string): AppError {
  return new AppError("csr-invalid", message, { reason: "name" });
}
