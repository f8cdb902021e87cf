import { AppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { type Actor, PASSWORD_LENGTH, PLATFORM_CHAIN } from "../tenancy/index.ts";
import { findAccountByEmail } from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import type { Caller, Sessions, SignedIn } from "./sessions.ts";
import { createSignInLimits } from "./sign-in-limits.ts";

export interface SignInRequest extends Caller {
  email: string;
  password: string;
}

const outcomes = counter("vautn_sign_ins_total", "Attempts to sign in with a password", [
  "outcome",
]);

export function createPasswordSignIn(deps: SignInDeps, sessions: Sessions) {
  const { db, clock, tenancy } = deps;
  const { audit, passwords } = tenancy;
  const limits = createSignInLimits(clock);

  // Only for accounts that exist, and the limits bound how many: guessing at random addresses
  // cannot fill the audit log.
  async function recordRefusal(userId: string, email: string, address: string): Promise<void> {
    const actor: Actor = { kind: "user", id: userId, name: email, address };
    await db.platform((tx) =>
      audit.record(tx, PLATFORM_CHAIN, {
        ...{ actor, action: "session.sign-in", targetKind: "user", targetId: userId },
        outcome: "refused",
      }),
    );
  }

  /**
   * `invalid-credentials` for a wrong password, an unknown and a disabled user alike, after the same
   * work; `rate-limited` after too many of them.
   */
  return async function signIn(request: SignInRequest): Promise<SignedIn> {
    const email = request.email.trim().toLowerCase().slice(0, 256);
    try {
      limits.attempt(email, request.address);
    } catch (error) {
      outcomes.inc({ outcome: "rate-limited" });
      throw error;
    }
    const user = await db.platform((tx) => findAccountByEmail(tx, email));
    const usable = user && user.disabled_at === null ? user : undefined;
    const password = request.password.slice(0, PASSWORD_LENGTH.maximum + 1);
    const matches = await passwords.matches(password, usable?.password_hash ?? null);
    if (!usable || !matches) {
      outcomes.inc({ outcome: "refused" });
      if (user) await recordRefusal(user.id, email, request.address);
      throw new AppError("invalid-credentials", "the e-mail address or the password is wrong");
    }
    limits.succeeded(email, request.address);
    const signedIn = await db.platform((tx) =>
      sessions.start(tx, usable, request, { method: "password" }),
    );
    outcomes.inc({ outcome: "done" });
    return signedIn;
  };
}
