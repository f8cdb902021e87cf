import type { Tx } from "../db/index.ts";
import { AppError, isUuid, randomSecret, timeOrderedId } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import {
  type Actor,
  PLATFORM_CHAIN,
  type PlatformRole,
  type Principal,
  SESSION_ROTATION_MS,
} from "../tenancy/index.ts";
import type { AccountRow } from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import * as store from "./sessions-store.ts";

const SESSION_LIFETIME_MS = 12 * 3_600_000;
const SESSION_PREFIX = "vs_";
/** Live sessions of one person; the oldest gives way. */
const MAX_SESSIONS = 50;
/** How long a successor that was handed out may be on its way before another is. */
const SUCCESSOR_MS = 60_000;

export interface SignedIn {
  /** Secret of the session: the cookie's value. */
  token: string;
  expiresAt: Date;
  /** The session may set up a second factor and nothing else. */
  mustEnrol: boolean;
  user: { id: string; email: string; name: string; platformRole: PlatformRole | null };
}

/** Where somebody signs in from. */
export interface Caller {
  /** Of the person, as far as the network tells. */
  address: string;
  userAgent?: string | undefined;
  /** The session that the browser had before: it ends, whoever's it was. */
  replaces?: string | undefined;
}

export interface HowSignedIn {
  method: "password" | "oidc" | "passkey";
  /** Further proof, e.g. `totp`. */
  factors?: readonly string[];
  /** The session may set up a second factor and nothing else. */
  mustEnrol?: boolean;
  providerId?: string;
  /** Of the provider; kept sealed, for signing out there. */
  idToken?: string;
}

export interface SessionView {
  id: string;
  method: string;
  provider: string | null;
  createdAt: Date;
  lastUsedAt: Date;
  expiresAt: Date;
  address: string | null;
  userAgent: string | null;
  isCurrent: boolean;
}

export type Sessions = ReturnType<typeof createSessions>;

export function createSessions({ db, clock, sealer, tenancy }: SignInDeps) {
  const { audit } = tenancy;

  /** A new token, always: what a browser brought along becomes nothing (session fixation). */
  async function start(
    tx: Tx,
    account: AccountRow,
    caller: Caller,
    how: HowSignedIn,
  ): Promise<SignedIn> {
    const now = new Date(clock.now());
    const token = SESSION_PREFIX + randomSecret();
    const id = timeOrderedId(now.getTime());
    const expiresAt = new Date(now.getTime() + SESSION_LIFETIME_MS);
    if (caller.replaces) await store.revokeByToken(tx, hashSecret(caller.replaces), now);
    await store.deleteOldSessions(tx, account.id, now);
    await store.endOldest(tx, account.id, MAX_SESSIONS - 1, now);
    await store.insertSession(tx, {
      id,
      token_hash: hashSecret(token),
      user_id: account.id,
      method: [how.method, ...(how.factors ?? [])].join("+"),
      must_enrol: how.mustEnrol ?? false,
      provider_id: how.providerId ?? null,
      id_token_sealed: how.idToken ? sealer.seal(how.idToken, idTokenContext(id)) : null,
      created_at: now,
      authenticated_at: now,
      last_used_at: now,
      rotate_after: new Date(now.getTime() + SESSION_ROTATION_MS),
      expires_at: expiresAt,
      address: caller.address,
      user_agent: caller.userAgent?.slice(0, 256) ?? null,
    });
    const { id: userId, email, name, platform_role: platformRole } = account;
    const actor: Actor = { kind: "user", id: userId, name: email, address: caller.address };
    const { method, factors = [], providerId } = how;
    const details = { method, factors, ...(providerId ? { provider: providerId } : {}) };
    await audit.record(tx, PLATFORM_CHAIN, {
      ...{ actor, action: "session.sign-in", targetKind: "user", targetId: userId },
      ...{ outcome: "done", details },
    });
    return {
      token,
      expiresAt,
      mustEnrol: how.mustEnrol ?? false,
      user: { id: userId, email, name, platformRole },
    };
  }

  /** Ends the session; one that is over already stays so. */
  async function signOut(token: string): Promise<void> {
    await db.platform(async (tx) => {
      const now = new Date(clock.now());
      const id = await store.revokeByToken(tx, hashSecret(token), now);
      if (id === undefined) return;
      await audit.record(tx, PLATFORM_CHAIN, {
        actor: { kind: "user", id, name: id },
        ...{ action: "session.sign-out", targetKind: "user", targetId: id, outcome: "done" },
      });
    });
    tenancy.forget();
  }

  /** The provider that the session came from, and what it asks for when the person leaves. */
  async function origin(
    session: Principal["session"],
  ): Promise<{ providerId: string; idToken?: string } | undefined> {
    if (!session) return undefined;
    const row = await db.platform((tx) => store.originOf(tx, session.id));
    if (!row?.provider_id) return undefined;
    const { provider_id: providerId, id_token_sealed: sealed } = row;
    const idToken = sealed && sealer.open(sealed, idTokenContext(session.id)).toString();
    return { providerId, ...(idToken ? { idToken } : {}) };
  }

  /** The token that takes the place of this one, where it is time; else null. */
  async function rotate(
    token: string,
    session: NonNullable<Principal["session"]>,
  ): Promise<{ token: string; expiresAt: Date } | null> {
    const now = new Date(clock.now());
    if (session.rotateAfter > now) return null;
    const next = SESSION_PREFIX + randomSecret();
    const isNamed = await db.platform((tx) =>
      store.nameSuccessor(tx, {
        id: session.id,
        tokenHash: hashSecret(token),
        nextHash: hashSecret(next),
        now,
        staleBefore: new Date(now.getTime() - SUCCESSOR_MS),
      }),
    );
    return isNamed ? { token: next, expiresAt: session.expiresAt } : null;
  }

  async function list(principal: Principal): Promise<SessionView[]> {
    const userId = userIdOf(principal);
    const now = new Date(clock.now());
    const rows = await db.platform((tx) => store.liveSessions(tx, userId, now, MAX_SESSIONS));
    return rows.map((row) => ({
      id: row.id,
      method: row.method,
      provider: row.provider_id,
      createdAt: row.created_at,
      lastUsedAt: row.last_used_at,
      expiresAt: row.expires_at,
      address: row.address,
      userAgent: row.user_agent,
      isCurrent: row.id === principal.session?.id,
    }));
  }

  /** Ends one session of the person, or all others; how many it has ended. */
  async function end(
    principal: Principal,
    which: { id: string } | "others",
    actor: Actor,
  ): Promise<number> {
    const userId = userIdOf(principal);
    if (which !== "others" && !isUuid(which.id)) throw noSuchSession();
    const now = new Date(clock.now());
    const ended = await db.platform(async (tx) => {
      const selection = which === "others" ? { except: principal.session?.id ?? null } : which;
      const ids = await store.revokeOwn(tx, userId, selection, now);
      if (which !== "others" && ids.length === 0) throw noSuchSession();
      await audit.record(tx, PLATFORM_CHAIN, {
        ...{ actor, action: "session.end", targetKind: "session" },
        targetId: which === "others" ? "others" : which.id,
        ...{ outcome: "done", details: { ended: ids.length } },
      });
      return ids.length;
    });
    tenancy.forget();
    return ended;
  }

  return { start, signOut, origin, rotate, list, end };
}

/** Only people have sessions and factors; a tenant's key is none. */
export function userIdOf(principal: Principal): string {
  if (principal.actor.kind === "user") return principal.actor.id;
  throw new AppError("forbidden", "a tenant's key is no person: sign in as one");
}

function idTokenContext(sessionId: string): string {
  return `session ${sessionId} id-token`;
}

function noSuchSession(): AppError {
  return new AppError("not-found", "you have no such session");
}
