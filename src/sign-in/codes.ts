import { randomBytes, randomInt } from "node:crypto";
import { Secret, TOTP } from "otpauth";
import { hashSecret } from "../kernel/sealing.ts";

const PERIOD_S = 30;
/** Clocks of telephones differ: one step before and after the present one counts. */
const WINDOW = 1;
const SECRET_BYTES = 20;
const RECOVERY_CODES = 10;
/** Without letters and digits that are taken for one another. */
const ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789";
const RECOVERY_LENGTH = 12;

export function newTotpSecret(): Buffer {
  return randomBytes(SECRET_BYTES);
}

/** What an authenticator app reads (RFC 6238; six digits of SHA-1, which all of them know). */
export function totpOf(secret: Uint8Array, email: string): TOTP {
  return new TOTP({
    issuer: "Vautn",
    label: email,
    secret: new Secret({ buffer: Uint8Array.from(secret).buffer }),
    algorithm: "SHA1",
    digits: 6,
    period: PERIOD_S,
  });
}

/** The time step whose code this is, or undefined where it is of none that counts now. */
export function stepOf(secret: Uint8Array, code: string, nowMs: number): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined;
  const delta = totpOf(secret, "").validate({ token: code, timestamp: nowMs, window: WINDOW });
  return delta === null ? undefined : Math.floor(nowMs / 1000 / PERIOD_S) + delta;
}

/** Ten codes, each of 59 random bits, in two groups for reading. */
export function newRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () => {
    const letters = Array.from(
      { length: RECOVERY_LENGTH },
      () => ALPHABET[randomInt(ALPHABET.length)],
    ).join("");
    return `${letters.slice(0, 6)}-${letters.slice(6)}`;
  });
}

/** As people type it: large or small, with or without the hyphen. */
export function recoveryHash(userId: string, code: string): Buffer {
  return hashSecret(`${userId} ${code.toLowerCase().replaceAll(/[\s-]/g, "")}`);
}
