import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import * as credentials from "./credentials-store.ts";
import { isPermission, type Principal, type TenantRole } from "./permissions.ts";
import { membershipsOf } from "./users-store.ts";

const CACHE_TTL_MS = 5_000;
const MAX_CACHED = 10_000;
/** `last used` is accurate to this, so that reading does not write. */
const TOUCH_EVERY_MS = 60_000;
const TOKEN = /^v[ks]_[A-Za-z0-9_-]{43}$/;

export interface Authentication {
  /** Who presents this session token or API key; `unauthenticated` where nobody may. */
  authenticate(token: string): Promise<Principal>;
  /** Forgets what is cached, after a revocation in this process. */
  forget(): void;
}

/** Other processes learn of a revocation within the five seconds that an answer is cached. */
export function createAuthentication(deps: { db: Database; clock: Clock }): Authentication {
  const { db, clock } = deps;
  const cache = new TtlCache<{ principal: Principal; expiresAt: number }>({
    clock,
    ttlMs: CACHE_TTL_MS,
    maxEntries: MAX_CACHED,
  });
  let epoch = 0;

  return {
    async authenticate(token) {
      if (!TOKEN.test(token)) throw unauthenticated();
      const hash = hashSecret(token);
      const key = hash.toString("base64");
      const cached = cache.get(key);
      if (cached && cached.expiresAt > clock.now()) return cached.principal;
      const epochBefore = epoch;
      const found = await look(db, hash, new Date(clock.now()), token.startsWith("vk_"));
      // What was read before a revocation must not be remembered after it.
      if (epoch === epochBefore) cache.set(key, found);
      return found.principal;
    },
    forget() {
      epoch += 1;
      cache.clear();
    },
  };
}

async function look(db: Database, hash: Buffer, now: Date, isKey: boolean) {
  const found = await db.platform(async (tx) => {
    const find = isKey ? credentials.findKey : credentials.findSession;
    const credential = await find(tx, hash);
    if (!credential || !isUsable(credential, now)) throw unauthenticated();
    const stale = now.getTime() - (credential.last_used_at?.getTime() ?? 0) >= TOUCH_EVERY_MS;
    if (stale && credential.kind !== "tenant-key") {
      await credentials.touch(tx, credential, hash, now);
    }
    const memberships = credential.user_id ? await membershipsOf(tx, [credential.user_id]) : [];
    return { credential, memberships, stale };
  });
  const { credential } = found;
  const roles: Record<string, TenantRole> = Object.create(null);
  for (const membership of found.memberships) roles[membership.tenant_id] = membership.role;
  if (credential.tenant_id !== null && credential.role !== null) {
    const tenantId = credential.tenant_id;
    roles[tenantId] = credential.role;
    if (found.stale) {
      await db.tenant(tenantId, (tx) => credentials.touch(tx, credential, hash, now));
    }
  }
  const principal: Principal = {
    actor: {
      kind: credential.user_id ? "user" : "api-key",
      id: credential.user_id ?? credential.id,
      name: credential.name,
    },
    platformRole: credential.platform_role,
    rolesByTenant: roles,
    // A scope that no release knows any more permits nothing, and the others still do.
    ...(credential.scopes ? { scopes: credential.scopes.filter(isPermission) } : {}),
  };
  return { principal, expiresAt: credential.expires_at?.getTime() ?? Number.POSITIVE_INFINITY };
}

function isUsable(credential: credentials.CredentialRow, now: Date): boolean {
  if (credential.revoked_at !== null || credential.disabled_at !== null) return false;
  return credential.expires_at === null || credential.expires_at > now;
}

function unauthenticated(): AppError {
  return new AppError("unauthenticated", "the key or session is unknown, expired or revoked");
}
