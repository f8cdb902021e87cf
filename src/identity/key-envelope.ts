import {
  createCipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import {
  bits,
  context,
  contextPrimitive,
  integer,
  octets,
  oid,
  sequence,
  set,
} from "../kernel/der.ts";
import { AppError } from "../kernel/index.ts";
import { keyIdentifierOf } from "./certificate-builder.ts";
import type { Responder } from "./cmp/responder.ts";

/** By which key a request wants the key that is made for it to be encrypted (RFC 7030 §4.4.1). */
export interface DecryptKey {
  kind: "symmetric" | "asymmetric";
  /** Of a public key: as certificates name it (RFC 5280 §4.2.1.2, method 1). */
  identifier: Buffer;
}

const ID = {
  signedData: "1.2.840.113549.1.7.2",
  envelopedData: "1.2.840.113549.1.7.3",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  /** id-ct-KP-aKeyPackage (RFC 5958 §2) */
  keyPackage: "2.16.840.1.101.2.1.2.78.5",
  sha256: "2.16.840.1.101.3.4.2.1",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
  aes256Wrap: "2.16.840.1.101.3.4.1.45",
  /** dhSinglePass-stdDH-sha256kdf-scheme (RFC 5753 §7.1.4) */
  ecdhSha256: "1.3.132.1.11.1",
  ecPublicKey: "1.2.840.10045.2.1",
} as const;

const KEY_BYTES = 32;
const BLOCK_BYTES = 16;
/** RFC 3394 §2.2.3.1 */
const WRAP_START = Buffer.alloc(8, 0xa6);

/**
 * The public key that a request names to encrypt for, out of those that the device is known to hold;
 * `csr-invalid` (`encryption`) where it is none of them. RFC 7030 §4.4.1: the request ends then.
 */
export function recipientOf(wanted: DecryptKey, known: readonly Buffer[]): Buffer {
  if (wanted.kind === "symmetric") {
    throw refused("no secret key is shared with devices here: name a public key, or none");
  }
  const found = known.find((key) => keyIdentifierOf(key).equals(wanted.identifier));
  if (!found) {
    throw refused("the key to encrypt for is neither the request's own nor the certificate's");
  }
  const { asymmetricKeyDetails } = publicKeyFrom(found);
  if (asymmetricKeyDetails?.namedCurve !== "prime256v1") {
    throw refused("keys are encrypted for P-256 keys only");
  }
  return found;
}

function refused(message: string): AppError {
  return new AppError("csr-invalid", message, { reason: "encryption" });
}

const publicKeyFrom = (der: Buffer) => createPublicKey({ key: der, format: "der", type: "spki" });

/**
 * A private key (PKCS#8) for one recipient's eyes: EnvelopedData around SignedData around the key
 * (RFC 7030 §4.4.2, RFC 5958 §2), DER. Signed, because whoever knows a public key can encrypt for it.
 */
export async function sealedPrivateKey(
  privateKey: Buffer,
  recipient: Buffer,
  signer: Responder,
): Promise<Buffer> {
  const signedData = await signedPackage(sequence(privateKey), signer);
  const key = randomBytes(KEY_BYTES);
  const start = randomBytes(BLOCK_BYTES);
  const cipher = createCipheriv("aes-256-cbc", key, start);
  const encrypted = Buffer.concat([cipher.update(signedData), cipher.final()]);
  // RFC 5652 §6.1: version 2, since a recipient agrees on a key.
  const enveloped = sequence(
    integer(Buffer.from([2])),
    set(agreement(recipient, key)),
    sequence(
      oid(ID.signedData),
      sequence(oid(ID.aes256Cbc), octets(start)),
      contextPrimitive(0, encrypted),
    ),
  );
  return sequence(oid(ID.envelopedData), context(0, enveloped));
}

/** RFC 5652 §5: version 3, since what is signed is not plain data; the signer is named by its key. */
async function signedPackage(keyPackage: Buffer, signer: Responder): Promise<Buffer> {
  const digest = sequence(oid(ID.sha256));
  const attributes = [
    sequence(oid(ID.contentType), set(oid(ID.keyPackage))),
    sequence(oid(ID.messageDigest), set(octets(hash("sha256", keyPackage, "buffer")))),
  ];
  // §5.4: signed as a set, carried under a tag of its own; the two stand in the order of DER.
  const signature = await signer.sign(set(...attributes));
  const signerInfo = sequence(
    integer(Buffer.from([3])),
    contextPrimitive(0, signer.keyIdentifier),
    digest,
    context(0, ...attributes),
    signer.algorithm,
    octets(signature),
  );
  return sequence(
    integer(Buffer.from([3])),
    set(digest),
    sequence(oid(ID.keyPackage), context(0, octets(keyPackage))),
    context(0, ...signer.chain),
    set(signerInfo),
  );
}

/** RFC 5753 §3.1: the content's key, wrapped by what one key of ours and the recipient's agree on. */
function agreement(recipient: Buffer, contentKey: Buffer): Buffer {
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const shared = diffieHellman({
    privateKey: own.privateKey,
    publicKey: publicKeyFrom(recipient),
  });
  const wrapping = sequence(oid(ID.aes256Wrap));
  const cipher = createCipheriv("id-aes256-wrap", wrappingKey(shared, wrapping), WRAP_START);
  const wrapped = Buffer.concat([cipher.update(contentKey), cipher.final()]);
  const originator = context(1, sequence(oid(ID.ecPublicKey)), bits(pointOf(own.publicKey)));
  return context(
    1,
    integer(Buffer.from([3])),
    context(0, originator),
    sequence(oid(ID.ecdhSha256), wrapping),
    sequence(sequence(context(0, octets(keyIdentifierOf(recipient))), octets(wrapped))),
  );
}

/** RFC 5753 §7.2: one block of the X9.63 function, over the secret, a counter and what it is for. */
function wrappingKey(shared: Buffer, wrapping: Buffer): Buffer {
  const sizeBits = Buffer.from([0, 0, (KEY_BYTES * 8) >> 8, 0]);
  const purpose = sequence(wrapping, context(2, octets(sizeBits)));
  return hash("sha256", Buffer.concat([shared, Buffer.from([0, 0, 0, 1]), purpose]), "buffer");
}

/** The point itself, uncompressed. */
function pointOf(publicKey: KeyObject): Buffer {
  const der = publicKey.export({ type: "spki", format: "der" });
  return der.subarray(der.length - 65);
}
