import { createRemoteJWKSet, customFetch, decodeJwt, type JWTPayload, jwtVerify } from "jose";
import { createGuardedFetch } from "../kernel/guarded-fetch.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { SignInDeps } from "./deps.ts";

const MAX_ISSUERS = 200;
const KEYS_MS = 10 * 60_000;
/** How often an unknown `kid` may make us ask again. */
const COOLDOWN_MS = 30_000;
const TIMEOUT_MS = 5_000;
export const CLOCK_TOLERANCE_S = 30;
/** Signatures by published keys alone: with a shared key, or none, anybody could sign. */
const ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].concat([
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
]);
export const MAX_TOKEN_LENGTH = 16_384;

type Keys = ReturnType<typeof createRemoteJWKSet>;

/** Reads tokens of issuers that tenants have registered; no other issuer is asked for anything. */
export function createFederatedTokens({
  clock,
  allowPrivateAddresses = false,
  privateIssuers = [],
}: SignInDeps) {
  const guarded = createGuardedFetch({
    ...{ clock, allowPrivateAddresses, privateOrigins: privateIssuers, timeoutMs: TIMEOUT_MS },
  });
  const known = new TtlCache<Promise<Keys>>({
    clock,
    ttlMs: KEYS_MS,
    maxEntries: MAX_ISSUERS,
  });

  // OpenID Connect Discovery 1.0 §4: the document names the issuer that it was asked for.
  async function discover(issuer: string): Promise<Keys> {
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const response = await guarded(url, { headers: { accept: "application/json" } });
    if (response.status !== 200) throw new Error(`the issuer answers ${response.status}`);
    const document = (await response.json()) as { issuer?: unknown; jwks_uri?: unknown };
    if (document.issuer !== issuer) throw new Error("the issuer calls itself something else");
    if (typeof document.jwks_uri !== "string") throw new Error("the issuer names no keys");
    return createRemoteJWKSet(new URL(document.jwks_uri), {
      ...{ cooldownDuration: COOLDOWN_MS, cacheMaxAge: KEYS_MS, timeoutDuration: TIMEOUT_MS },
      [customFetch]: (address, { method, headers }) => guarded(address, { method, headers }),
    });
  }

  function keysOf(issuer: string): Promise<Keys> {
    const cached = known.get(issuer);
    if (cached) return cached;
    const fresh = discover(issuer);
    known.set(issuer, fresh);
    fresh.catch(() => known.delete(issuer));
    return fresh;
  }

  /** The token's claims; throws whatever is wrong with it. */
  return async function verify(
    token: string,
    expected: { issuer: string; audience: string },
  ): Promise<JWTPayload> {
    if (token.length > MAX_TOKEN_LENGTH) throw new Error("the token is too long");
    // Before anything is asked of anybody: a token of another issuer costs nothing.
    if (decodeJwt(token).iss !== expected.issuer) throw new Error("the token has another issuer");
    const { payload } = await jwtVerify(token, await keysOf(expected.issuer), {
      ...expected,
      algorithms: ALGORITHMS,
      requiredClaims: ["exp", "iat", "sub"],
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(clock.now()),
    });
    return payload;
  };
}
