import { createCipheriv, createPrivateKey, type KeyObject, randomBytes, scrypt } from "node:crypto";
import { promisify } from "node:util";
import { integer, octets, oid, sequence } from "../kernel/der.ts";
import { AppError } from "../kernel/index.ts";

/** OWASP's floor of 2024 within the 32 MiB that OpenSSL allows itself for reading such a key. */
const COST = { N: 2 ** 14, r: 8, p: 5 };
const KEY_BYTES = 32;
export const MIN_PASSPHRASE_LENGTH = 12;

const derive = promisify<string, Buffer, number, typeof COST & { maxmem: number }, Buffer>(scrypt);

/**
 * A private key as encrypted PKCS#8 (RFC 5958) in PEM: PBES2 with scrypt (RFC 7914 §7) and
 * AES-256-CBC, which `openssl pkey` reads. Node itself would derive with PBKDF2 only.
 */
export async function encryptPrivateKey(key: KeyObject, passphrase: string): Promise<string> {
  if (passphrase.length < MIN_PASSPHRASE_LENGTH) {
    throw new AppError(
      "invalid-content",
      `the passphrase needs ${MIN_PASSPHRASE_LENGTH} characters or more`,
    );
  }
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const secret = await derive(passphrase, salt, KEY_BYTES, { ...COST, maxmem: 64 * 1024 ** 2 });
  const cipher = createCipheriv("aes-256-cbc", secret, iv);
  const plain = key.export({ type: "pkcs8", format: "der" });
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return integer(bytes);
  };
  const derivation = sequence(octets(salt), number(COST.N), number(COST.r), number(COST.p));
  const der = sequence(
    sequence(
      oid("1.2.840.113549.1.5.13"), // PBES2 (RFC 8018 §6.2)
      sequence(
        sequence(oid("1.3.6.1.4.1.11591.4.11"), derivation),
        sequence(oid("2.16.840.1.101.3.4.1.42"), octets(iv)),
      ),
    ),
    octets(encrypted),
  );
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  const label = "ENCRYPTED PRIVATE KEY";
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The key again; `invalid-content` where the passphrase is wrong or the file is none. */
export function decryptPrivateKey(pem: string, passphrase: string): KeyObject {
  if (!pem.includes("ENCRYPTED PRIVATE KEY")) {
    throw new AppError("invalid-content", "the file is no encrypted private key");
  }
  try {
    return createPrivateKey({ key: pem, format: "pem", passphrase });
  } catch (cause) {
    const message = "the key does not open: the passphrase is wrong, or the file is damaged";
    throw new AppError("invalid-content", message, {}, { cause });
  }
}
