import { X509Certificate } from "node:crypto";
import type { Clock } from "../kernel/index.ts";
import { distinguishedName } from "../protocol/index.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { localKey, newPrivateKey } from "./authority-key.ts";
import type { AuthorityRow } from "./authority-types.ts";
import {
  basicConstraints,
  buildCertificate,
  extendedKeyUsage,
  type Issuer,
  keyIdentifierOf,
  keyUsage,
  ocspNoCheck,
} from "./certificate-builder.ts";
import { BACKDATE_MS } from "./profiles.ts";

/** id-kp-OCSPSigning (RFC 6960 §4.2.2.2) */
const OCSP_SIGNING = "1.3.6.1.5.5.7.3.9";
/** Nobody can revoke it (id-pkix-ocsp-nocheck), so it does not live long. */
const LIFETIME_MS = 7 * 86_400_000;
const MAX_SIGNERS = 2_000;

/** Signs answers in an authority's name, with the certificate that says that it may. */
export interface OcspSigner {
  signer: Pick<Issuer, "key" | "keyIdentifier">;
  /** DER of its certificate, and of the authority's, which not every client has at hand. */
  chain: Buffer[];
}

interface Entry {
  signer: Promise<OcspSigner>;
  renewAt: number;
}

/**
 * This process's own signers, one for each authority that it has answered for: the key of the
 * authority, in a token perhaps, signs once in some days and not each answer.
 */
export class OcspSigners {
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();

  constructor({ clock }: { clock: Clock }) {
    this.#clock = clock;
  }

  async get(row: AuthorityRow, issuer: Issuer): Promise<OcspSigner> {
    const now = this.#clock.now();
    const found = this.#entries.get(row.id);
    if (found && now < found.renewAt) return found.signer;
    const end = Math.min(now + LIFETIME_MS, row.not_after.getTime());
    const entry = { signer: create(row, issuer, now, end), renewAt: now + ((end - now) * 2) / 3 };
    const [oldest] = this.#entries.keys();
    if (this.#entries.size >= MAX_SIGNERS && oldest !== undefined) this.#entries.delete(oldest);
    this.#entries.set(row.id, entry);
    // What failed is tried anew with the next question.
    entry.signer.catch(() => this.#entries.delete(row.id));
    return entry.signer;
  }
}

async function create(
  { tenant_id: tenantId, certificate_pem: pem }: AuthorityRow,
  issuer: Issuer,
  now: number,
  end: number,
): Promise<OcspSigner> {
  const key = localKey(newPrivateKey());
  const keyIdentifier = keyIdentifierOf(key.publicKey);
  const mark = keyIdentifier.toString("hex").slice(0, 8);
  // The name has to lie within the name constraints of a tenant's authority.
  const [organization, who] =
    tenantId === PLATFORM_CHAIN ? ["Vautn", "Vautn"] : [tenantId, tenantId];
  const authority = new X509Certificate(pem);
  const { der } = await buildCertificate({
    issuer,
    subject: distinguishedName(organization, `${who} OCSP ${mark}`),
    publicKey: key.publicKey,
    notBefore: new Date(Math.max(now - BACKDATE_MS, authority.validFromDate.getTime())),
    notAfter: new Date(end),
    extensions: [
      basicConstraints(null),
      keyUsage("digital-signature"),
      extendedKeyUsage(OCSP_SIGNING),
      ocspNoCheck(),
    ],
  });
  return { signer: { key, keyIdentifier }, chain: [der, authority.raw] };
}
