import { createHash, type X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { type Bus, type BusMessage, subjects } from "../bus/index.ts";
import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { KeyedBatcher } from "../kernel/keyed-batcher.ts";
import { counter } from "../kernel/metrics.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { Access, DeviceIdentity } from "../protocol/index.ts";
import type { Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import * as store from "./certificate-store.ts";
import type { Knocks } from "./knocks.ts";
import {
  type CertificateRefusal,
  isIssuedBy,
  nameOf,
  standingRefusal,
  timeRefusal,
} from "./peer-check.ts";
import { lockDevices } from "./renewal-store.ts";
import type { StandingChange } from "./standing-store.ts";

/** The device at the other end of a connection, as its certificate proves. */
export interface DevicePeer extends DeviceIdentity {
  /** Lower-case hex. */
  serial: string;
  /** Until when it may do what `access` says. */
  notAfter: Date;
  /** Full where absent. */
  access?: Access;
  /** The tenant's own authority that issued the certificate, where we did not. */
  registeredAuthorityId?: string;
  /** In quarantine: it may renew its certificate and be updated, and nothing else is taken of it. */
  quarantined?: true;
}

const DAY_MS = 86_400_000;
/** Changes are heard of within a second; this bounds the time of a process that hears nothing. */
const STANDING_TTL_MS = 4_000;
const CHANGES_PER_MESSAGE = 500;
const MAX_BATCH = 200;
/** How long a look at the registry waits for others while several come at once. */
const GATHERING_MS = 8;
const MAX_WAITING = 20_000;
const MAX_STANDINGS = 100_000;
const MAX_GENUINE = 50_000;
const GENUINE_TTL_MS = 3_600_000;
/** OpenSSL goes by the machine's clock, we go by ours. */
const TIME_ERRORS = ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"];
/**
 * Many clients send their own certificate alone, and OpenSSL knows nothing of what lies between that and
 * the root. We do: the leaf's signature is checked against the tenant's authorities, which a root signed.
 */
const SHORT_CHAIN_ERRORS = [
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
];
const OURS_TO_JUDGE = [...TIME_ERRORS, ...SHORT_CHAIN_ERRORS];

const refusals = counter(
  "vautn_certificates_refused_total",
  "Client certificates that were not accepted",
  ["reason"],
);

interface PeersDeps {
  tenancy: Pick<Tenancy, "settings">;
  db: Database;
  clock: Clock;
  bus: Bus;
  authorities: Authorities;
  trustDomain: string;
  /** The device, where a registered authority issued the certificate. */
  registered(certificate: X509Certificate): Promise<DevicePeer | undefined>;
  /** Who was refused is put on its list. */
  knocks: Pick<Knocks, "note">;
}

/** Decides who is at the other end of a TLS connection, and hears of revocations. */
export class Peers {
  readonly #deps: PeersDeps;
  readonly #standings: TtlCache<store.Standing>;
  /** Certificates whose names and signature were found right, by fingerprint and authority. */
  readonly #genuine: TtlCache<DeviceIdentity>;
  /** After an outage thousands connect at once: what is asked for meanwhile is read together. */
  readonly #lookups: KeyedBatcher<string, store.Standing | undefined>;
  readonly #firstUses: KeyedBatcher<{ serial: string; deviceId: string }>;
  readonly #listeners = new Set<(change: StandingChange) => void>();
  #revocations = 0;

  constructor(deps: PeersDeps) {
    this.#deps = deps;
    const { clock, bus } = deps;
    this.#standings = new TtlCache({ clock, ttlMs: STANDING_TTL_MS, maxEntries: MAX_STANDINGS });
    this.#genuine = new TtlCache({ clock, ttlMs: GENUINE_TTL_MS, maxEntries: MAX_GENUINE });
    const bounds = { maxBatchSize: MAX_BATCH, maxDelayMs: 0, maxQueuedSize: MAX_WAITING };
    this.#lookups = new KeyedBatcher({
      ...{ ...bounds, maxDelayMs: GATHERING_MS, gathers: true },
      write: (...batch) => this.#lookUp(...batch),
    });
    this.#firstUses = new KeyedBatcher({
      ...bounds,
      write: (...batch) => this.#markUsed(...batch),
    });
    bus.subscribe("revocation.*", (message) => this.#hear(message));
  }

  onStandingChanged(listener: (change: StandingChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells every process of changes of one tenant that have been committed. */
  publish(tenantId: string, changes: readonly Omit<StandingChange, "tenantId">[]): void {
    // Before the bus brings it round: from here on this process answers from the database.
    this.#forget();
    for (let start = 0; start < changes.length; start += CHANGES_PER_MESSAGE) {
      const part = changes.slice(start, start + CHANGES_PER_MESSAGE);
      this.#deps.bus.publish(subjects.revocation(tenantId), { tenantId, changes: part });
    }
  }

  /** What the bus or the database says has changed: here it counts from now on. */
  heard(change: StandingChange): void {
    this.#forget();
    for (const listener of this.#listeners) listener(change);
  }

  /**
   * With `renewal` a certificate that has expired is let in too, within the tenant's grace window
   * and with no other access than to be renewed.
   */
  async authenticate(socket: TLSSocket, options: { renewal?: boolean } = {}): Promise<DevicePeer> {
    const certificate = socket.getPeerX509Certificate();
    if (!certificate) throw refuse("missing");
    // Of a resumed session Node keeps the leaf and the verdict of the handshake that began it, so
    // the same questions are asked again of the same leaf, by today's authorities and registry.
    const verdict = socket.authorized ? null : String(socket.authorizationError);
    try {
      return await this.#accept(certificate, verdict, options.renewal === true);
    } catch (error) {
      this.#deps.knocks.note(certificate, socket.remoteAddress, error);
      throw error;
    }
  }

  /**
   * The device whose certificate it is; the caller has seen the holder's signature, and keeps who
   * comes with an expired one to its renewal.
   */
  acceptCertificate(certificate: X509Certificate): Promise<DevicePeer> {
    return this.#accept(certificate, null, true);
  }

  async #accept(
    certificate: X509Certificate,
    tlsError: string | null,
    mayRenew: boolean,
  ): Promise<DevicePeer> {
    const { clock } = this.#deps;
    const fingerprint = createHash("sha256").update(certificate.raw).digest("hex");
    const identity = await this.#identify(certificate, fingerprint);
    if ("refusal" in identity) {
      // None of ours: perhaps one of an authority that a tenant has registered and proved. Its own
      // check replaces OpenSSL's, which does not know those.
      const registered = await this.#deps.registered(certificate);
      if (registered) return registered;
      throw refuse(identity.refusal, identity.named);
    }
    const timeProblem = timeRefusal(certificate, clock.now());
    const graceEnd =
      timeProblem === "expired" && mayRenew
        ? await this.#graceEnd(identity.tenantId, certificate)
        : undefined;
    if (timeProblem && !graceEnd) throw refuse(timeProblem, identity);
    if (tlsError !== null && !OURS_TO_JUDGE.includes(tlsError))
      throw refuse("foreign-ca", identity);
    const serial = certificate.serialNumber.toLowerCase();
    const standing = await this.#standingOf(identity.tenantId, serial);
    const facts = { deviceId: identity.deviceId, fingerprint, nowMs: clock.now() };
    const problem = standingRefusal(standing, facts);
    if (problem) {
      // Who was refused is looked up anew next time: a refusal may have been lifted.
      this.#standings.delete(standingKey(identity.tenantId, serial));
      throw refuse(problem, identity);
    }
    // From now on the older certificates of the device are on their way out.
    if (standing?.firstUsedAt === null) {
      await this.#firstUses.add(identity.tenantId, { serial, deviceId: identity.deviceId });
    }
    return {
      ...{ ...identity, serial, notAfter: graceEnd ?? certificate.validToDate },
      ...(graceEnd ? { access: "renewal" } : {}),
      ...(standing?.deviceStatus === "quarantined" ? { quarantined: true } : {}),
    };
  }

  /** The end of the grace window, where it has not passed. */
  async #graceEnd(tenantId: string, { validToDate }: X509Certificate): Promise<Date | undefined> {
    const { certificateGraceDays } = await this.#deps.tenancy.settings(tenantId);
    const endMs = validToDate.getTime() + certificateGraceDays * DAY_MS;
    return this.#deps.clock.now() < endMs ? new Date(endMs) : undefined;
  }

  async #identify(
    certificate: X509Certificate,
    fingerprint: string,
  ): Promise<DeviceIdentity | { refusal: CertificateRefusal; named?: DeviceIdentity }> {
    const { authorities, clock, trustDomain } = this.#deps;
    const named = nameOf(certificate, trustDomain);
    if (typeof named === "string") return { refusal: named };
    const trusted = await authorities.trusted(named.tenantId);
    const key = `${fingerprint} ${trusted.map((authority) => authority.id).join(" ")}`;
    const known = this.#genuine.get(key);
    if (known) return known;
    if (!isIssuedBy(certificate, trusted, clock.now())) return { refusal: "foreign-ca", named };
    this.#genuine.set(key, named);
    return named;
  }

  async #standingOf(tenantId: string, serial: string): Promise<store.Standing | undefined> {
    const key = standingKey(tenantId, serial);
    const cached = this.#standings.get(key);
    if (cached) return cached;
    const before = this.#revocations;
    // Whoever is added to a batch is read after that: a batch under way takes nobody in.
    const read = () => this.#lookups.add(tenantId, serial);
    const standing = await read();
    // What was read before a revocation arrived is read again, and not remembered.
    if (this.#revocations !== before) return read();
    // Unknown ones are not remembered: the next moment may be the one in which it is issued.
    if (standing && standing.firstUsedAt !== null) this.#standings.set(key, standing);
    return standing;
  }

  async #lookUp(tenantId: string, serials: readonly string[]) {
    const { db } = this.#deps;
    const found = await db.tenant(tenantId, (tx) => store.standingsOf(tx, tenantId, serials));
    return serials.map((serial) => found.get(serial));
  }

  async #markUsed(
    tenantId: string,
    uses: readonly { serial: string; deviceId: string }[],
  ): Promise<void> {
    const now = new Date(this.#deps.clock.now());
    const deviceIds = [...new Set(uses.map(({ deviceId }) => deviceId))];
    const serials = uses.map(({ serial }) => serial);
    await this.#deps.db.tenant(tenantId, async (tx) => {
      // As renewals do, which touch the same certificates: batches wait and never deadlock.
      await lockDevices(tx, tenantId, deviceIds);
      const used = await store.markUsed(tx, tenantId, serials, now);
      await store.supersedeOlder(tx, tenantId, used, now);
    });
  }

  #hear({ tenantId, changes, ...rest }: BusMessage): void {
    if (typeof tenantId !== "string") return;
    // A module that knows no kinds says which device is gone, and no more.
    const told = Array.isArray(changes) ? changes : [{ ...rest, kind: "revoked" }];
    for (const change of told) this.heard({ ...change, tenantId });
  }

  // Everything is forgotten: revocations are rare, and a cache of five seconds fills again at once.
  #forget(): void {
    this.#revocations += 1;
    this.#standings.clear();
  }
}

function standingKey(tenantId: string, serial: string): string {
  return `${tenantId} ${serial}`;
}

function refuse(reason: CertificateRefusal, identity?: DeviceIdentity): AppError {
  refusals.inc({ reason });
  return new AppError("certificate-refused", SENTENCES[reason], { reason, ...identity });
}

const SENTENCES: Record<CertificateRefusal, string> = {
  missing: "there is no client certificate",
  malformed: "the certificate does not name exactly one device of this installation",
  "foreign-ca": "the certificate was not issued by the tenant's own authority",
  "wrong-usage": "the certificate is not one of a client",
  expired: "the certificate has expired",
  "not-yet-valid": "the certificate is not valid yet",
  unknown: "the certificate is not in the registry",
  revoked: "the certificate or its device was revoked",
  suspended: "the tenant is suspended",
};
