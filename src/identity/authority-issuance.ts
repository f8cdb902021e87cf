import { X509Certificate } from "node:crypto";
import type { Tx } from "../db/index.ts";
import { AppError, type Clock, randomId } from "../kernel/index.ts";
import { distinguishedName, toPem } from "../protocol/index.ts";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import { type AuthorityKeys, authorityRow, type HeldKey, mark } from "./authority-keys.ts";
import { certificationRequest } from "./authority-request.ts";
import * as store from "./authority-store.ts";
import { type AuthorityRow, authorityOf, isSignedBy, type KeyPlace } from "./authority-types.ts";
import { buildCertificate, keyIdentifierOf, subjectOf } from "./certificate-builder.ts";
import {
  authorityRecipe,
  crossCertificate,
  MAX_ROOT_LIFETIME_MS,
  rootCertificate,
  validityFrom,
  validityWithin,
} from "./profiles.ts";

/** The root that an installation is given instead of making its own. */
export interface GivenRoot {
  certificatePem: string;
  /** Its predecessor's signature under the new root's key and name. */
  crossCertificatePem?: string | undefined;
  /** Where its key lies (RFC 7512); offline where absent. */
  keyUri?: string | undefined;
}

const OFFLINE: HeldKey["columns"] = () => ({
  key_kind: "offline",
  key_uri: null,
  private_key_sealed: null,
});

/** Makes authorities within the caller's transaction, which holds the lock. */
export class AuthorityIssuance {
  readonly #clock: Clock;
  readonly #keys: AuthorityKeys;
  readonly #trustDomain: string;

  constructor(deps: { clock: Clock; keys: AuthorityKeys; trustDomain: string }) {
    this.#clock = deps.clock;
    this.#keys = deps.keys;
    this.#trustDomain = deps.trustDomain;
  }

  /** A root with its key here or in the token; its predecessor signs it too, where that can. */
  async createRoot(tx: Tx, place: KeyPlace): Promise<AuthorityRow> {
    const held = await this.#keys.make(place);
    const { publicKey } = held.key;
    const name = distinguishedName("Vautn", `Vautn Root CA ${mark(publicKey)}`);
    const validity = validityFrom(this.#clock.now(), MAX_ROOT_LIFETIME_MS);
    const issuer = { name, keyIdentifier: keyIdentifierOf(publicKey), key: held.key };
    const { der } = await rootCertificate({ issuer, publicKey, ...validity });
    const certificate = new X509Certificate(der);
    const [predecessor] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
    const crossCertificatePem =
      predecessor && predecessor.key_kind !== "offline"
        ? await crossCertificate(this.#keys.issuerOf(predecessor), predecessor.not_after, {
            certificate,
            now: this.#clock.now(),
          })
        : null;
    return this.#insert(tx, { kind: "root", certificate, held, crossCertificatePem });
  }

  /** Takes over a root that was made elsewhere, after a look at what it is. */
  async adoptRoot(tx: Tx, given: GivenRoot): Promise<AuthorityRow> {
    const certificate = readRoot(given.certificatePem, this.#clock.now());
    const columns = given.keyUri
      ? (await this.#tokenKeyOf(certificate, given.keyUri)).columns
      : OFFLINE;
    const [predecessor] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
    const cross = given.crossCertificatePem
      ? checkCross(given.crossCertificatePem, certificate, predecessor)
      : null;
    return this.#insert(tx, { kind: "root", certificate, columns, crossCertificatePem: cross });
  }

  /** An authority below the root: at once where the root's key is at hand, else by a request. */
  async issueOrRequest(
    tx: Tx,
    kind: "tenant" | "server",
    tenantId: string,
    place: KeyPlace = { kind: "sealed" },
  ): Promise<"issued" | "requested"> {
    const [root] = await store.usableAuthorities(tx, PLATFORM_CHAIN, "root");
    if (!root) throw new Error("there is no root authority: ensurePlatform has not run");
    const held = await this.#keys.make(place);
    const { publicKey } = held.key;
    const recipe = authorityRecipe(kind, tenantId, publicKey, this.#trustDomain);
    if (root.key_kind === "offline") {
      const id = randomId();
      await store.replaceRequest(tx, {
        tenant_id: tenantId,
        id,
        kind,
        subject: recipe.name,
        request_pem: toPem(
          "CERTIFICATE REQUEST",
          await certificationRequest(held.key, recipe.subject),
        ),
        ...held.columns(tenantId, id),
        created_at: new Date(this.#clock.now()),
      });
      return "requested";
    }
    const { der } = await buildCertificate({
      ...recipe,
      issuer: this.#keys.issuerOf(root),
      publicKey,
      ...validityWithin(this.#clock.now(), root.not_after),
    });
    await this.#insert(tx, { kind, tenantId, certificate: new X509Certificate(der), held });
    return "issued";
  }

  /** The row of a certificate that the offline root has signed. */
  async insertSigned(
    tx: Tx,
    request: store.AuthorityRequestRow,
    certificate: X509Certificate,
  ): Promise<AuthorityRow> {
    const { key_kind, key_uri, private_key_sealed, tenant_id, id, kind } = request;
    const columns = () => ({ key_kind, key_uri, private_key_sealed });
    await store.deleteRequest(tx, id);
    // The sealed key is bound to the request's id, which becomes the authority's.
    return this.#insert(tx, { kind, tenantId: tenant_id, id, certificate, columns });
  }

  async #tokenKeyOf(certificate: X509Certificate, uri: string): Promise<HeldKey> {
    const held = await this.#keys.inToken(uri);
    const spki = certificate.publicKey.export({ type: "spki", format: "der" });
    if (held.key.publicKey.equals(spki)) return held;
    throw new AppError("invalid-content", "the root's certificate is not of the key in the token");
  }

  async #insert(
    tx: Tx,
    what: {
      kind: AuthorityRow["kind"];
      tenantId?: string;
      id?: string;
      certificate: X509Certificate;
      held?: HeldKey;
      columns?: HeldKey["columns"];
      crossCertificatePem?: string | null;
    },
  ): Promise<AuthorityRow> {
    const columns = what.columns ?? (what.held as HeldKey).columns;
    const createdAt = new Date(this.#clock.now());
    const { tenantId = PLATFORM_CHAIN } = what;
    const row = authorityRow({ ...what, tenantId, columns, createdAt });
    await store.insertAuthority(tx, row);
    return row;
  }
}

/** A root that someone brings: of itself, an authority, in its time, with a key of ours. */
export function readRoot(pem: string, now: number): X509Certificate {
  const refuse = (message: string) => new AppError("invalid-content", message);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new AppError("invalid-content", "the root's certificate cannot be read", {}, { cause });
  }
  if (!certificate.ca) throw refuse("the certificate is not one of an authority");
  if (!isSignedBy(certificate, { certificate })) throw refuse("the root is not signed by itself");
  if (certificate.validFromDate.getTime() > now) throw refuse("the root is not valid yet");
  if (certificate.validToDate.getTime() <= now) throw refuse("the root has expired");
  return certificate;
}

function checkCross(
  pem: string,
  root: X509Certificate,
  predecessor: AuthorityRow | undefined,
): string {
  const cross = new X509Certificate(pem);
  const spki = (certificate: X509Certificate) =>
    certificate.publicKey.export({ type: "spki", format: "der" });
  const fits =
    predecessor !== undefined &&
    isSignedBy(cross, authorityOf(predecessor)) &&
    spki(cross).equals(spki(root)) &&
    subjectOf(cross.raw).equals(subjectOf(root.raw));
  if (fits) return toPem("CERTIFICATE", cross.raw);
  throw new AppError(
    "invalid-content",
    "the cross-certificate is not the present root's signature of the new one",
  );
}
