import { AppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { type Actor, PASSWORD_LENGTH, PLATFORM_CHAIN } from "../tenancy/index.ts";
import { type AccountRow, findAccountByEmail, lockAccount } from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import { createKnownBrowsers } from "./known-browser.ts";
import type { SecondFactors } from "./second-factor.ts";
import type { Caller, HowSignedIn, Sessions, SignedIn } from "./sessions.ts";
import { type Attempt, createSignInLimits } from "./sign-in-limits.ts";

export interface SignInRequest extends Caller {
  email: string;
  password: string;
  /** Of an authenticator app, or a recovery code. */
  code?: string | undefined;
  /** What the browser keeps from an earlier time. */
  knownBrowser?: string | undefined;
}

/** Signed in, and what the browser keeps to be known by. */
export type SignedInByPassword = SignedIn & { browser: { note: string; expiresAt: Date } };

const outcomes = counter("vautn_sign_ins_total", "Attempts to sign in with a password", [
  "outcome",
]);

export function createPasswordSignIn(
  deps: SignInDeps & { sessions: Sessions; factors: SecondFactors },
) {
  const { db, clock, sealer, tenancy, sessions, factors } = deps;
  const { audit, passwords } = tenancy;
  const limits = createSignInLimits(clock);
  const browsers = createKnownBrowsers(sealer, clock);

  function counted(outcome: string, check: () => void): void {
    try {
      check();
    } catch (error) {
      outcomes.inc({ outcome });
      throw error;
    }
  }

  // Only for accounts that exist, and the limits bound how many: guessing at random addresses
  // cannot fill the audit log.
  async function recordRefusal(user: AccountRow, address: string, reason: string): Promise<void> {
    const actor: Actor = { kind: "user", id: user.id, name: user.email, address };
    await db.platform((tx) =>
      audit.record(tx, PLATFORM_CHAIN, {
        ...{ actor, action: "session.sign-in", targetKind: "user", targetId: user.id },
        ...{ outcome: "refused", details: { reason } },
      }),
    );
  }

  /** How they are signed in, or a refusal: the password was right. */
  async function secondFactor(user: AccountRow, attempt: Attempt, code: string | undefined) {
    const need = await db.platform((tx) => factors.needOf(tx, user));
    if (need === "nothing" || need === "enrolment") return { mustEnrol: need === "enrolment" };
    if (need === "passkey" || !code) {
      limits.forgive(attempt);
      throw new AppError("second-factor-needed", "the password is right; show a second factor", {
        methods: need === "passkey" ? ["passkey"] : ["totp", "recovery"],
      });
    }
    counted("rate-limited", () => limits.attemptCode(attempt));
    const used = await db.platform((tx) => factors.use(tx, user.id, code));
    if (!used) {
      outcomes.inc({ outcome: "wrong-code" });
      await recordRefusal(user, attempt.address, "wrong code");
      throw new AppError("invalid-credentials", "the code is wrong, or was used");
    }
    limits.codeSucceeded(attempt);
    return { factors: [used] };
  }

  /**
   * `invalid-credentials` for a wrong password, an unknown and a disabled user alike, after the same
   * work; `second-factor-needed` where the password is right and a code is missing; `rate-limited`
   * after too many attempts.
   */
  return async function signIn(request: SignInRequest): Promise<SignedInByPassword> {
    const email = request.email.trim().toLowerCase().slice(0, 256);
    const browser = browsers.idOf(request.knownBrowser, email);
    const attempt: Attempt = { email, address: request.address, browser };
    counted("rate-limited", () => limits.attempt(attempt));
    const user = await db.platform((tx) => findAccountByEmail(tx, email));
    const usable = user && user.disabled_at === null ? user : undefined;
    const password = request.password.slice(0, PASSWORD_LENGTH.maximum + 1);
    const matches = await passwords.matches(password, usable?.password_hash ?? null);
    if (!usable || !matches) {
      outcomes.inc({ outcome: "refused" });
      if (user) await recordRefusal(user, request.address, "wrong password");
      throw new AppError("invalid-credentials", "the e-mail address or the password is wrong");
    }
    const factor = await secondFactor(usable, attempt, request.code);
    const how: HowSignedIn = { method: "password", ...factor };
    const signedIn = await db.platform(async (tx) => {
      // As it is now: a password that was changed meanwhile opens nothing.
      const account = await lockAccount(tx, usable.id);
      const isSame = account?.password_hash === usable.password_hash;
      if (!account || account.disabled_at !== null || !isSame) {
        throw new AppError("invalid-credentials", "the e-mail address or the password is wrong");
      }
      return sessions.start(tx, account, request, how);
    });
    limits.succeeded(attempt);
    outcomes.inc({ outcome: "done" });
    return { ...signedIn, browser: browsers.note(email, browser) };
  };
}
