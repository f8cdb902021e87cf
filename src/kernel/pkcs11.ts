import { createHash } from "node:crypto";
import fs from "node:fs";
import { bits, integer, octets, oid, sequence } from "./der.ts";
import { messageOf } from "./errors.ts";
import { type Binding, type Cryptoki, type Handle, loadModule } from "./pkcs11-module.ts";
import { parseTokenUri, type TokenUri } from "./pkcs11-uri.ts";

/** A P-256 key that never leaves its token. */
export interface TokenKey {
  /** DER of the public half (SubjectPublicKeyInfo). */
  publicKey: Buffer;
  /** ECDSA with SHA-256: DER of r and s. */
  sign(data: Uint8Array): Promise<Buffer>;
}

export interface TokenOptions {
  /** The token's PKCS#11 library, e.g. `/usr/lib/softhsm/libsofthsm2.so`. */
  modulePath: string;
  /** File with the PIN. */
  pinFile?: string | undefined;
  /** The PIN itself, where the environment holds it. */
  pin?: string | undefined;
}

const P256 = oid("1.2.840.10045.3.1.7");
const EC_PUBLIC_KEY = oid("1.2.840.10045.2.1");
/** Signatures that wait for one key; more than that is a token that does not answer. */
const MAX_WAITING = 1_000;
const MAX_KEYS = 10_000;

/** Keys in tokens by their URI. The library is loaded at the first use. */
export class Tokens {
  readonly #options: TokenOptions;
  readonly #keys = new Map<string, Promise<TokenKey>>();
  #refusal: string | undefined;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** The key that the URI names; throws with a sentence for people where it cannot be had. */
  key(uri: string): Promise<TokenKey> {
    const known = this.#keys.get(uri);
    if (known) return known;
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
    const opened = this.#open(uri);
    this.#keys.set(uri, opened);
    // A token that was not there may be plugged in the next moment.
    opened.catch(() => this.#keys.delete(uri));
    return opened;
  }

  /** Makes the key in the token; refuses where there is one of that name. */
  async generate(uri: string): Promise<TokenKey> {
    const { cryptoki, binding, session, target } = await this.#session(uri, true);
    try {
      if (findKey(cryptoki, binding, session, target)) {
        throw new Error("there is a key of that name in the token");
      }
      const names = namesOf(binding, target);
      cryptoki.C_GenerateKeyPair(
        session,
        { mechanism: binding.CKM_EC_KEY_PAIR_GEN },
        [
          ...names,
          { type: binding.CKA_TOKEN, value: true },
          { type: binding.CKA_VERIFY, value: true },
          { type: binding.CKA_EC_PARAMS, value: P256 },
        ],
        [
          ...names,
          { type: binding.CKA_TOKEN, value: true },
          { type: binding.CKA_PRIVATE, value: true },
          { type: binding.CKA_SENSITIVE, value: true },
          { type: binding.CKA_EXTRACTABLE, value: false },
          { type: binding.CKA_SIGN, value: true },
        ],
      );
    } finally {
      cryptoki.C_CloseSession(session);
    }
    return this.key(uri);
  }

  async #open(uri: string): Promise<TokenKey> {
    const { cryptoki, binding, session, target } = await this.#session(uri, false);
    const handle = findKey(cryptoki, binding, session, target);
    if (!handle) throw new Error("there is no private key of that name in the token");
    const publicKey = publicKeyOf(cryptoki, binding, session, target);
    let last: Promise<unknown> = Promise.resolve();
    let waiting = 0;
    const signNow = async (data: Uint8Array): Promise<Buffer> => {
      const digest = createHash("sha256").update(data).digest();
      cryptoki.C_SignInit(session, { mechanism: binding.CKM_ECDSA }, handle);
      const pair = await cryptoki.C_SignAsync(session, digest, Buffer.alloc(64));
      return sequence(integer(pair.subarray(0, 32)), integer(pair.subarray(32)));
    };
    return {
      publicKey,
      // A session holds one operation at a time: one signature comes after the other.
      async sign(data) {
        if (waiting >= MAX_WAITING) throw new Error("too many signatures wait for the token");
        waiting += 1;
        const mine = last.then(() => signNow(data));
        last = mine.catch(() => {});
        try {
          return await mine;
        } finally {
          waiting -= 1;
        }
      },
    };
  }

  async #session(uri: string, writes: boolean) {
    const target = parseTokenUri(uri);
    if (this.#refusal) throw new Error(this.#refusal);
    const { cryptoki, binding } = await loadModule(this.#options.modulePath);
    const slot = findSlot(cryptoki, target);
    const flags = binding.CKF_SERIAL_SESSION | (writes ? binding.CKF_RW_SESSION : 0);
    const session = cryptoki.C_OpenSession(slot, flags);
    this.#logIn(cryptoki, binding, session);
    return { cryptoki, binding, session, target };
  }

  #logIn(cryptoki: Cryptoki, binding: Binding, session: Handle): void {
    const pin = this.#options.pinFile
      ? fs.readFileSync(this.#options.pinFile, "utf8").replace(/\r?\n$/, "")
      : this.#options.pin;
    if (!pin) throw new Error("no PIN for the token: set VAUTN_PKCS11_PIN_FILE");
    try {
      cryptoki.C_Login(session, binding.CKU_USER, pin);
    } catch (error) {
      const message = messageOf(error);
      if (message.includes("CKR_USER_ALREADY_LOGGED_IN")) return;
      if (/CKR_PIN_(INCORRECT|LOCKED|INVALID|LEN_RANGE)/.test(message)) {
        // A token locks itself after a few wrong PINs: this process does not try again.
        this.#refusal = `the token refuses the PIN (${message}); mend it and start again`;
        throw new Error(this.#refusal);
      }
      throw error;
    }
  }
}

function findSlot(cryptoki: Cryptoki, target: TokenUri): Handle {
  const matching = cryptoki.C_GetSlotList(true).filter((slot) => {
    const info = cryptoki.C_GetTokenInfo(slot);
    const agrees = (wanted: string | undefined, is: string) =>
      wanted === undefined || wanted === is.trimEnd();
    return (
      agrees(target.token, info.label) &&
      agrees(target.serial, info.serialNumber) &&
      agrees(target.manufacturer, info.manufacturerID) &&
      agrees(target.model, info.model)
    );
  });
  const [slot, second] = matching;
  if (!slot) throw new Error("there is no such token");
  if (second) throw new Error("the PKCS#11 URI fits several tokens: add serial=...");
  return slot;
}

function namesOf(binding: Binding, target: TokenUri) {
  return [
    ...(target.object ? [{ type: binding.CKA_LABEL, value: target.object }] : []),
    ...(target.id ? [{ type: binding.CKA_ID, value: Buffer.from(target.id, "hex") }] : []),
  ];
}

function findKey(
  cryptoki: Cryptoki,
  binding: Binding,
  session: Handle,
  target: TokenUri,
  kind: number = binding.CKO_PRIVATE_KEY,
): Handle | undefined {
  const template = [{ type: binding.CKA_CLASS, value: kind }, ...namesOf(binding, target)];
  cryptoki.C_FindObjectsInit(session, template);
  const found = cryptoki.C_FindObjects(session, 2);
  cryptoki.C_FindObjectsFinal(session);
  if (found.length > 1) throw new Error("the PKCS#11 URI fits several keys: add id=...");
  return found[0];
}

function publicKeyOf(
  cryptoki: Cryptoki,
  binding: Binding,
  session: Handle,
  target: TokenUri,
): Buffer {
  const handle = findKey(cryptoki, binding, session, target, binding.CKO_PUBLIC_KEY);
  if (!handle) throw new Error("the token holds no public key beside the private one");
  const [parameters, point] = cryptoki.C_GetAttributeValue(session, handle, [
    { type: binding.CKA_EC_PARAMS },
    { type: binding.CKA_EC_POINT },
  ]);
  if (!parameters?.value.equals(P256)) throw new Error("the key in the token is not P-256");
  // PKCS#11 2.40 §2.3.3: an octet string around the point; some tokens give the point alone.
  const value = point?.value ?? Buffer.alloc(0);
  const raw = value.length === 67 ? value.subarray(2) : value;
  if (raw.length !== 65 || !octets(raw).subarray(2).equals(raw)) {
    throw new Error("the token's public key cannot be read");
  }
  return sequence(sequence(EC_PUBLIC_KEY, P256), bits(raw));
}
