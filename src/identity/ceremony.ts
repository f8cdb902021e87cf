import { createHash, X509Certificate } from "node:crypto";
import { membersOf, readDer, TAG } from "../kernel/der.ts";
import { AppError } from "../kernel/index.ts";
import { distinguishedName, isTenantId, toPem } from "../protocol/index.ts";
import { type AuthorityKey, type KeyAlgorithm, localKey, newPrivateKey } from "./authority-key.ts";
import { fingerprintOf } from "./authority-keys.ts";
import { readKeyRequest } from "./authority-request.ts";
import {
  DEFAULT_LIST_DAYS,
  isListRequest,
  type ListRequest,
  signRootList,
} from "./ceremony-list.ts";
import { buildCertificate, keyIdentifierOf, subjectOf } from "./certificate-builder.ts";
import { decryptPrivateKey, encryptPrivateKey } from "./encrypted-key.ts";
import {
  authorityRecipe,
  crossCertificate,
  MAX_ROOT_LIFETIME_MS,
  rootCertificate,
  validityFrom,
  validityWithin,
} from "./profiles.ts";

/**
 * The part of the hierarchy's making that runs on the machine with the root's key: it needs neither
 * network nor database, and believes nothing of a bundle but the public keys in it.
 */

/** What waits for the root's signature; made by the platform, carried to the root. */
export interface RequestBundle {
  format: typeof REQUESTS;
  trustDomain: string;
  /** SHA-256 over the root's certificate, hex: which root is asked. */
  rootFingerprint: string;
  createdAt: string;
  requests: AuthorityRequest[];
  /** What the root's next revocation list is to say; absent where the root's key is at hand. */
  revocationList?: ListRequest;
}

export interface AuthorityRequest {
  id: string;
  kind: "tenant" | "server";
  /** `_platform` for the server authority. */
  tenantId: string;
  /** PKCS#10 in PEM. */
  csr: string;
}

/** What the root has signed; carried back to the platform. */
export interface SignedBundle {
  format: typeof SIGNED;
  rootFingerprint: string;
  certificates: { id: string; certificatePem: string }[];
  /** PEM. */
  revocationList?: string;
}

/** The root's folder on the offline machine. */
export interface OfflineRoot {
  certificatePem: string;
  encryptedKeyPem: string;
  trustDomain: string;
}

/** A root with its key at hand, wherever that lies. */
export interface SigningRoot {
  certificatePem: string;
  key: AuthorityKey;
  trustDomain: string;
}

export const REQUESTS = "vautn-pki-requests/1";
export const SIGNED = "vautn-pki-signed/1";
export const MAX_REQUESTS = 10_000;

export async function createOfflineRoot(options: {
  passphrase: string;
  trustDomain: string;
  algorithm?: KeyAlgorithm | undefined;
  now: number;
}): Promise<OfflineRoot> {
  const privateKey = newPrivateKey(options.algorithm);
  const encryptedKeyPem = await encryptPrivateKey(privateKey, options.passphrase);
  const certificatePem = await selfSignedRoot(localKey(privateKey), options.now);
  return { certificatePem, encryptedKeyPem, trustDomain: options.trustDomain };
}

export async function selfSignedRoot(key: AuthorityKey, now: number): Promise<string> {
  const { publicKey } = key;
  const keyIdentifier = keyIdentifierOf(publicKey);
  const mark = keyIdentifier.toString("hex").slice(0, 8);
  const issuer = { name: distinguishedName("Vautn", `Vautn Root CA ${mark}`), keyIdentifier, key };
  const validity = validityFrom(now, MAX_ROOT_LIFETIME_MS);
  const { der } = await rootCertificate({ issuer, publicKey, ...validity });
  return toPem("CERTIFICATE", der);
}

export function openOfflineRoot(root: OfflineRoot, passphrase: string): SigningRoot {
  const key = localKey(decryptPrivateKey(root.encryptedKeyPem, passphrase));
  const certificate = new X509Certificate(root.certificatePem);
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  if (!key.publicKey.equals(spki))
    throw invalid("the key is not the one of the root's certificate");
  return { certificatePem: root.certificatePem, key, trustDomain: root.trustDomain };
}

/** A bundle of requests from its text, looked through but for the requests' own signatures. */
export function parseRequestBundle(text: string): RequestBundle {
  const bundle = parse(text, REQUESTS) as unknown as RequestBundle;
  const { trustDomain, rootFingerprint, requests } = bundle;
  const isBundle =
    typeof trustDomain === "string" &&
    typeof rootFingerprint === "string" &&
    Array.isArray(requests) &&
    requests.length <= MAX_REQUESTS &&
    requests.every(isRequest) &&
    isListRequest(bundle.revocationList);
  if (!isBundle) throw invalid("the bundle of requests is not one of ours, or is damaged");
  return bundle;
}

function isRequest(request: Partial<AuthorityRequest> | null): boolean {
  const kind = request?.kind;
  return (
    typeof request?.id === "string" &&
    typeof request.csr === "string" &&
    ((kind === "tenant" && isTenantId(request.tenantId)) ||
      (kind === "server" && request.tenantId === "_platform"))
  );
}

/**
 * Signs every request of a bundle, or none. What a certificate says follows from kind and tenant
 * alone: a request cannot ask for other names, a longer path or no constraints.
 */
export async function signBundle(
  bundle: RequestBundle,
  root: SigningRoot,
  now: number,
  listDays = DEFAULT_LIST_DAYS,
): Promise<SignedBundle> {
  const certificate = new X509Certificate(root.certificatePem);
  const rootFingerprint = fingerprintOf(certificate.raw);
  if (bundle.rootFingerprint !== rootFingerprint) {
    throw invalid("the bundle is for another root", {
      asked: bundle.rootFingerprint,
      here: rootFingerprint,
    });
  }
  if (bundle.trustDomain !== root.trustDomain) {
    throw invalid(
      `the bundle is of the trust domain ${bundle.trustDomain}, the root of ${root.trustDomain}`,
    );
  }
  if (certificate.validToDate.getTime() <= now) throw invalid("the root has expired");
  const issuer = {
    name: subjectOf(certificate.raw),
    keyIdentifier: keyIdentifierOf(root.key.publicKey),
    key: root.key,
  };
  const keys = await Promise.all(bundle.requests.map((request) => publicKeyOf(request)));
  const seen = new Set(keys.map((key) => createHash("sha256").update(key).digest("hex")));
  if (seen.size !== keys.length) throw invalid("two requests of the bundle hold the same key");
  const certificates: SignedBundle["certificates"] = [];
  for (const [index, request] of bundle.requests.entries()) {
    const publicKey = keys[index] as Buffer;
    const recipe = authorityRecipe(request.kind, request.tenantId, publicKey, root.trustDomain);
    const validity = validityWithin(now, certificate.validToDate);
    const { der } = await buildCertificate({ ...recipe, issuer, publicKey, ...validity });
    certificates.push({ id: request.id, certificatePem: toPem("CERTIFICATE", der) });
  }
  const asked = bundle.revocationList;
  const list = asked && (await signRootList(asked, root, { now, days: listDays }));
  return {
    ...{ format: SIGNED, rootFingerprint, certificates },
    ...(list ? { revocationList: list } : {}),
  };
}

/** The old root's signature of a new one (RFC 4210 §4.4). */
export function crossSign(root: SigningRoot, newRootPem: string, now: number): Promise<string> {
  const own = new X509Certificate(root.certificatePem);
  const certificate = new X509Certificate(newRootPem);
  if (!certificate.ca || !certificate.verify(certificate.publicKey)) {
    throw invalid("the new root is not an authority that is signed by itself");
  }
  const issuer = {
    name: subjectOf(own.raw),
    keyIdentifier: keyIdentifierOf(root.key.publicKey),
    key: root.key,
  };
  return crossCertificate(issuer, own.validToDate, { certificate, now });
}

async function publicKeyOf(request: AuthorityRequest): Promise<Buffer> {
  try {
    return await readKeyRequest(request.csr);
  } catch (cause) {
    const who = request.kind === "server" ? "the server authority" : `tenant ${request.tenantId}`;
    throw new AppError("invalid-content", `the request of ${who}: ${(cause as Error).message}`, {
      id: request.id,
    });
  }
}

export function parseSignedBundle(text: string): SignedBundle {
  const bundle = parse(text, SIGNED) as unknown as SignedBundle;
  const isBundle =
    typeof bundle.rootFingerprint === "string" &&
    Array.isArray(bundle.certificates) &&
    bundle.certificates.length <= MAX_REQUESTS &&
    ["string", "undefined"].includes(typeof bundle.revocationList) &&
    bundle.certificates.every(
      (one) => typeof one?.id === "string" && typeof one.certificatePem === "string",
    );
  if (!isBundle) throw invalid("the signed bundle is not one of ours, or is damaged");
  return bundle;
}

/** The members of what is signed of a certificate (RFC 5280 §4.1). */
const SIGNED_PARTS = ["subject", "publicKey", "extensions"] as const;

/**
 * Refuses a certificate that is not, byte for byte in all that matters, what the platform asked for:
 * names, key, constraints and every other extension.
 */
export async function checkSigned(
  request: { kind: "tenant" | "server"; tenantId: string; csr: string },
  certificate: X509Certificate,
  root: X509Certificate,
  trustDomain: string,
): Promise<void> {
  const publicKey = await readKeyRequest(request.csr);
  const recipe = authorityRecipe(request.kind, request.tenantId, publicKey, trustDomain);
  const isOfRoot = certificate.issuer === root.subject && certificate.verify(root.publicKey);
  if (!isOfRoot) throw invalid("a certificate was not signed by this installation's root");
  const expected = await buildCertificate({
    ...recipe,
    issuer: {
      name: subjectOf(root.raw),
      keyIdentifier: keyIdentifierOf(root.publicKey.export({ type: "spki", format: "der" })),
      // Whose signature it is does not matter here: only what is signed is compared.
      key: localKey(newPrivateKey()),
    },
    publicKey,
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
  });
  const [is, shouldBe] = [partsOf(certificate.raw), partsOf(expected.der)];
  for (const part of SIGNED_PARTS) {
    if (is[part].equals(shouldBe[part])) continue;
    throw invalid(`a certificate differs in its ${part} from what was asked for`, {
      id: request.tenantId,
      part,
    });
  }
}

function partsOf(der: Buffer): Record<(typeof SIGNED_PARTS)[number], Buffer> {
  const [toBeSigned] = membersOf(readDer(der), TAG.sequence);
  const members = membersOf(toBeSigned, TAG.sequence);
  const raw = (index: number) => members[index]?.raw ?? Buffer.alloc(0);
  return { subject: raw(5), publicKey: raw(6), extensions: raw(7) };
}

function parse(text: string, format: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("invalid-content", "the bundle is not JSON", {}, { cause });
  }
  const found = (value as { format?: unknown } | null)?.format;
  if (found !== format) throw invalid(`this is no bundle of the format ${format}`);
  return value as Record<string, unknown>;
}

function invalid(message: string, details: Record<string, unknown> = {}): AppError {
  return new AppError("invalid-content", message, details);
}
