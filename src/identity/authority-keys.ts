import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { randomId } from "../kernel/index.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { toPem } from "../protocol/index.ts";
import { localKey } from "./authority-key.ts";
import type { AuthorityKind, AuthorityRow } from "./authority-store.ts";
import { type Issuer, keyIdentifierOf, subjectOf } from "./certificate-builder.ts";

/** Tells authorities of one name apart, for people and for verifiers that look up by name. */
export function mark(publicKey: Buffer): string {
  return keyIdentifierOf(publicKey).toString("hex").slice(0, 8);
}

/** The row of a new authority, its key sealed. */
export function sealedAuthority(
  sealer: Sealer,
  authority: {
    tenantId: string;
    kind: AuthorityKind;
    der: Buffer;
    privateKey: KeyObject;
    createdAt: Date;
  },
): AuthorityRow {
  const { tenantId, der } = authority;
  const certificate = new X509Certificate(der);
  const id = randomId();
  const pkcs8 = authority.privateKey.export({ type: "pkcs8", format: "der" });
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  return {
    tenant_id: tenantId,
    id,
    kind: authority.kind,
    status: "active",
    subject: certificate.subject.replaceAll("\n", ", "),
    certificate_pem: toPem("CERTIFICATE", der),
    private_key_sealed: sealer.seal(pkcs8, sealingContext(tenantId, id)),
    fingerprint: createHash("sha256").update(der).digest("hex"),
    key_identifier: keyIdentifierOf(spki).toString("hex"),
    created_at: authority.createdAt,
    not_after: certificate.validToDate,
  };
}

/** What signs in the name of an authority; throws where its key does not open. */
export function issuerOf(sealer: Sealer, row: AuthorityRow): Issuer {
  const certificate = new X509Certificate(row.certificate_pem);
  return {
    name: subjectOf(certificate.raw),
    keyIdentifier: Buffer.from(row.key_identifier, "hex"),
    key: localKey(openKey(sealer, row)),
  };
}

function openKey(sealer: Sealer, row: AuthorityRow): KeyObject {
  if (!row.private_key_sealed) throw new Error(`the key of ${row.subject} was destroyed`);
  try {
    const context = sealingContext(row.tenant_id, row.id);
    const key = sealer.open(row.private_key_sealed, context);
    return createPrivateKey({ key, format: "der", type: "pkcs8" });
  } catch (cause) {
    throw new Error(`the key of ${row.subject} does not open with this master key`, { cause });
  }
}

/** Binds a sealed key to its place: moved to another row it does not open. */
function sealingContext(tenantId: string, authorityId: string): string {
  return `certificate-authority:${tenantId}:${authorityId}`;
}
