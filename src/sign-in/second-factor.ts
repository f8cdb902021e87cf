import type { Tx } from "../db/index.ts";
import { AppError, isUuid } from "../kernel/index.ts";
import { type Actor, auditChange, PLATFORM_CHAIN, type Principal } from "../tenancy/index.ts";
import { type AccountRow, lockAccount } from "./accounts-store.ts";
import { newRecoveryCodes, newTotpSecret, recoveryHash, stepOf, totpOf } from "./codes.ts";
import type { SignInDeps } from "./deps.ts";
import * as store from "./factors-store.ts";
import { userIdOf } from "./sessions.ts";
import { revokeOwn } from "./sessions-store.ts";

/** How long after signing in factors can be changed: a stolen session shall not bring its own. */
const FRESH_MS = 3_600_000;

export interface FactorsView {
  totp: { confirmedAt: Date } | null;
  recoveryCodesLeft: number;
  passkeys: {
    id: string;
    name: string;
    isBackedUp: boolean;
    createdAt: Date;
    lastUsedAt: Date | null;
  }[];
  isRequired: boolean;
}

export type SecondFactors = ReturnType<typeof createSecondFactors>;

/** Codes of an authenticator app, recovery codes, and who must have a second factor. */
export function createSecondFactors(deps: SignInDeps) {
  const { db, clock, sealer, tenancy } = deps;

  function record(tx: Tx, actor: Actor, action: string, userId: string, details: object = {}) {
    return tenancy.audit.record(tx, PLATFORM_CHAIN, {
      ...{ actor, action, targetKind: "user", targetId: userId },
      ...{ outcome: "done", details: { ...details } },
    });
  }

  /** Whether the code is good, by what; it is used up by this. Six digits, or a recovery code. */
  async function use(
    tx: Tx,
    userId: string,
    code: string,
  ): Promise<"totp" | "recovery" | undefined> {
    const totp = await store.findTotp(tx, userId);
    if (!totp?.confirmed_at) return undefined;
    const secret = sealer.open(totp.secret_sealed, totpContext(userId));
    const step = stepOf(secret, code.replaceAll(/\s/g, ""), clock.now());
    if (step !== undefined) return (await store.takeStep(tx, userId, step)) ? "totp" : undefined;
    const now = new Date(clock.now());
    const isRecovery = await store.takeRecoveryCode(tx, userId, recoveryHash(userId, code), now);
    return isRecovery ? "recovery" : undefined;
  }

  async function isRequired(tx: Tx, account: Pick<AccountRow, "id" | "platform_role">) {
    const policy = await store.readPolicy(tx);
    if (policy === "everybody") return true;
    if (policy === "administrators" && account.platform_role !== null) return true;
    return store.needsSecondFactor(tx, account.id);
  }

  /** What signing in with the password alone asks for besides. */
  async function needOf(
    tx: Tx,
    account: Pick<AccountRow, "id" | "platform_role">,
  ): Promise<"nothing" | "code" | "passkey" | "enrolment"> {
    const totp = await store.findTotp(tx, account.id);
    if (totp?.confirmed_at) return "code";
    if (!(await isRequired(tx, account))) return "nothing";
    const passkeys = await store.passkeysOf(tx, account.id);
    return passkeys.length > 0 ? "passkey" : "enrolment";
  }

  async function view(principal: Principal): Promise<FactorsView> {
    const userId = userIdOf(principal);
    return db.platform(async (tx) => {
      const totp = await store.findTotp(tx, userId);
      const passkeys = await store.passkeysOf(tx, userId);
      const account = { id: userId, platform_role: principal.platformRole };
      return {
        totp: totp?.confirmed_at ? { confirmedAt: totp.confirmed_at } : null,
        recoveryCodesLeft: await store.recoveryCodesLeft(tx, userId),
        passkeys: passkeys.map((row) => ({
          id: row.id,
          name: row.name,
          isBackedUp: row.is_backed_up,
          createdAt: row.created_at,
          lastUsedAt: row.last_used_at,
        })),
        isRequired: await isRequired(tx, account),
      };
    });
  }

  /** A secret to show to the app; it counts once `confirm` has seen a code of it. */
  async function begin(principal: Principal, actor: Actor) {
    const userId = assertFresh(principal, clock.now());
    const secret = newTotpSecret();
    await db.platform(async (tx) => {
      const isNew = await store.putTotp(tx, {
        user_id: userId,
        secret_sealed: sealer.seal(secret, totpContext(userId)),
        created_at: new Date(clock.now()),
      });
      if (!isNew) throw new AppError("already-exists", "an authenticator app is set up already");
      await record(tx, actor, "factor.begin", userId, { factor: "totp" });
    });
    const totp = totpOf(secret, principal.actor.name);
    return { secret: totp.secret.base32, uri: totp.toString() };
  }

  /** The recovery codes, told this once. */
  async function confirm(principal: Principal, code: string, actor: Actor): Promise<string[]> {
    const userId = assertFresh(principal, clock.now());
    const codes = newRecoveryCodes();
    const now = new Date(clock.now());
    await db.platform(async (tx) => {
      await lockAccount(tx, userId);
      const totp = await store.findTotp(tx, userId);
      if (!totp) throw new AppError("not-found", "begin with a new secret first");
      if (totp.confirmed_at) throw new AppError("conflict", "it is confirmed already");
      const secret = sealer.open(totp.secret_sealed, totpContext(userId));
      const step = stepOf(secret, code, now.getTime());
      if (step === undefined) throw wrongCode();
      await store.takeStep(tx, userId, step);
      await store.confirmTotp(tx, userId, now);
      await store.replaceRecoveryCodes(tx, userId, hashesOf(userId, codes), now);
      await store.releaseSessions(tx, userId);
      await record(tx, actor, "factor.add", userId, { factor: "totp" });
    });
    tenancy.forget();
    return codes;
  }

  /** New recovery codes in the place of the old ones; asks for a code of the app. */
  async function renewCodes(principal: Principal, code: string, actor: Actor): Promise<string[]> {
    const userId = assertFresh(principal, clock.now());
    const codes = newRecoveryCodes();
    await withCode(userId, code, async (tx) => {
      const now = new Date(clock.now());
      await store.replaceRecoveryCodes(tx, userId, hashesOf(userId, codes), now);
      await record(tx, actor, "factor.renew-codes", userId);
    });
    return codes;
  }

  async function remove(principal: Principal, code: string, actor: Actor): Promise<void> {
    const userId = assertFresh(principal, clock.now());
    await withCode(userId, code, async (tx) => {
      const account = { id: userId, platform_role: principal.platformRole };
      const passkeys = await store.passkeysOf(tx, userId);
      if (passkeys.length === 0 && (await isRequired(tx, account))) throw lastFactor();
      await store.deleteTotp(tx, userId);
      await store.replaceRecoveryCodes(tx, userId, [], new Date(clock.now()));
      await record(tx, actor, "factor.remove", userId, { factor: "totp" });
    });
  }

  // A wrong code leaves by its own transaction: what it has used up stays used up.
  async function withCode(userId: string, code: string, work: (tx: Tx) => Promise<void>) {
    if ((await db.platform((tx) => use(tx, userId, code))) === undefined) throw wrongCode();
    await db.platform(work);
  }

  /** An administrator's help for who has lost everything: the password alone, and no session. */
  async function reset(userId: string, actor: Actor): Promise<void> {
    const now = new Date(clock.now());
    await db.platform(async (tx) => {
      if (!isUuid(userId) || !(await lockAccount(tx, userId))) throw noSuchUser();
      await store.deleteTotp(tx, userId);
      await store.deletePasskeysOf(tx, userId);
      await store.replaceRecoveryCodes(tx, userId, [], now);
      await revokeOwn(tx, userId, { except: null }, now);
      await record(tx, actor, "factor.reset", userId);
    });
    tenancy.forget();
  }

  async function setRequired(userId: string, needs: boolean, actor: Actor): Promise<void> {
    await db.platform(async (tx) => {
      if (!isUuid(userId) || !(await lockAccount(tx, userId))) throw noSuchUser();
      const before = await store.needsSecondFactor(tx, userId);
      await store.setNeedsSecondFactor(tx, userId, needs);
      const details = auditChange({ needsSecondFactor: before }, { needsSecondFactor: needs });
      await record(tx, actor, "factor.require", userId, details);
    });
  }

  return {
    ...{ use, needOf, view, begin, confirm, renewCodes, remove, reset, setRequired },
    policy: () => db.platform(store.readPolicy),
    async setPolicy(policy: store.SecondFactorPolicy, actor: Actor): Promise<void> {
      const now = new Date(clock.now());
      await db.platform(async (tx) => {
        const before = await store.readPolicy(tx);
        await store.writePolicy(tx, policy, now);
        const details = auditChange({ secondFactor: before }, { secondFactor: policy });
        await tenancy.audit.record(tx, PLATFORM_CHAIN, {
          ...{ actor, action: "factor.require", targetKind: "platform", targetId: "sign-in" },
          ...{ outcome: "done", details },
        });
      });
    },
  };
}

/** Passes for a person in a browser who has signed in within the hour; whose id it is. */
export function assertFresh({ actor, session }: Principal, now: number): string {
  if (actor.kind !== "user" || !session) {
    throw new AppError("sign-in-again", "this is for people who are signed in, not for keys");
  }
  if (now - session.authenticatedAt.getTime() > FRESH_MS) {
    throw new AppError("sign-in-again", "sign in again: this was more than an hour ago");
  }
  return actor.id;
}

export function lastFactor(): AppError {
  return new AppError("conflict", "a second factor is required: set another one up first");
}

function hashesOf(userId: string, codes: readonly string[]): Buffer[] {
  return codes.map((code) => recoveryHash(userId, code));
}

function totpContext(userId: string): string {
  return `totp ${userId}`;
}

function wrongCode(): AppError {
  return new AppError("invalid-credentials", "the code is wrong, or was used");
}

function noSuchUser(): AppError {
  return new AppError("not-found", "there is no such user");
}
