import { createHash } from "node:crypto";
import { AppError } from "../kernel/index.ts";
import {
  canonicalJson,
  type Envelope,
  type RootMetadata,
  releaseFileName,
  releaseRole,
  type Signature,
  type SigningKey,
  type SigningRole,
  type TargetsMetadata,
  validSigners,
  withSignature,
} from "../protocol/index.ts";
import type { Signable } from "./offline-tools.ts";

/** Signatures that travel without their document, from the machine of whoever made them. */
export interface DetachedSignatures {
  _type: "signatures";
  /** SHA-256 of the document's canonical JSON: what they are over. */
  documentSha256: string;
  signatures: Signature[];
}

/** What a document still lacks by one role. */
export interface SignatureStatus {
  /** Whose signatures are asked for, in words. */
  role: string;
  threshold: number;
  /** Ids of the role's keys that have validly signed. */
  signers: string[];
  /** Of the role's keys, those that have not. */
  open: string[];
  isMet: boolean;
}

export interface DocumentStatus {
  type: Signable["signed"]["_type"];
  documentSha256: string;
  roles: SignatureStatus[];
  /** Signatures that count for none of the roles: by strangers, or not valid. */
  strangers: string[];
  isComplete: boolean;
}

export function detach(document: Signable): DetachedSignatures {
  return {
    _type: "signatures",
    documentSha256: documentHash(document),
    signatures: document.signatures,
  };
}

/** Adds signatures that others made, detached or in their copy of the same document. */
export function mergeSignatures<Document extends Signable>(
  document: Document,
  other: unknown,
): Document {
  const given = other as Partial<DetachedSignatures & Envelope<unknown>> | null;
  const theirs =
    given?._type === "signatures"
      ? given.documentSha256
      : given?.signed && documentHash(given as Envelope<unknown>);
  if (theirs !== documentHash(document)) {
    throw new AppError("invalid-content", "the signatures are over another document");
  }
  const signatures: unknown = given?.signatures;
  if (!Array.isArray(signatures) || !signatures.every(isSignature)) {
    throw new AppError("invalid-content", "the file holds no signatures");
  }
  return signatures.reduce(
    (merged, signature) => withSignature<Signable["signed"]>(merged, signature) as Document,
    document,
  );
}

/** Who has signed and what is missing: a root asks its own keys and those of the root before. */
export function signatureStatus(
  document: Signable,
  trust: { root: RootMetadata | null; targets: TargetsMetadata | null },
): DocumentStatus {
  const roles = rolesOf(document, trust).map(({ name, role, keys }): SignatureStatus => {
    const signers = validSigners(document, role, keys);
    const open = role.keyids.filter((keyid) => !signers.includes(keyid));
    const { threshold } = role;
    return { role: name, threshold, signers, open, isMet: signers.length >= threshold };
  });
  const counted = roles.flatMap(({ signers }) => signers);
  return {
    type: document.signed._type,
    documentSha256: documentHash(document),
    roles,
    strangers: document.signatures
      .map(({ keyid }) => keyid)
      .filter((keyid) => !counted.includes(keyid)),
    isComplete: roles.every(({ isMet }) => isMet),
  };
}

interface AskedRole {
  name: string;
  role: SigningRole;
  keys: Readonly<Record<string, SigningKey>>;
}

function rolesOf(
  { signed }: Signable,
  { root, targets }: { root: RootMetadata | null; targets: TargetsMetadata | null },
): AskedRole[] {
  if (signed._type === "root") {
    const own = { name: `root ${signed.version}`, role: signed.roles.root, keys: signed.keys };
    if (!root || root.version >= signed.version) return [own];
    return [{ name: `root ${root.version}`, role: root.roles.root, keys: root.keys }, own];
  }
  if (!root) throw new AppError("invalid-content", "who must sign it stands in the trust root");
  if (signed._type === "targets") {
    return [{ name: "targets", role: root.roles.targets, keys: root.keys }];
  }
  return [releaseRole(root, targets, releaseFileName(signed))];
}

function documentHash({ signed }: Envelope<unknown>): string {
  return createHash("sha256").update(canonicalJson(signed)).digest("hex");
}

function isSignature(value: unknown): value is Signature {
  const signature = value as Partial<Signature> | null;
  return typeof signature?.keyid === "string" && typeof signature.sig === "string";
}
