import { randomBytes, randomUUID } from "node:crypto";

/** A UUID version 7 (RFC 9562 §5.7): 48 bits of `nowMs`, the rest random; sorts by time. */
export function timeOrderedId(nowMs: number = Date.now()): string {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Math.floor(nowMs), 0, 6);
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A random UUID (version 4). */
export function randomId(): string {
  return randomUUID();
}

/** A secret of `sizeBytes` random bytes in base64url. */
export function randomSecret(sizeBytes = 32): string {
  return randomBytes(sizeBytes).toString("base64url");
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(value: string): boolean {
  return UUID.test(value);
}
