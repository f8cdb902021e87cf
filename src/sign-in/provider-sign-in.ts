import * as oidc from "openid-client";
import type { Tx } from "../db/index.ts";
import { AppError, timeOrderedId } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { type Actor, PLATFORM_CHAIN } from "../tenancy/index.ts";
import * as accounts from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import { FLOW_LIFETIME_MS, type Flow, openFlow, ownPath, sealFlow } from "./flow.ts";
import { applyGrants } from "./grants.ts";
import { type Claims, decideLink, emailOf, grantsFor, type LinkFacts } from "./linking.ts";
import { type OidcClients, reasonOf } from "./oidc-client.ts";
import type { Providers } from "./providers.ts";
import type { ProviderRow } from "./providers-store.ts";
import type { Caller, Sessions, SignedIn } from "./sessions.ts";

const outcomes = counter(
  "vautn_provider_sign_ins_total",
  "Attempts to sign in at an OpenID provider",
  ["outcome"],
);

/** What is kept of an ID token, for signing out at the provider. */
const MAX_ID_TOKEN_LENGTH = 8_192;

export interface Started {
  /** Of the provider, where the browser goes next. */
  url: string;
  /** For the browser's cookie. */
  flow: string;
  lifetimeMs: number;
}

interface Deps extends SignInDeps {
  sessions: Sessions;
  providers: Providers;
  clients: OidcClients;
}

/** Authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0 §3.1, RFC 9700). */
export function createProviderSignIn(deps: Deps) {
  const { db, clock, sealer, providers, clients, sessions } = deps;

  async function start(
    providerId: string,
    options: { redirectUri: string; next?: string | undefined },
  ): Promise<Started> {
    const row = await providers.usable(providerId);
    const client = await clients.clientOf(row);
    const flow: Flow = {
      provider: providerId,
      state: oidc.randomState(),
      nonce: oidc.randomNonce(),
      verifier: oidc.randomPKCECodeVerifier(),
      redirectUri: options.redirectUri,
      next: ownPath(options.next),
      expiresAt: clock.now() + FLOW_LIFETIME_MS,
    };
    const url = oidc.buildAuthorizationUrl(client, {
      redirect_uri: flow.redirectUri,
      scope: row.scopes.join(" "),
      state: flow.state,
      nonce: flow.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(flow.verifier),
      code_challenge_method: "S256",
    });
    return { url: url.href, flow: sealFlow(sealer, flow), lifetimeMs: FLOW_LIFETIME_MS };
  }

  /** `sign-in-refused` with the reason, for whatever is wrong with the answer or the person. */
  async function finish(
    providerId: string,
    answer: { flow: string | undefined; query: string },
    caller: Caller,
  ): Promise<SignedIn & { next: string }> {
    try {
      const flow = answer.flow ? openFlow(sealer, clock, answer.flow) : undefined;
      // A flow of another provider: what one has answered is not another's (RFC 9700 §4.4).
      if (flow?.provider !== providerId) throw refused("expired", "the sign-in was not begun here");
      const row = await providers.usable(providerId);
      const { claims, idToken } = await exchange(row, flow, answer.query);
      const signedIn = await admit(row, claims, idToken, caller);
      outcomes.inc({ outcome: "done" });
      return { ...signedIn, next: flow.next };
    } catch (error) {
      const reason = error instanceof AppError ? error.details.reason : undefined;
      outcomes.inc({ outcome: typeof reason === "string" ? reason : "failed" });
      throw error;
    }
  }

  /** The code for tokens; every check of the answer and the ID token is the library's. */
  async function exchange(row: ProviderRow, flow: Flow, query: string) {
    const client = await clients.clientOf(row);
    const url = new URL(flow.redirectUri);
    url.search = query;
    if (url.searchParams.get("error") === "access_denied") {
      throw refused("cancelled", "the provider says that the person did not agree");
    }
    try {
      const tokens = await oidc.authorizationCodeGrant(client, url, {
        pkceCodeVerifier: flow.verifier,
        expectedState: flow.state,
        expectedNonce: flow.nonce,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      if (!claims || claims.sub.length > 255) throw new Error("the answer names nobody");
      const more = await moreClaims(client, tokens.access_token, claims);
      return { claims: { ...more, ...claims } as Claims, idToken: tokens.id_token };
    } catch (error) {
      deps.logger.warn({ provider: row.id, reason: reasonOf(error) }, "a sign-in was refused");
      throw refused("bad-answer", "the provider's answer is not one to believe", error);
    }
  }

  async function moreClaims(
    client: oidc.Configuration,
    accessToken: string,
    claims: oidc.IDToken,
  ): Promise<Record<string, unknown>> {
    if (!client.serverMetadata().userinfo_endpoint) return {};
    return oidc.fetchUserInfo(client, accessToken, claims.sub);
  }

  async function admit(
    row: ProviderRow,
    claims: Claims,
    idToken: string | undefined,
    caller: Caller,
  ): Promise<SignedIn> {
    const now = new Date(clock.now());
    const outcome = await db.platform(async (tx) => {
      const facts = await factsOf(tx, row, claims);
      const decision = decideLink(facts);
      if (decision.kind === "refuse") return { refusal: decision.reason };
      const userId = await personOf(tx, row, claims, decision, caller, now);
      const account = await accounts.lockAccount(tx, userId);
      if (!account || account.disabled_at !== null) return { refusal: "disabled" as const };
      await applyGrants(tx, deps, {
        userId,
        providerId: row.id,
        wanted: grantsFor(claims, row.role_mappings),
        actor: actorOf(account.id, account.email, caller),
      });
      const kept = idToken && idToken.length <= MAX_ID_TOKEN_LENGTH ? { idToken } : {};
      const how = { method: "oidc" as const, providerId: row.id, ...kept };
      return { signedIn: await sessions.start(tx, account, caller, how) };
    });
    if (outcome.signedIn) {
      deps.tenancy.forget();
      return outcome.signedIn;
    }
    const reason = outcome.refusal ?? "no-account";
    await recordRefusal(row, claims, reason, caller);
    throw refused(reason, REASONS[reason]);
  }

  async function personOf(
    tx: Tx,
    row: ProviderRow,
    claims: Claims,
    decision: Exclude<ReturnType<typeof decideLink>, { kind: "refuse" }>,
    caller: Caller,
    now: Date,
  ): Promise<string> {
    const email = emailOf(claims) ?? null;
    const identity = { provider_id: row.id, subject: claims.sub };
    if (decision.kind === "known") {
      await accounts.touchIdentity(tx, identity, email, now);
      return decision.userId;
    }
    const isNew = decision.kind === "create";
    const userId = isNew ? timeOrderedId(now.getTime()) : decision.userId;
    const actor = actorOf(userId, email ?? userId, caller);
    const target = { actor, targetKind: "user", targetId: userId, outcome: "done" as const };
    const { audit } = deps.tenancy;
    if (isNew) {
      await accounts.insertAccount(tx, {
        id: userId,
        email: decision.email,
        name: decision.name,
        now,
      });
      const details = { email: decision.email, provider: row.id };
      await audit.record(tx, PLATFORM_CHAIN, { ...target, action: "user.create", details });
    }
    await accounts.insertIdentity(tx, {
      ...{ ...identity, user_id: userId, email },
      ...{ created_at: now, last_used_at: now },
    });
    const details = { provider: row.id, subject: claims.sub, by: "verified e-mail" };
    await audit.record(tx, PLATFORM_CHAIN, { ...target, action: "identity.link", details });
    return userId;
  }

  /** The provider knows them, we do not: one entry each, at the pace that the route permits. */
  async function recordRefusal(row: ProviderRow, claims: Claims, reason: string, caller: Caller) {
    const actor = actorOf("unknown", emailOf(claims) ?? "unknown", caller);
    await db.platform((tx) =>
      deps.tenancy.audit.record(tx, PLATFORM_CHAIN, {
        ...{ actor, action: "session.sign-in", targetKind: "provider", targetId: row.id },
        ...{ outcome: "refused", details: { reason, subject: claims.sub } },
      }),
    );
  }

  /** Where the browser goes to leave the provider too; null where it offers no such place. */
  async function leaveUrl(
    left: { providerId: string; idToken?: string },
    returnTo: string,
  ): Promise<string | null> {
    try {
      const client = await clients.clientOf(await providers.usable(left.providerId));
      if (!client.serverMetadata().end_session_endpoint) return null;
      // OpenID Connect RP-Initiated Logout 1.0 §2
      const url = oidc.buildEndSessionUrl(client, {
        post_logout_redirect_uri: returnTo,
        ...(left.idToken ? { id_token_hint: left.idToken } : {}),
      });
      return url.href;
    } catch (error) {
      // The session here has ended already; leaving there is a courtesy.
      deps.logger.warn({ reason: reasonOf(error) }, "a provider could not be asked to sign out");
      return null;
    }
  }

  return { start, finish, leaveUrl };
}

async function factsOf(tx: Tx, provider: ProviderRow, claims: Claims): Promise<LinkFacts> {
  const identity = await accounts.findIdentity(tx, provider.id, claims.sub);
  const linked = identity && (await accounts.findAccount(tx, identity.user_id));
  const email = emailOf(claims);
  const named = email && !linked ? await accounts.findAccountByEmail(tx, email) : undefined;
  const others = named ? await accounts.identitiesOf(tx, named.id) : [];
  return {
    claims,
    provider,
    linkedUser: linked && { id: linked.id, isDisabled: linked.disabled_at !== null },
    userByEmail: named && {
      id: named.id,
      isDisabled: named.disabled_at !== null,
      hasOtherSubject: others.some(({ provider_id }) => provider_id === provider.id),
    },
  };
}

const REASONS = {
  "no-account": "there is no user here for this person: ask an administrator",
  "unverified-email": "the provider has not verified the e-mail address",
  "foreign-domain": "the e-mail address is of a domain that does not count here",
  "other-subject": "the user with this e-mail address is somebody else at the provider",
  disabled: "the user is disabled",
} as const;

function actorOf(id: string, name: string, caller: Caller): Actor {
  return { kind: "user", id, name, address: caller.address };
}

function refused(reason: string, message: string, cause?: unknown): AppError {
  return new AppError("sign-in-refused", message, { reason }, { cause });
}
