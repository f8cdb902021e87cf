import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { AppError, LIMITS } from "../kernel/index.ts";
import {
  isTextLike,
  publicKeyOf,
  type SigningKey,
  signingKeyId,
  signingKeyOf,
} from "../protocol/index.ts";

/** Where the files of a release come from, as people look at it. */
export interface ProvenanceSummary {
  predicateType: string;
  /** SHA-256 of what the statement is about. */
  subjects: { name: string; sha256: string }[];
  /** Ids of the given keys that validly signed it; empty: nobody vouched. */
  signers: string[];
  builder: string | null;
  buildType: string | null;
  /** What was built: addresses of sources with their commit, as the statement says. */
  sources: string[];
}

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const STATEMENT = /^https:\/\/in-toto\.io\/Statement\/v(0\.1|1)$/;
const MAX_LISTED = 64;
const MAX_TEXT = 512;

/**
 * An in-toto statement in a DSSE envelope, alone or within a Sigstore bundle. `keys` are those of
 * whoever may vouch; with none its signatures are shown to nobody and prove nothing. Refuses with
 * `invalid-content`.
 */
export function readProvenance(content: Buffer, keys: readonly SigningKey[]): ProvenanceSummary {
  if (content.length > LIMITS.releaseDocumentBytes) throw refuse("it is too large");
  const envelope = envelopeOf(parse(content.toString("utf8")));
  if (envelope.payloadType !== PAYLOAD_TYPE) throw refuse(`its payloadType is not ${PAYLOAD_TYPE}`);
  const payload = Buffer.from(envelope.payload, "base64");
  const statement = parse(payload.toString("utf8"));
  if (!isTextLike(statement._type, STATEMENT)) throw refuse("it is no in-toto statement");
  const { predicateType } = statement;
  if (typeof predicateType !== "string" || predicateType.length > MAX_TEXT) {
    throw refuse("it lacks a predicateType");
  }
  return {
    predicateType,
    subjects: subjectsOf(statement.subject),
    signers: signersOf(envelope, payload, keys),
    ...factsOf(statement.predicate),
  };
}

/** A key that may vouch: a public key or a certificate in PEM. */
export function readAttestorKey(pem: string): SigningKey {
  try {
    return signingKeyOf(createPublicKey(pem));
  } catch (cause) {
    throw refuse("the key is neither Ed25519 nor P-256", cause);
  }
}

interface DsseEnvelope {
  payloadType: string;
  payload: string;
  signatures: { sig: string; keyid?: unknown }[];
}

function envelopeOf(document: Json): DsseEnvelope {
  const { payload, payloadType, signatures } = (document.dsseEnvelope ?? document) as Json;
  const isWhole =
    typeof payload === "string" &&
    typeof payloadType === "string" &&
    Array.isArray(signatures) &&
    signatures.length <= MAX_LISTED &&
    signatures.every((each) => typeof each?.sig === "string");
  if (!isWhole) throw refuse("it is no DSSE envelope");
  return { payload, payloadType, signatures };
}

/** DSSE v1: signatures are over the type and the payload, each with its length. */
function signersOf(
  { payloadType, signatures }: DsseEnvelope,
  payload: Buffer,
  keys: readonly SigningKey[],
): string[] {
  const lengths = [Buffer.byteLength(payloadType), payload.length];
  const head = `DSSEv1 ${lengths[0]} ${payloadType} ${lengths[1]} `;
  const bytes = Buffer.concat([Buffer.from(head), payload]);
  const isBy = (key: SigningKey) => {
    const publicKey: KeyObject = publicKeyOf(key);
    const algorithm = key.keytype === "ed25519" ? null : "sha256";
    // `keyid` is a hint that nobody is bound to: every key is tried.
    return signatures.some(({ sig }) =>
      verify(algorithm, bytes, publicKey, Buffer.from(sig, "base64")),
    );
  };
  return keys.filter(isBy).map(signingKeyId);
}

function subjectsOf(value: unknown): ProvenanceSummary["subjects"] {
  if (!Array.isArray(value) || value.length === 0) throw refuse("it is about nothing");
  return value.slice(0, MAX_LISTED).map((subject: Json | null) => {
    const sha256 = (subject?.digest as Json | undefined)?.sha256;
    if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256)) {
      throw refuse("a subject has no SHA-256");
    }
    return { name: textOf(subject?.name) ?? "", sha256 };
  });
}

/** SLSA 1.x and 0.2 put the same facts into different places. */
function factsOf(value: unknown) {
  const predicate = asJson(value);
  const definition = asJson(predicate.buildDefinition);
  const details = asJson(predicate.runDetails);
  const builder = asJson(details.builder ?? predicate.builder);
  const materials = definition.resolvedDependencies ?? predicate.materials;
  const sources = (Array.isArray(materials) ? materials.slice(0, MAX_LISTED) : []).flatMap(
    (each) => {
      const uri = textOf(asJson(each).uri);
      const commit = textOf(Object.values(asJson(asJson(each).digest))[0]);
      return uri ? [commit ? `${uri} (${commit})` : uri] : [];
    },
  );
  return {
    builder: textOf(builder.id),
    buildType: textOf(definition.buildType ?? predicate.buildType),
    sources,
  };
}

type Json = Record<string, unknown>;

function asJson(value: unknown): Json {
  return typeof value === "object" && value !== null ? (value as Json) : {};
}

function parse(text: string): Json {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Json;
  } catch (cause) {
    throw refuse("it is not JSON", cause);
  }
  throw refuse("it is no JSON object");
}

function textOf(value: unknown): string | null {
  if (typeof value !== "string" || value === "") return null;
  return value
    .toWellFormed()
    .replace(/\p{C}+/gu, " ")
    .slice(0, MAX_TEXT)
    .toWellFormed();
}

function refuse(message: string, cause?: unknown): AppError {
  return new AppError("invalid-content", `the provenance: ${message}`, {}, { cause });
}
