import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { AppError, messageOf, randomId } from "../kernel/index.ts";
import type { Tokens } from "../kernel/pkcs11.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { toPem } from "../protocol/index.ts";
import { type AuthorityKey, localKey, newPrivateKey } from "./authority-key.ts";
import type { AuthorityKind, AuthorityRow, KeyColumns, KeyPlace } from "./authority-types.ts";
import { type Issuer, keyIdentifierOf, subjectOf } from "./certificate-builder.ts";

/** A key, and the columns by which it is found again. */
export interface HeldKey {
  key: AuthorityKey;
  columns(tenantId: string, authorityId: string): KeyColumns;
}

/** The keys of authorities wherever they lie. */
export class AuthorityKeys {
  readonly #sealer: Sealer;
  readonly #tokens: Tokens | undefined;

  constructor(deps: { sealer: Sealer; tokens?: Tokens | undefined }) {
    this.#sealer = deps.sealer;
    this.#tokens = deps.tokens;
  }

  /** A new key; one in a token may be there already, made by the token's own tools. */
  async make(place: KeyPlace): Promise<HeldKey> {
    if (place.kind === "pkcs11") return this.inToken(place.uri);
    const privateKey = newPrivateKey(place.algorithm);
    return {
      key: localKey(privateKey),
      columns: (tenantId, id) => ({
        key_kind: "sealed",
        key_uri: null,
        private_key_sealed: this.#seal(privateKey, tenantId, id),
      }),
    };
  }

  /** The key in the token that the URI names, made where it lacks. */
  async inToken(uri: string): Promise<HeldKey> {
    const tokens = this.#requireTokens();
    const { publicKey } = await askToken(async () => {
      try {
        return await tokens.key(uri);
      } catch (error) {
        if (!messageOf(error).startsWith("there is no private key")) throw error;
        return tokens.generate(uri);
      }
    });
    return {
      key: this.#tokenKey(uri, publicKey),
      columns: () => ({ key_kind: "pkcs11", key_uri: uri, private_key_sealed: null }),
    };
  }

  /** What signs in the name of an authority; throws where its key is not at hand. */
  issuerOf(row: AuthorityRow): Issuer {
    const certificate = new X509Certificate(row.certificate_pem);
    return {
      name: subjectOf(certificate.raw),
      keyIdentifier: Buffer.from(row.key_identifier, "hex"),
      key: this.open(row, certificate.publicKey.export({ type: "spki", format: "der" })),
    };
  }

  /** The key of a row; `publicKey` is what it must belong to. */
  open(row: KeyColumns & { tenant_id: string; id: string; subject: string }, publicKey: Buffer) {
    if (row.key_kind === "offline") throw new Error(`the key of ${row.subject} is offline`);
    if (row.key_kind === "pkcs11") return this.#tokenKey(row.key_uri as string, publicKey);
    if (!row.private_key_sealed) throw new Error(`the key of ${row.subject} was destroyed`);
    try {
      const context = sealingContext(row.tenant_id, row.id);
      const key = this.#sealer.open(row.private_key_sealed, context);
      return localKey(createPrivateKey({ key, format: "der", type: "pkcs8" }));
    } catch (cause) {
      throw new Error(`the key of ${row.subject} does not open with this master key`, { cause });
    }
  }

  #seal(privateKey: KeyObject, tenantId: string, id: string): Buffer {
    const pkcs8 = privateKey.export({ type: "pkcs8", format: "der" });
    return this.#sealer.seal(pkcs8, sealingContext(tenantId, id));
  }

  /** The token is asked at the first signature: to start, nobody needs it. */
  #tokenKey(uri: string, publicKey: Buffer): AuthorityKey {
    const tokens = this.#requireTokens();
    return {
      algorithm: "ecdsa-p256",
      publicKey,
      sign: (data) =>
        askToken(async () => {
          const key = await tokens.key(uri);
          if (!key.publicKey.equals(publicKey)) {
            throw new Error("the key in the token is not the authority's");
          }
          return key.sign(data);
        }),
    };
  }

  #requireTokens(): Tokens {
    if (this.#tokens) return this.#tokens;
    throw new AppError(
      "unavailable",
      "this installation has no token: set VAUTN_PKCS11_MODULE and VAUTN_PKCS11_PIN_FILE",
    );
  }
}

async function askToken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new AppError("unavailable", `the token: ${messageOf(cause)}`, {}, { cause });
  }
}

/** Tells authorities of one name apart, for people and for verifiers that look up by name. */
export function mark(publicKey: Buffer): string {
  return keyIdentifierOf(publicKey).toString("hex").slice(0, 8);
}

/** The row of a new authority. */
export function authorityRow(authority: {
  tenantId: string;
  id?: string;
  kind: AuthorityKind;
  certificate: X509Certificate;
  columns: HeldKey["columns"];
  crossCertificatePem?: string | null;
  createdAt: Date;
}): AuthorityRow {
  const { tenantId, certificate, id = randomId() } = authority;
  const spki = certificate.publicKey.export({ type: "spki", format: "der" });
  return {
    tenant_id: tenantId,
    id,
    kind: authority.kind,
    status: "active",
    subject: nameForPeople(certificate.subject),
    certificate_pem: toPem("CERTIFICATE", certificate.raw),
    cross_certificate_pem: authority.crossCertificatePem ?? null,
    ...authority.columns(tenantId, id),
    fingerprint: fingerprintOf(certificate.raw),
    key_identifier: keyIdentifierOf(spki).toString("hex"),
    created_at: authority.createdAt,
    not_after: certificate.validToDate,
    ended_at: null,
  };
}

export function nameForPeople(subject: string): string {
  return subject.replaceAll("\n", ", ");
}

/** SHA-256 over the DER, hex. */
export function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

/** Binds a sealed key to its place: moved to another row it does not open. */
function sealingContext(tenantId: string, authorityId: string): string {
  return `certificate-authority:${tenantId}:${authorityId}`;
}
