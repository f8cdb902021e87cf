import type { Database } from "../db/index.ts";
import { AppError, type Clock, randomSecret } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { type Actor, PLATFORM_CHAIN } from "./actor.ts";
import type { Audit } from "./audit.ts";
import * as sessions from "./credentials-store.ts";
import { PASSWORD_LENGTH, type Passwords } from "./passwords.ts";
import type { PlatformRole } from "./permissions.ts";
import { createSignInLimits } from "./sign-in-limits.ts";
import { findUserByEmail } from "./users-store.ts";

export interface SignInRequest {
  email: string;
  password: string;
  /** Of the person, as far as the network tells. */
  address: string;
  userAgent?: string | undefined;
}

export interface SignedIn {
  /** Secret of the session: the cookie's value. */
  token: string;
  expiresAt: Date;
  user: { id: string; email: string; name: string; platformRole: PlatformRole | null };
}

const SESSION_LIFETIME_MS = 12 * 3_600_000;
const SESSION_PREFIX = "vs_";

const outcomes = counter("vautn_sign_ins_total", "Attempts to sign in with a password", [
  "outcome",
]);

export function createSignIn(deps: {
  db: Database;
  clock: Clock;
  audit: Audit;
  passwords: Passwords;
  forget: () => void;
}) {
  const { db, clock, audit, passwords } = deps;
  const limits = createSignInLimits(clock);

  /**
   * `invalid-credentials` for a wrong password, an unknown and a disabled user alike, after the same
   * work; `rate-limited` after too many of them.
   */
  async function signIn(request: SignInRequest): Promise<SignedIn> {
    const email = request.email.trim().toLowerCase().slice(0, 256);
    try {
      limits.attempt(email, request.address);
    } catch (error) {
      outcomes.inc({ outcome: "rate-limited" });
      throw error;
    }
    const user = await db.platform((tx) => findUserByEmail(tx, email));
    const usable = user && user.disabled_at === null ? user : undefined;
    const password = request.password.slice(0, PASSWORD_LENGTH.maximum + 1);
    const matches = await passwords.matches(password, usable?.password_hash ?? null);
    if (!usable || !matches) {
      outcomes.inc({ outcome: "refused" });
      if (user) await recordRefusal(user.id, email, request.address);
      throw new AppError("invalid-credentials", "the e-mail address or the password is wrong");
    }
    limits.succeeded(email, request.address);
    const now = new Date(clock.now());
    const token = SESSION_PREFIX + randomSecret();
    const expiresAt = new Date(now.getTime() + SESSION_LIFETIME_MS);
    const actor: Actor = { kind: "user", id: usable.id, name: email, address: request.address };
    await db.platform(async (tx) => {
      await sessions.deleteOldSessions(tx, usable.id, now);
      await sessions.insertSession(tx, {
        token_hash: hashSecret(token),
        user_id: usable.id,
        created_at: now,
        last_used_at: now,
        expires_at: expiresAt,
        address: request.address,
        user_agent: request.userAgent?.slice(0, 256) ?? null,
      });
      await audit.record(tx, PLATFORM_CHAIN, {
        ...entry(actor, "session.sign-in"),
        outcome: "done",
      });
    });
    outcomes.inc({ outcome: "done" });
    const { id, name, platform_role: platformRole } = usable;
    return { token, expiresAt, user: { id, email, name, platformRole } };
  }

  /** Ends the session; one that is over already stays so. */
  async function signOut(token: string): Promise<void> {
    await db.platform(async (tx) => {
      const userId = await sessions.revokeSession(tx, hashSecret(token), new Date(clock.now()));
      if (userId === undefined) return;
      const actor: Actor = { kind: "user", id: userId, name: userId };
      await audit.record(tx, PLATFORM_CHAIN, {
        ...entry(actor, "session.sign-out"),
        outcome: "done",
      });
    });
    deps.forget();
  }

  // Only for accounts that exist, and the limits above bound how many: guessing at random addresses
  // cannot fill the audit log.
  async function recordRefusal(userId: string, email: string, address: string): Promise<void> {
    const actor: Actor = { kind: "user", id: userId, name: email, address };
    await db.platform((tx) =>
      audit.record(tx, PLATFORM_CHAIN, { ...entry(actor, "session.sign-in"), outcome: "refused" }),
    );
  }

  return { signIn, signOut };
}

function entry(actor: Actor, action: string) {
  return { actor, action, targetKind: "user", targetId: actor.id };
}
