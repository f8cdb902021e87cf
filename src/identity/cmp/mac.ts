import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import {
  contentOf,
  DerError,
  type DerValue,
  integer,
  membersOf,
  octets,
  oid,
  oidOf,
  sequence,
  TAG,
} from "../../kernel/der.ts";
import { CmpFault } from "./failures.ts";

/** id-PasswordBasedMac (RFC 4210 §5.1.3.1) and id-PBMAC1 (RFC 9481 §6.1.2). */
const PASSWORD_BASED_MAC = "1.2.840.113533.7.66.13";
const PBMAC1 = "1.2.840.113549.1.5.14";
const PBKDF2 = "1.2.840.113549.1.5.12";

/** One-way functions and MACs that are taken; SHA-1 as a MAC is what OpenSSL sends by default. */
const HASHES: Record<string, string> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
};
const MACS: Record<string, string> = {
  "1.3.6.1.5.5.8.1.2": "sha1",
  "1.2.840.113549.2.7": "sha1",
  "1.2.840.113549.2.9": "sha256",
  "1.2.840.113549.2.10": "sha384",
  "1.2.840.113549.2.11": "sha512",
};
const SHA256 = "2.16.840.1.101.3.4.2.1";
const HMAC_SHA256 = "1.2.840.113549.2.9";

/** Fewer help who guesses, more cost us what whoever asks decides. */
const MIN_ITERATIONS = 100;
const MAX_ITERATIONS = 100_000;
const OWN_ITERATIONS = 500;
const MAX_SALT_BYTES = 128;
const MIN_SALT_BYTES = 8;
/** Between two looks at what else is to be done. */
const ITERATIONS_AT_ONCE = 2_000;

/** How a MAC's key comes from a shared secret, read from an AlgorithmIdentifier. */
export type MacParameters =
  | { kind: "pbm"; salt: Buffer; hash: string; iterations: number; mac: string }
  | {
      kind: "pbmac1";
      salt: Buffer;
      iterations: number;
      keyBytes: number;
      prf: string;
      mac: string;
    };

/** Undefined where the algorithm is none of a shared secret; `CmpFault` where it is a bad one. */
export function readMacParameters(algorithm: DerValue): MacParameters | undefined {
  const [type, parameters] = membersOf(algorithm, TAG.sequence);
  const name = oidOf(type);
  if (name === PASSWORD_BASED_MAC) return readPbm(parameters);
  return name === PBMAC1 ? readPbmac1(parameters) : undefined;
}

function readPbm(parameters: DerValue | undefined): MacParameters {
  const [salt, owf, count, mac] = membersOf(parameters, TAG.sequence);
  return {
    kind: "pbm",
    salt: saltOf(salt),
    hash: known(HASHES, owf),
    iterations: iterationsOf(count),
    mac: known(MACS, mac),
  };
}

function readPbmac1(parameters: DerValue | undefined): MacParameters {
  const [derivation, mac] = membersOf(parameters, TAG.sequence);
  const [type, inner] = membersOf(derivation, TAG.sequence);
  if (oidOf(type) !== PBKDF2) throw new CmpFault("badAlg", "keys are derived by PBKDF2");
  const [salt, count, ...rest] = membersOf(inner, TAG.sequence);
  const length = rest.find((one) => one.tag === TAG.integer);
  // RFC 8018 §A.2: HMAC with SHA-1 where it is not said.
  const prf = rest.find((one) => one.tag === TAG.sequence);
  const keyBytes = length ? length.content.readUIntBE(0, Math.min(2, length.content.length)) : 32;
  if (keyBytes < 16 || keyBytes > 64) throw new CmpFault("badAlg", "the key has an odd length");
  return {
    kind: "pbmac1",
    salt: saltOf(salt),
    iterations: iterationsOf(count),
    keyBytes,
    prf: prf ? known(MACS, prf) : "sha1",
    mac: known(MACS, mac),
  };
}

function known(names: Record<string, string>, algorithm: DerValue | undefined): string {
  const name = names[oidOf(membersOf(algorithm, TAG.sequence)[0])];
  if (!name) throw new CmpFault("badAlg", "the MAC's algorithm is not one that is taken");
  return name;
}

function saltOf(value: DerValue | undefined): Buffer {
  const salt = contentOf(value, TAG.octetString);
  if (salt.length < MIN_SALT_BYTES || salt.length > MAX_SALT_BYTES) {
    throw new CmpFault("badAlg", "the salt has an odd length");
  }
  return salt;
}

function iterationsOf(value: DerValue | undefined): number {
  const content = contentOf(value, TAG.integer);
  if (content.length < 1) throw new DerError("an integer without bytes");
  const count =
    content.length > 4 ? Number.POSITIVE_INFINITY : content.readIntBE(0, content.length);
  if (count < MIN_ITERATIONS || count > MAX_ITERATIONS) {
    const range = `${MIN_ITERATIONS} to ${MAX_ITERATIONS}`;
    throw new CmpFault("badAlg", `the iterations must be ${range}`);
  }
  return count;
}

export async function computeMac(
  parameters: MacParameters,
  secret: string,
  data: Uint8Array,
): Promise<Buffer> {
  const key = await deriveKey(parameters, Buffer.from(secret));
  return createHmac(parameters.mac, key).update(data).digest();
}

async function deriveKey(parameters: MacParameters, secret: Buffer): Promise<Buffer> {
  const { salt, iterations } = parameters;
  if (parameters.kind === "pbmac1") {
    const { keyBytes, prf } = parameters;
    return new Promise((resolve, reject) => {
      pbkdf2(secret, salt, iterations, keyBytes, prf, (error, key) =>
        error ? reject(error) : resolve(key),
      );
    });
  }
  // RFC 4211 §4.4: the function over secret and salt, and again over what came of it.
  const digest = (bytes: Uint8Array) => createHash(parameters.hash).update(bytes).digest();
  let key = digest(Buffer.concat([secret, salt]));
  for (let round = 1; round < iterations; round += 1) {
    if (round % ITERATIONS_AT_ONCE === 0) await setImmediate();
    key = digest(key);
  }
  return key;
}

export async function isMacRight(
  parameters: MacParameters,
  secret: string,
  data: Uint8Array,
  mac: Uint8Array,
): Promise<boolean> {
  const expected = await computeMac(parameters, secret, data);
  return expected.length === mac.length && timingSafeEqual(expected, mac);
}

/** Parameters of our own answers, with a fresh salt, and the AlgorithmIdentifier that says them. */
export function ownMacParameters(asked: MacParameters): {
  parameters: MacParameters;
  identifier: Buffer;
} {
  const salt = randomBytes(16);
  const iterations = Math.max(OWN_ITERATIONS, MIN_ITERATIONS);
  const count = integer(Buffer.from([iterations >> 8, iterations & 0xff]));
  const mac = sequence(oid(HMAC_SHA256));
  if (asked.kind === "pbm") {
    // Who sends a MAC of SHA-1 may know no other.
    const own = asked.mac === "sha1" ? sequence(oid("1.3.6.1.5.5.8.1.2")) : mac;
    return {
      parameters: {
        kind: "pbm",
        salt,
        hash: "sha256",
        iterations,
        mac: asked.mac === "sha1" ? "sha1" : "sha256",
      },
      identifier: sequence(
        oid(PASSWORD_BASED_MAC),
        sequence(octets(salt), sequence(oid(SHA256)), count, own),
      ),
    };
  }
  const derivation = sequence(oid(PBKDF2), sequence(octets(salt), count, mac));
  return {
    parameters: { kind: "pbmac1", salt, iterations, keyBytes: 32, prf: "sha256", mac: "sha256" },
    identifier: sequence(oid(PBMAC1), sequence(derivation, mac)),
  };
}
