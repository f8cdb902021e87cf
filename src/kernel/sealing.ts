import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/** Encrypts what is kept at rest: private keys, webhook secrets. */
export interface Sealer {
  /** `context` binds the secret to its place: opened under another context it is refused. */
  seal(plaintext: Uint8Array | string, context: string): Buffer;
  open(sealed: Uint8Array, context: string): Buffer;
  /** 32 bytes that only who has the master key can make; others for each purpose (RFC 5869). */
  deriveKey(purpose: string): Buffer;
  /** The same of the master keys that were replaced, the last one first. */
  deriveReplacedKeys(purpose: string): Buffer[];
}

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * AES-256-GCM with a random nonce: version, nonce, tag, ciphertext. What was sealed by one of the keys
 * in `replaced` is still opened, and sealed anew by the master key whenever it is written.
 */
export function createSealer(masterKey: Uint8Array, replaced: readonly Uint8Array[] = []): Sealer {
  const all = [masterKey, ...replaced];
  if (all.some(({ length }) => length !== 32)) {
    throw new Error("the master key must have 32 bytes");
  }
  const derive = (key: Uint8Array, purpose: string) =>
    Buffer.from(hkdfSync("sha256", key, Buffer.alloc(0), `vautn ${purpose}`, 32));
  return {
    deriveKey: (purpose) => derive(masterKey, purpose),
    deriveReplacedKeys: (purpose) => replaced.map((key) => derive(key, purpose)),
    seal(plaintext, context) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", masterKey, nonce).setAAD(Buffer.from(context));
      const body = Buffer.concat([cipher.update(plaintext as Uint8Array), cipher.final()]);
      return Buffer.concat([Buffer.from([VERSION]), nonce, cipher.getAuthTag(), body]);
    },
    open(sealed, context) {
      const bytes = Buffer.from(sealed);
      if (bytes[0] !== VERSION || bytes.length < 1 + NONCE_BYTES + TAG_BYTES) {
        throw new Error("not a sealed secret");
      }
      const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
      const tag = bytes.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
      const body = bytes.subarray(1 + NONCE_BYTES + TAG_BYTES);
      let failure: unknown;
      for (const key of all) {
        const decipher = createDecipheriv("aes-256-gcm", key, nonce)
          .setAAD(Buffer.from(context))
          .setAuthTag(tag);
        try {
          return Buffer.concat([decipher.update(body), decipher.final()]);
        } catch (error) {
          failure ??= error;
        }
      }
      throw failure;
    },
  };
}

/**
 * The master key: 64 hex digits from the environment, else from `<dataDirectory>/master.key`, made
 * at the first start and readable by its owner alone.
 */
export function loadMasterKey(dataDirectory: string, fromEnvironment?: string): Buffer {
  if (fromEnvironment) return parseMasterKey(fromEnvironment, "VAUTN_MASTER_KEY");
  const file = path.join(dataDirectory, "master.key");
  if (!fs.existsSync(file)) {
    fs.mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    fs.writeFileSync(file, `${randomBytes(32).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  }
  if (process.platform !== "win32" && (fs.statSync(file).mode & 0o077) !== 0) {
    throw new Error(`${file} can be read by others: run chmod 600 on it`);
  }
  return parseMasterKey(fs.readFileSync(file, "utf8"), file);
}

/** The master keys that were replaced, as the configuration names them. */
export function parseReplacedKeys(text: string | undefined): Buffer[] {
  const keys = (text ?? "").split(",").flatMap((key) => key.trim() || []);
  return keys.map((key) => parseMasterKey(key, "VAUTN_REPLACED_MASTER_KEYS"));
}

/** The 64 hex digits of a master key; `where` is named to whoever gave something else. */
export function parseMasterKey(text: string, where: string): Buffer {
  const digits = text.trim();
  if (!/^[0-9a-f]{64}$/i.test(digits)) throw new Error(`${where} must hold 64 hex digits`);
  return Buffer.from(digits, "hex");
}

/** SHA-256 of a secret: what is stored instead of it. */
export function hashSecret(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** Equality in time that does not depend on where the inputs differ. */
export function equalSecrets(left: string | Uint8Array, right: string | Uint8Array): boolean {
  const digest = (value: string | Uint8Array) => createHash("sha256").update(value).digest();
  return timingSafeEqual(digest(left), digest(right));
}
