import { verify, X509Certificate } from "node:crypto";
import {
  bitsOf,
  contentOf,
  DerError,
  type DerValue,
  membersOf,
  oidOf,
  readDer,
  readMembers,
  TAG,
  timeOf,
} from "../kernel/der.ts";
import { AppError } from "../kernel/index.ts";
import { toPem } from "../protocol/index.ts";
import type { SigningRoot } from "./ceremony.ts";
import { keyIdentifierOf, subjectOf } from "./certificate-builder.ts";
import { buildCrl, type CrlEntry } from "./crl.ts";

/**
 * The revocation list of a root that is offline: signed in the ceremony, for a long time in advance,
 * over what the platform says is revoked.
 */

/** What the root's next list is to say. */
export interface ListRequest {
  /** RFC 5280 §5.2.3: higher than that of every list before. */
  number: number;
  entries: { serial: string; revokedAt: string; code: number }[];
}

/** A list as it came back, read and found to be the root's. */
export interface SignedList {
  der: Buffer;
  number: number;
  thisUpdate: Date;
  nextUpdate: Date;
  /** Serials, hex. */
  serials: string[];
}

export const DEFAULT_LIST_DAYS = 365;
export const MAX_LIST_DAYS = 5 * 365;
const MAX_LIST_ENTRIES = 10_000;
const DAY_MS = 86_400_000;
/** Clocks of verifiers, and of the platform, may be a little behind the offline machine's. */
const BACKDATE_MS = 60 * 60_000;
const CRL_NUMBER = "2.5.29.20";
const EC_SHA256 = "1.2.840.10045.4.3.2";

/** Whether this part of a bundle is well formed; it may be absent. */
export function isListRequest(value: unknown): value is ListRequest | undefined {
  if (value === undefined) return true;
  const { number, entries } = (value ?? {}) as Partial<ListRequest>;
  return (
    Number.isSafeInteger(number) &&
    (number as number) > 0 &&
    Array.isArray(entries) &&
    entries.length <= MAX_LIST_ENTRIES &&
    entries.every(
      (entry) =>
        /^[0-9a-f]{1,40}$/.test(String(entry?.serial)) &&
        !Number.isNaN(Date.parse(entry.revokedAt)) &&
        // RFC 5280 §5.3.1: 7 is not used, and 8 is for delta lists.
        [0, 1, 2, 3, 4, 5, 6, 9, 10].includes(entry.code),
    )
  );
}

/** The list in PEM, good for `days`, and no longer than the root itself. */
export async function signRootList(
  request: ListRequest,
  root: SigningRoot,
  { now, days }: { now: number; days: number },
): Promise<string> {
  if (!Number.isInteger(days) || days < 1 || days > MAX_LIST_DAYS) {
    throw invalid(`a revocation list is good for 1 to ${MAX_LIST_DAYS} days`);
  }
  const certificate = new X509Certificate(root.certificatePem);
  const end = Math.min(now + days * DAY_MS, certificate.validToDate.getTime());
  const der = await buildCrl({
    issuer: {
      name: subjectOf(certificate.raw),
      keyIdentifier: keyIdentifierOf(root.key.publicKey),
      key: root.key,
    },
    number: request.number,
    thisUpdate: new Date(now - BACKDATE_MS),
    nextUpdate: new Date(end),
    entries: request.entries.map(({ serial, revokedAt, code }): CrlEntry => {
      return { serial, revokedAt: new Date(revokedAt), code };
    }),
  });
  return toPem("X509 CRL", der);
}

/** Reads a list that the root is said to have signed; `invalid-content` where it has not. */
export function readSignedList(pem: string, root: X509Certificate, now: number): SignedList {
  const text = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/.exec(pem)?.[1];
  if (!text) throw invalid("the revocation list is not in PEM");
  const der = Buffer.from(text, "base64");
  let list: SignedList;
  try {
    list = parseList(der, root);
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause;
    throw new AppError("invalid-content", "the revocation list is damaged", {}, { cause });
  }
  if (list.thisUpdate.getTime() > now) throw invalid("the revocation list begins in the future");
  if (list.nextUpdate.getTime() <= now) throw invalid("the revocation list has ended");
  return list;
}

/** CertificateList (RFC 5280 §5.1), as `buildCrl` writes it; `DerError`, or refused as not the root's. */
export function parseList(der: Buffer, root: X509Certificate): SignedList {
  const [toBeSigned, algorithm, signature] = membersOf(readDer(der), TAG.sequence);
  const parts = membersOf(toBeSigned, TAG.sequence);
  const [, , issuer, thisUpdate, nextUpdate] = parts;
  if (!toBeSigned || !issuer) throw new DerError("a part is missing");
  if (!issuer.raw.equals(subjectOf(root.raw))) throw invalid("the list is of another authority");
  const digest = oidOf(membersOf(algorithm, TAG.sequence)[0]) === EC_SHA256 ? "sha256" : null;
  if (!verify(digest, toBeSigned.raw, root.publicKey, bitsOf(signature))) {
    throw invalid("the revocation list was not signed by this installation's root");
  }
  const rest = parts.slice(5);
  const revoked = rest.find(({ tag }) => tag === TAG.sequence);
  const serials = revoked ? membersOf(revoked, TAG.sequence, MAX_LIST_ENTRIES).map(serialOf) : [];
  const number = numberOf(rest.find(({ tag }) => tag === 0xa0));
  return { der, number, thisUpdate: timeOf(thisUpdate), nextUpdate: timeOf(nextUpdate), serials };
}

function serialOf(entry: DerValue): string {
  const content = contentOf(membersOf(entry, TAG.sequence)[0], TAG.integer);
  return content.toString("hex").replace(/^00(?=..)/, "");
}

function numberOf(extensions: DerValue | undefined): number {
  const [list] = extensions ? readMembers(extensions.content) : [];
  for (const extension of list ? membersOf(list, TAG.sequence) : []) {
    const members = membersOf(extension, TAG.sequence);
    if (oidOf(members[0]) !== CRL_NUMBER) continue;
    const value = contentOf(readDer(contentOf(members.at(-1), TAG.octetString)), TAG.integer);
    const number = Number(`0x${value.toString("hex")}`);
    if (value.length > 0 && value.length <= 7 && number > 0) return number;
  }
  throw new DerError("the list has no number");
}

function invalid(message: string): AppError {
  return new AppError("invalid-content", message);
}
