import { createHash, type X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { isTenantId } from "../protocol/index.ts";
import type { Principal, TenantRole } from "../tenancy/index.ts";
import * as store from "./application-store.ts";
import type { Authorities } from "./authorities.ts";
import { CLIENT_AUTH } from "./certificate-builder.ts";
import { isIssuedBy, timeRefusal } from "./peer-check.ts";
import type { Peers } from "./peers.ts";

const APPLICATION_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
/** OpenSSL goes by the machine's clock, we go by ours. */
const TIME_ERRORS = ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"];
/** Revocations are heard of at once; this bounds the time of a process that hears nothing. */
const STANDING_TTL_MS = 2_000;
const MAX_STANDINGS = 10_000;
/** `last used` is accurate to this. */
const TOUCH_EVERY_MS = 60_000;

/** An application at the other end of a connection, as its certificate proves. */
export interface ApplicationPeer {
  tenantId: string;
  name: string;
  serial: string;
  notAfter: Date;
  principal: Principal;
}

/** Applications that come with a certificate. */
export interface ApplicationPeers {
  /** Whether the certificate claims to be an application's; nothing is proved by that. */
  isClaimed(socket: TLSSocket): boolean;
  /** Asked at each connection, and again while it lives. `certificate-refused`, `unavailable`. */
  authenticate(socket: TLSSocket): Promise<ApplicationPeer>;
}

export function isApplicationName(name: unknown): name is string {
  return typeof name === "string" && APPLICATION_NAME.test(name);
}

/** Of the tenant's own host, as its name constraints demand, and never a device's name. */
export function applicationUri(tenantId: string, name: string, trustDomain: string): string {
  return `spiffe://${tenantId}.${trustDomain}/application/${name}`;
}

interface Deps {
  db: Database;
  clock: Clock;
  authorities: Pick<Authorities, "trusted">;
  peers: Pick<Peers, "onStandingChanged">;
  trustDomain: string;
}

export function createApplicationPeers(deps: Deps): ApplicationPeers {
  const { db, clock, authorities, trustDomain } = deps;
  const standings = new TtlCache<store.ApplicationStanding>({
    ...{ clock, ttlMs: STANDING_TTL_MS, maxEntries: MAX_STANDINGS },
  });
  let changes = 0;
  deps.peers.onStandingChanged(({ kind }) => {
    if (kind !== "application" && kind !== "suspended" && kind !== "resumed") return;
    changes += 1;
    standings.clear();
  });

  async function standingOf(tenantId: string, serial: string) {
    const key = `${tenantId} ${serial}`;
    const known = standings.get(key);
    if (known) return known;
    const before = changes;
    const now = new Date(clock.now());
    const found = await db.tenant(tenantId, async (tx) => {
      const standing = await store.applicationStanding(tx, tenantId, serial);
      const lastMs = standing?.lastUsedAt?.getTime() ?? 0;
      const isUsable = standing?.status === "active";
      if (isUsable && now.getTime() - lastMs >= TOUCH_EVERY_MS) {
        await store.touchApplication(tx, serial, now);
      }
      return standing;
    });
    // What was read before a revocation must not be remembered after it.
    if (found && changes === before) standings.set(key, found);
    return found;
  }

  return {
    isClaimed(socket) {
      const names = socket.getPeerX509Certificate()?.subjectAltName ?? "";
      return /^URI:spiffe:\/\/[^/]+\/application\//.test(names);
    },

    async authenticate(socket) {
      const certificate = socket.getPeerX509Certificate();
      if (!certificate) throw refuse("there is no client certificate", "missing");
      const named = nameOf(certificate, trustDomain);
      if (!named) throw refuse("the certificate names no application of ours", "malformed");
      const { tenantId, name } = named;
      const verdict = socket.authorized ? null : String(socket.authorizationError);
      const trusted = await authorities.trusted(tenantId);
      const isOurs = verdict === null || TIME_ERRORS.includes(verdict);
      if (!isOurs || !isIssuedBy(certificate, trusted, clock.now())) {
        throw refuse("the certificate was not issued by the tenant's own authority", "foreign-ca");
      }
      const timeProblem = timeRefusal(certificate, clock.now());
      if (timeProblem) throw refuse(`the certificate is ${timeProblem}`, timeProblem);
      const serial = certificate.serialNumber.toLowerCase();
      const standing = await standingOf(tenantId, serial);
      const fingerprint = createHash("sha256").update(certificate.raw).digest("hex");
      if (!standing || standing.fingerprint !== fingerprint || standing.name !== name) {
        throw refuse("the certificate is not in the registry", "unknown");
      }
      if (standing.status !== "active") throw refuse("the certificate was revoked", "revoked");
      if (standing.tenantStatus !== "active") throw refuse("the tenant is suspended", "suspended");
      return {
        ...{ tenantId, name, serial, notAfter: certificate.validToDate },
        principal: principalOf(tenantId, name, standing.role),
      };
    },
  };
}

function principalOf(tenantId: string, name: string, role: TenantRole): Principal {
  const rolesByTenant: Record<string, TenantRole> = Object.create(null);
  rolesByTenant[tenantId] = role;
  return { actor: { kind: "application", id: name, name }, platformRole: null, rolesByTenant };
}

/** Exactly one alternative name, which is an application's, a subject that says the same, and the
 * right to be a client and nothing more. */
function nameOf(
  certificate: X509Certificate,
  trustDomain: string,
): { tenantId: string; name: string } | undefined {
  const names = certificate.subjectAltName ?? "";
  const [, host, name] = /^URI:spiffe:\/\/([^/]+)\/application\/([^/]+)$/.exec(names) ?? [];
  if (!host?.endsWith(`.${trustDomain}`) || !isApplicationName(name)) return undefined;
  const tenantId = host.slice(0, -trustDomain.length - 1);
  if (!isTenantId(tenantId) || names !== `URI:${applicationUri(tenantId, name, trustDomain)}`) {
    return undefined;
  }
  const isClient = !certificate.ca && certificate.keyUsage?.includes(CLIENT_AUTH);
  const isNamed = certificate.subject === `O=${tenantId}\nCN=application ${name}`;
  return isClient && isNamed ? { tenantId, name } : undefined;
}

function refuse(message: string, reason: string): AppError {
  return new AppError("certificate-refused", message, { reason });
}
