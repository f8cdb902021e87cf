import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import { PLATFORM_CHAIN } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { openOnes } from "./break-glass-store.ts";
import * as credentials from "./credentials-store.ts";
import { type Grant, isPermission, type Principal, type TenantRole } from "./permissions.ts";
import { grantOf } from "./roles.ts";
import { membershipsOf } from "./users-store.ts";

const CACHE_TTL_MS = 5_000;
const MAX_CACHED = 10_000;
/** `last used` is accurate to this, so that reading does not write. */
const TOUCH_EVERY_MS = 60_000;
const TOKEN = /^v[ks]_[A-Za-z0-9_-]{43}$/;

/** How long a session's token serves before it is replaced. */
export const SESSION_ROTATION_MS = 3_600_000;
/** How long the token before it is taken: for requests that were under way. */
const PREVIOUS_TOKEN_MS = 60_000;

export interface Authentication {
  /** Who presents this session token or API key; `unauthenticated` where nobody may. */
  authenticate(token: string): Promise<Principal>;
  /** The same for somebody known: a session goes on while its token is replaced. */
  reauthenticate(principal: Principal, token: string): Promise<Principal>;
  /** Forgets what is cached, after a revocation in this process. */
  forget(): void;
}

/** Other processes learn of a revocation within the five seconds that an answer is cached. */
export function createAuthentication(deps: {
  db: Database;
  clock: Clock;
  audit: Audit;
}): Authentication {
  const { clock } = deps;
  const cache = new TtlCache<{ principal: Principal; expiresAt: number }>({
    clock,
    ttlMs: CACHE_TTL_MS,
    maxEntries: MAX_CACHED,
  });
  let epoch = 0;

  async function cached(key: string, find: Find, hash: Buffer) {
    const known = cache.get(key);
    if (known && known.expiresAt > clock.now()) return known.principal;
    const epochBefore = epoch;
    const found = await look(deps, find, hash);
    // What was read before a revocation must not be remembered after it.
    if (epoch === epochBefore) cache.set(key, found);
    return found.principal;
  }

  function authenticate(token: string): Promise<Principal> {
    if (!TOKEN.test(token)) return Promise.reject(unauthenticated());
    const hash = hashSecret(token);
    const find: Find = token.startsWith("vk_")
      ? (tx) => credentials.findKey(tx, hash)
      : (tx) => credentials.findSession(tx, { hash });
    return cached(hash.toString("base64"), find, hash);
  }

  return {
    authenticate,
    reauthenticate(principal, token) {
      const { session } = principal;
      if (!session) return authenticate(token);
      const find: Find = (tx) => credentials.findSession(tx, { id: session.id });
      return cached(`session ${session.id}`, find, hashSecret(token));
    },
    forget() {
      epoch += 1;
      cache.clear();
    },
  };
}

type Find = (tx: Tx) => Promise<credentials.CredentialRow | undefined>;

async function look(
  { db, clock, audit }: { db: Database; clock: Clock; audit: Audit },
  find: Find,
  hash: Buffer,
) {
  const now = new Date(clock.now());
  const found = await db.platform(async (tx) => {
    const credential = await find(tx);
    if (!credential || !isUsable(credential, now)) return undefined;
    if (credential.session && !(await isGoodToken(tx, audit, credential, hash, now))) {
      return undefined;
    }
    const stale = now.getTime() - (credential.last_used_at?.getTime() ?? 0) >= TOUCH_EVERY_MS;
    if (stale && credential.kind !== "tenant-key") {
      await credentials.touch(tx, credential, hash, now);
    }
    const memberships = credential.user_id ? await membershipsOf(tx, [credential.user_id]) : [];
    const broken =
      credential.platform_role === "platform-operator" && credential.user_id
        ? await openOnes(tx, credential.user_id, now)
        : [];
    return { credential, memberships, broken, stale };
  });
  if (!found) throw unauthenticated();
  const { credential } = found;
  const roles: Record<string, TenantRole> = Object.create(null);
  const grants: Record<string, Grant> = Object.create(null);
  const note = (tenantId: string, row: Parameters<typeof grantOf>[0]) => {
    if (row.role && !row.groups) roles[tenantId] = row.role;
    else grants[tenantId] = grantOf(row);
  };
  for (const entry of found.broken) roles[entry.tenant_id] = entry.role;
  for (const membership of found.memberships) note(membership.tenant_id, membership);
  if (credential.tenant_id !== null && credential.grant !== null) {
    const tenantId = credential.tenant_id;
    note(tenantId, credential.grant);
    if (found.stale) {
      await db.tenant(tenantId, (tx) => credentials.touch(tx, credential, hash, now));
    }
  }
  const ends = [credential.expires_at, ...found.broken.map((entry) => entry.expires_at)];
  const expiresAt = Math.min(...ends.map((end) => end?.getTime() ?? Number.POSITIVE_INFINITY));
  return { principal: principalOf(credential, roles, grants), expiresAt };
}

function principalOf(
  credential: credentials.CredentialRow,
  roles: Record<string, TenantRole>,
  grants: Record<string, Grant>,
): Principal {
  const { session } = credential;
  return {
    actor: {
      kind: credential.user_id ? "user" : "api-key",
      id: credential.user_id ?? credential.id,
      name: credential.name,
    },
    platformRole: credential.platform_role,
    rolesByTenant: roles,
    grantsByTenant: grants,
    // A scope that no release knows any more permits nothing, and the others still do.
    ...(credential.scopes ? { scopes: credential.scopes.filter(isPermission) } : {}),
    ...(session
      ? {
          session: {
            id: session.id,
            authenticatedAt: session.authenticatedAt,
            rotateAfter: session.rotateAfter,
            mustEnrol: session.mustEnrol,
            expiresAt: credential.expires_at as Date,
          },
        }
      : {}),
  };
}

/**
 * A successor that arrives becomes the token. The token before it is taken for a moment more; after
 * that somebody has kept a copy, and the session ends for both (as RFC 9700 §4.14.2 has it for
 * refresh tokens).
 */
async function isGoodToken(
  tx: Tx,
  audit: Audit,
  { session, user_id: userId, name }: credentials.CredentialRow,
  hash: Buffer,
  now: Date,
): Promise<boolean> {
  if (!session || session.standing === "current") return true;
  if (session.standing === "next") {
    await credentials.promoteSuccessor(tx, session.id, hash, {
      rotateAfter: new Date(now.getTime() + SESSION_ROTATION_MS),
      previousUntil: new Date(now.getTime() + PREVIOUS_TOKEN_MS),
    });
    return true;
  }
  if (session.previousUntil && session.previousUntil > now) return true;
  if (await credentials.revokeSessionById(tx, session.id, now)) {
    await audit.record(tx, PLATFORM_CHAIN, {
      actor: { kind: "user", id: userId ?? "", name },
      action: "session.end",
      targetKind: "session",
      targetId: session.id,
      outcome: "done",
      details: { reason: "a token that had been replaced was used again" },
    });
  }
  return false;
}

function isUsable(credential: credentials.CredentialRow, now: Date): boolean {
  if (credential.revoked_at !== null || credential.disabled_at !== null) return false;
  return credential.expires_at === null || credential.expires_at > now;
}

function unauthenticated(): AppError {
  return new AppError("unauthenticated", "the key or session is unknown, expired or revoked");
}
