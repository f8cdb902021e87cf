import {
  type AuthenticationResponseJSON,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  type RegistrationResponseJSON,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from "@simplewebauthn/server";
import { isUniqueViolation } from "../db/index.ts";
import { AppError, isUuid, timeOrderedId } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { type Actor, PLATFORM_CHAIN, type Principal } from "../tenancy/index.ts";
import { findAccount, lockAccount } from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import * as store from "./factors-store.ts";
import { reasonOf } from "./oidc-client.ts";
import { assertFresh, lastFactor, type SecondFactors } from "./second-factor.ts";
import type { Caller, Sessions, SignedIn } from "./sessions.ts";

const CHALLENGE_MS = 5 * 60_000;
const CONTEXT = "passkey challenge";
const MAX_PASSKEYS = 20;
const MAX_CHALLENGE_LENGTH = 1_024;

interface Challenge {
  purpose: "register" | "sign-in";
  challenge: string;
  userId: string | null;
  expiresAt: number;
}

/** The console's place: what authenticators bind their keys to. */
export interface RelyingParty {
  /** `https://console.example.com` */
  origin: string;
}

const outcomes = counter("vautn_passkey_sign_ins_total", "Attempts to sign in with a passkey", [
  "outcome",
]);

/**
 * Passkeys (WebAuthn Level 3): made on the device, verified by PIN or finger each time, so that one is
 * two factors by itself. A challenge lies sealed with the browser, and is answered once.
 */
export function createPasskeys(deps: SignInDeps & { sessions: Sessions; factors: SecondFactors }) {
  const { db, clock, sealer, tenancy, sessions, factors } = deps;
  const rpId = ({ origin }: RelyingParty) => new URL(origin).hostname;

  function seal(purpose: Challenge["purpose"], challenge: string, userId: string | null): string {
    const expiresAt = clock.now() + CHALLENGE_MS;
    const sealed: Challenge = { purpose, challenge, userId, expiresAt };
    return sealer.seal(JSON.stringify(sealed), CONTEXT).toString("base64url");
  }

  function open(text: string, purpose: Challenge["purpose"]): Challenge {
    try {
      if (text.length > MAX_CHALLENGE_LENGTH) throw new Error("too long");
      const opened = sealer.open(Buffer.from(text, "base64url"), CONTEXT).toString();
      const challenge = JSON.parse(opened) as Challenge;
      if (challenge.purpose === purpose && challenge.expiresAt > clock.now()) return challenge;
    } catch {
      // Altered, or sealed elsewhere: no challenge of ours.
    }
    throw new AppError("invalid-credentials", "that took too long: begin again");
  }

  async function beginRegistration(principal: Principal, party: RelyingParty) {
    const userId = assertFresh(principal, clock.now());
    const known = await db.platform((tx) => store.passkeysOf(tx, userId));
    const options = await generateRegistrationOptions({
      rpName: "Vautn",
      rpID: rpId(party),
      userName: principal.actor.name,
      userID: new TextEncoder().encode(userId),
      attestationType: "none",
      excludeCredentials: known.map((row) => ({ id: row.credential_id.toString("base64url") })),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
    });
    return { options, challenge: seal("register", options.challenge, userId) };
  }

  async function register(
    principal: Principal,
    answer: { challenge: string; name: string; response: RegistrationResponseJSON },
    party: RelyingParty,
    actor: Actor,
  ): Promise<{ id: string }> {
    const userId = assertFresh(principal, clock.now());
    const challenge = open(answer.challenge, "register");
    if (challenge.userId !== userId) throw refused();
    const verified = await verifyRegistrationResponse({
      response: answer.response,
      expectedChallenge: challenge.challenge,
      expectedOrigin: party.origin,
      expectedRPID: rpId(party),
      requireUserVerification: true,
    }).catch((cause) => {
      throw refused(cause);
    });
    if (!verified.verified) throw refused();
    const { credential, credentialBackedUp } = verified.registrationInfo;
    const now = new Date(clock.now());
    const id = timeOrderedId(now.getTime());
    const added = db.platform(async (tx) => {
      await lockAccount(tx, userId);
      if ((await store.passkeysOf(tx, userId)).length >= MAX_PASSKEYS) {
        throw new AppError("quota-exceeded", `a person can have ${MAX_PASSKEYS} passkeys`);
      }
      await takeOnce(tx, challenge, now);
      await store.insertPasskey(tx, {
        credential_id: Buffer.from(credential.id, "base64url"),
        id,
        user_id: userId,
        name: answer.name.trim(),
        public_key: Buffer.from(credential.publicKey),
        counter: credential.counter,
        transports: credential.transports ?? [],
        is_backed_up: credentialBackedUp,
        created_at: now,
        last_used_at: null,
      });
      await store.releaseSessions(tx, userId);
      await tenancy.audit.record(tx, PLATFORM_CHAIN, {
        ...{ actor, action: "factor.add", targetKind: "user", targetId: userId, outcome: "done" },
        details: { factor: "passkey", passkey: id, name: answer.name },
      });
    });
    await added.catch((error) => {
      if (isUniqueViolation(error)) throw new AppError("already-exists", "it is known already");
      throw error;
    });
    tenancy.forget();
    return { id };
  }

  async function beginSignIn(party: RelyingParty) {
    const options = await generateAuthenticationOptions({
      rpID: rpId(party),
      userVerification: "required",
    });
    return { options, challenge: seal("sign-in", options.challenge, null) };
  }

  /** `invalid-credentials` whatever is wrong: a stranger learns nothing of what there is. */
  async function signIn(
    answer: { challenge: string; response: AuthenticationResponseJSON },
    party: RelyingParty,
    caller: Caller,
  ): Promise<SignedIn> {
    try {
      const challenge = open(answer.challenge, "sign-in");
      const credentialId = Buffer.from(answer.response.id, "base64url");
      const passkey = await db.platform((tx) => store.findPasskey(tx, credentialId));
      if (!passkey) throw refused();
      const { verified, authenticationInfo } = await verifyAuthenticationResponse({
        response: answer.response,
        expectedChallenge: challenge.challenge,
        expectedOrigin: party.origin,
        expectedRPID: rpId(party),
        requireUserVerification: true,
        credential: {
          id: answer.response.id,
          publicKey: Uint8Array.from(passkey.public_key),
          counter: passkey.counter,
        },
      });
      if (!verified) throw refused();
      const signedIn = await db.platform(async (tx) => {
        const now = new Date(clock.now());
        const account = await lockAccount(tx, passkey.user_id);
        if (!account || account.disabled_at !== null) throw refused();
        await takeOnce(tx, challenge, now);
        const { newCounter } = authenticationInfo;
        if (!(await store.countPasskey(tx, credentialId, newCounter, now))) throw refused();
        return sessions.start(tx, account, caller, { method: "passkey" });
      });
      outcomes.inc({ outcome: "done" });
      return signedIn;
    } catch (error) {
      outcomes.inc({ outcome: "refused" });
      if (error instanceof AppError) throw error;
      deps.logger.warn({ reason: reasonOf(error) }, "a passkey was refused");
      throw refused(error);
    }
  }

  async function takeOnce(
    tx: Parameters<typeof store.takeChallenge>[0],
    one: Challenge,
    now: Date,
  ) {
    const hash = hashSecret(one.challenge);
    if (!(await store.takeChallenge(tx, hash, new Date(one.expiresAt), now))) throw refused();
  }

  async function remove(principal: Principal, id: string, actor: Actor): Promise<void> {
    const userId = assertFresh(principal, clock.now());
    await db.platform(async (tx) => {
      const account = await findAccount(tx, userId);
      const isGone = isUuid(id) && (await store.deletePasskey(tx, userId, id));
      if (!account || !isGone) throw new AppError("not-found", "you have no such passkey");
      if ((await factors.needOf(tx, account)) === "enrolment") throw lastFactor();
      await tenancy.audit.record(tx, PLATFORM_CHAIN, {
        ...{ actor, action: "factor.remove", targetKind: "user", targetId: userId },
        ...{ outcome: "done", details: { factor: "passkey", passkey: id } },
      });
    });
  }

  return { beginRegistration, register, beginSignIn, signIn, remove };
}

function refused(cause?: unknown): AppError {
  return new AppError("invalid-credentials", "the passkey is not accepted", {}, { cause });
}
