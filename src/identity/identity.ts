import type { TLSSocket } from "node:tls";
import type { Bus } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import type { TlsListener } from "../kernel/acme-settings.ts";
import { AppError, type Clock, LIMITS } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { Tokens } from "../kernel/pkcs11.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import type { Sealer } from "../kernel/sealing.ts";
import { type Actor, PLATFORM_CHAIN, type Tenancy } from "../tenancy/index.ts";
import { AcmeCertificates } from "./acme/acme.ts";
import type { AcmeOptions } from "./acme/acme-status.ts";
import {
  type ApplicationCertificates,
  createApplicationCertificates,
} from "./application-certificates.ts";
import { type ApplicationPeers, createApplicationPeers } from "./application-peers.ts";
import { Authorities, type AuthorityEvent } from "./authorities.ts";
import type { GivenRoot } from "./authority-issuance.ts";
import { AuthorityKeys } from "./authority-keys.ts";
import { createPki, type Pki } from "./authority-management.ts";
import {
  type CertificateFilter,
  type CertificatePage,
  listCertificates,
} from "./certificate-list.ts";
import { certificatesOf, findCertificate } from "./certificate-store.ts";
import { type CertificateView, certificateView } from "./certificate-view.ts";
import { type ClaimCertificates, createClaimCertificates } from "./claim-certificates.ts";
import { type ClaimPeer, identifyClaim } from "./claim-peers.ts";
import { type ClaimTokens, createClaimTokens } from "./claim-tokens.ts";
import { Responders } from "./cmp/responder.ts";
import { type Cmp, createCmp } from "./cmp/server.ts";
import { type CompromisedKeys, createCompromisedKeys } from "./compromised-keys.ts";
import type { PublishedList } from "./crl-lists.ts";
import { createEnrolment, type Enrolment } from "./enrolment.ts";
import { type BulkResult, type BulkRow, enrollMany } from "./enrolment-bulk.ts";
import {
  createRefusalLog,
  type NoteRefusal,
  noteRefusedCertificate,
} from "./enrolment-refusals.ts";
import type { EnrolmentRequest } from "./enrolment-rights.ts";
import { tenantStatus } from "./enrolment-store.ts";
import { Knocks } from "./knocks.ts";
import { type DevicePeer, Peers } from "./peers.ts";
import { ASK_AGAIN_SECONDS, createPendingEnrolments, type PendingEnrolments } from "./pending.ts";
import { createPreauthorised, type Preauthorised } from "./preauthorised.ts";
import { createPublishedRevocation } from "./published-revocation.ts";
import { createQuarantines, type Quarantines } from "./quarantine.ts";
import { createRadar, type Radar } from "./radar.ts";
import {
  createRegisteredAuthorities,
  type RegisteredAuthorities,
} from "./registered-authorities.ts";
import { RegisteredLookup } from "./registered-lookup.ts";
import { acceptRegistered } from "./registered-peers.ts";
import { createRevocations, type Revocations, revokeOne } from "./revocation.ts";
import type { RevocationReason } from "./revocation-reasons.ts";
import { createRotations, type Rotations } from "./rotation.ts";
import { type ServerCredentials, ServerIdentity, type TlsFiles } from "./server-credentials.ts";
import { forgetChangesBefore, forgetRemovedBefore, type StandingChange } from "./standing-store.ts";
import { StandingWatch } from "./standing-watch.ts";
import { TicketKeys, type TicketPurpose } from "./ticket-keys.ts";

/** Beyond the longest absence of a process that holds connections. */
const STANDINGS_KEPT_MS = 7 * 86_400_000;

/** Who a device is: authorities, enrolment, certificates, and the check at every connection. */
export interface Identity {
  /** Root and server authority. Idempotent; safe when several processes start at once. */
  ensurePlatform(): Promise<void>;
  /** The tenant's issuing authority. Idempotent. */
  ensureTenantAuthority(tenantId: string): Promise<void>;
  /** For the TLS listeners; ask again every few seconds, for a new pair comes before the old ends. */
  serverCredentials(listener?: TlsListener): Promise<ServerCredentials>;
  /** Server certificates of an ACME authority, where one is named. */
  acme: Pick<AcmeCertificates, "renewIfDue" | "renewNow" | "status" | "challenge">;
  /** For the TLS listeners: the keys of session tickets in force, the same in every process. */
  ticketKeys(purpose: TicketPurpose): Promise<Buffer>;
  /** Every trusted root: what devices trust, and the listeners' `ca` for client certificates. */
  rootCertificatePem(): Promise<string>;
  /** The tenant's authorities, newest first, and every root: what EST gives as CA certificates. */
  authorityCertificates(tenantId: string): Promise<string[]>;
  /** Called in every process when an authority is new or at its end: listeners load theirs again. */
  onAuthorityChanged(listener: (event: AuthorityEvent) => void): () => void;
  /** The hierarchy as people look at it and change it. */
  pki: Pki;
  compromisedKeys: CompromisedKeys;
  /**
   * The device at the other end, asked once a connection, resumed or not; `certificate-refused` with
   * `details.reason` otherwise.
   *
   * The listener sets `requestCert: true`, `ca: rootCertificatePem()` and a `sessionIdContext`
   * (without which TLS refuses to resume where clients authenticate). `rejectUnauthorized` may be
   * true (strangers end in a TLS alert) or false (they end here, with a reason). In both cases this
   * call decides: on a resumed session nothing was verified but possession of the ticket. Node then
   * still has the leaf (`getPeerX509Certificate`) and the first handshake's verdict
   * (`authorized`), but no chain, which is why the issuer is looked up here by tenant.
   *
   * With `renewal` an expired certificate is let in within the tenant's grace window, with access to
   * its renewal alone: the caller has to keep it to that.
   */
  authenticatePeer(socket: TLSSocket, options?: { renewal?: boolean }): Promise<DevicePeer>;
  /**
   * Called in every process when a certificate, device or tenant is no longer what it was; listeners
   * end live connections or look at them anew. A change may be told twice.
   */
  onStandingChanged(listener: (change: StandingChange) => void): () => void;
  /**
   * For processes that hold devices' connections: reads changes from the database besides, and
   * writes down whose certificates were refused.
   */
  watchStanding(): Promise<{ stop(): Promise<void> }>;
  /** Clears away what nobody needs to hear of any more. */
  forgetOldStandings(): Promise<void>;
  enroll(request: EnrolmentRequest): Promise<Enrolment>;
  /** For the doors: a request that was refused before it came to `enroll` is written down too. */
  refusals: {
    note: NoteRefusal;
    noteCertificate(
      error: unknown,
      from: { via: string; address: string | undefined },
    ): Promise<void>;
  };
  /** Up to 200 devices for an operator, each for itself. */
  enrollMany(tenantId: string, rows: readonly BulkRow[], actor: Actor): Promise<BulkResult[]>;
  /** The way to the next certificate, beside EST. */
  rotation: Rotations;
  /** The claim whose certificate the other end presents; undefined where it presents none. */
  authenticateClaim(socket: TLSSocket): Promise<ClaimPeer | undefined>;
  /** The Certificate Management Protocol, without its transport. */
  cmp: Cmp;
  claimTokens: ClaimTokens;
  claimCertificates: ClaimCertificates;
  /** By which a tenant's applications connect. */
  applicationCertificates: ApplicationCertificates;
  applicationPeers: ApplicationPeers;
  pendingEnrolments: PendingEnrolments;
  preauthorised: Preauthorised;
  registeredAuthorities: RegisteredAuthorities;
  /** Newest first. */
  certificates(tenantId: string, deviceId: string): Promise<CertificateView[]>;
  /** All of a tenant's, those that end first before the others. */
  listCertificates(tenantId: string, filter: CertificateFilter): Promise<CertificatePage>;
  /** One of the tenant's by its serial; `not-found`. */
  certificate(tenantId: string, serial: string): Promise<CertificateView>;
  /** One device or certificate; `not-found` where it is not there or not in use. */
  revoke(
    tenantId: string,
    what: { deviceId: string } | { serial: string },
    reason: string | RevocationReason,
    actor: Actor,
  ): Promise<void>;
  /** Several at once, holds among them. */
  revocations: Revocations;
  quarantines: Quarantines;
  radar: Radar;
  /** Of an authority whose key is at hand; undefined where there is none, or no delta list. */
  revocationList(authorityId: string, kind: "full" | "delta"): Promise<PublishedList | undefined>;
  /** The answer to an OCSP request, both in DER; whatever the request. */
  ocsp(request: Uint8Array): Promise<{ der: Buffer; cacheable: boolean }>;
}

export interface IdentityDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
  bus: Bus;
  tenancy: Tenancy;
  trustDomain: string;
  publicHost: string;
  /** Where anybody reaches the devices' HTTPS; without it certificates and lists name no address. */
  publicUrl?: string | undefined;
  logger: Logger;
  /** Lets enrolment webhooks reach private addresses; false where absent. */
  allowPrivateAddresses?: PrivateAddresses;
  /** How long a device is told to wait for a person; a minute where absent. */
  askAgainSeconds?: number;
  /** For keys that lie in tokens (PKCS#11). */
  tokens?: Tokens | undefined;
  /** The root that the first start takes instead of making one. */
  givenRoot?: GivenRoot | undefined;
  /** A server certificate of another authority's. */
  tlsFiles?: TlsFiles | undefined;
  /** Another authority's, had by ACME. */
  acme?: AcmeOptions | undefined;
}

export function createIdentity(deps: IdentityDeps): Identity {
  const keys = new AuthorityKeys(deps);
  const authorities = new Authorities({ ...deps, keys });
  const acme = new AcmeCertificates({
    ...deps,
    announce: () => authorities.announce(PLATFORM_CHAIN, "server"),
  });
  const server = new ServerIdentity({ ...deps, keys, authorities, acme });
  const noteRefusal = createRefusalLog(deps);
  const lookup = new RegisteredLookup(deps);
  const knocks = new Knocks(deps);
  const peers = new Peers({
    knocks,
    ...deps,
    authorities,
    registered: (certificate) => acceptRegistered({ ...deps, lookup, noteRefusal }, certificate),
  });
  const inner = { ...deps, authorities, peers, lookup };
  const tickets = new TicketKeys(deps);
  const responders = new Responders({ ...inner, server });
  const enroll = createEnrolment({ ...inner, noteRefusal, responders });
  const authorityCertificates = async (tenantId: string) => {
    await authorities.issuing(tenantId);
    const chain = [...(await authorities.trusted(tenantId)), ...(await authorities.roots())];
    return chain.map((authority) => authority.certificatePem);
  };
  const revocations = createRevocations(inner);
  deps.tenancy.onTenantStatusChanged(async (tenantId) => {
    const status = await deps.db.tenant(tenantId, (tx) => tenantStatus(tx, tenantId));
    peers.publish(tenantId, [{ kind: status === "active" ? "resumed" : "suspended" }]);
  });
  deps.tenancy.onTenantDeleted((tenantId) => authorities.revokeTenant(tenantId));
  return {
    ensurePlatform: () => authorities.ensurePlatform(),
    ensureTenantAuthority: (tenantId) => authorities.ensureTenant(tenantId),
    serverCredentials: (listener) => server.credentials(listener),
    acme,
    ticketKeys: (purpose) => tickets.current(purpose),
    rootCertificatePem: async () =>
      (await authorities.roots()).map((root) => root.certificatePem).join(""),
    authorityCertificates,
    onAuthorityChanged: (listener) => authorities.onChanged(listener),
    compromisedKeys: createCompromisedKeys(deps),
    pki: createPki({ ...inner, revocations }),
    authenticatePeer: (socket, options) => peers.authenticate(socket, options),
    onStandingChanged: (listener) => peers.onStandingChanged(listener),
    async watchStanding() {
      const watch = new StandingWatch({ ...deps, tell: (change) => peers.heard(change) });
      await watch.start();
      knocks.start();
      return {
        async stop() {
          await Promise.all([watch.stop(), knocks.stop()]);
        },
      };
    },
    forgetOldStandings: () =>
      deps.db.platform(async (tx) => {
        await forgetChangesBefore(tx, new Date(deps.clock.now() - STANDINGS_KEPT_MS));
        // Lists name a certificate for some days beyond its end.
        await forgetRemovedBefore(tx, new Date(deps.clock.now() - STANDINGS_KEPT_MS));
      }),
    enroll,
    refusals: {
      note: noteRefusal,
      noteCertificate: (error, from) => noteRefusedCertificate(noteRefusal, error, from),
    },
    enrollMany: (tenantId, rows, actor) => enrollMany({ ...deps, enroll }, tenantId, rows, actor),
    rotation: createRotations({ ...inner, enroll, authorityCertificates }),
    cmp: createCmp({
      ...inner,
      responders,
      noteRefusal,
      enroll,
      authorityCertificates,
      askAgainSeconds: deps.askAgainSeconds ?? ASK_AGAIN_SECONDS,
      revoke: (tenantId, serial, reason, actor) =>
        revokeOne(revocations, tenantId, { serial }, { reason, comment: "by CMP" }, actor),
    }),
    async authenticateClaim(socket) {
      const certificate = socket.getPeerX509Certificate();
      return certificate && identifyClaim(inner, certificate);
    },
    claimTokens: createClaimTokens(deps),
    claimCertificates: createClaimCertificates(inner),
    applicationCertificates: createApplicationCertificates(inner),
    applicationPeers: createApplicationPeers(inner),
    pendingEnrolments: createPendingEnrolments(deps),
    preauthorised: createPreauthorised(deps),
    registeredAuthorities: createRegisteredAuthorities({
      ...inner,
      forget: () => lookup.forget(),
    }),
    async certificates(tenantId, deviceId) {
      const rows = await deps.db.tenant(tenantId, (tx) =>
        certificatesOf(tx, tenantId, deviceId, LIMITS.pageSize),
      );
      return rows.map(certificateView);
    },
    revoke: (tenantId, what, reason, actor) =>
      revokeOne(revocations, tenantId, what, reason, actor),
    revocations,
    quarantines: createQuarantines(inner),
    radar: createRadar(deps),
    ...createPublishedRevocation({ ...inner, keys }),
    listCertificates: (tenantId, filter) => listCertificates(deps.db, tenantId, filter),
    async certificate(tenantId, serial) {
      const row = await deps.db.tenant(tenantId, (tx) => findCertificate(tx, tenantId, serial));
      if (!row) throw new AppError("not-found", "there is no such certificate", { serial });
      return certificateView(row);
    },
  };
}
