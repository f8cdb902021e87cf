import { generateKeyPairSync, type KeyObject } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { type JWTPayload, SignJWT } from "jose";
import { type Context, Provider } from "oidc-provider";

export interface Person {
  email?: string;
  email_verified?: boolean;
  name?: string;
  groups?: string[];
}

export const CLIENT_SECRET = "an OpenID client's secret of the tests, long enough";

export type OidcServer = Awaited<ReturnType<typeof startOidcServer>>;

/**
 * A real OpenID provider (npm: oidc-provider) on a loopback port. Whoever is `person` signs in
 * without being asked; `tamper` gets token answers in its hands before they leave.
 */
export async function startOidcServer(options: { redirectUris: string[]; signOutUris?: string[] }) {
  const state = {
    person: "ursula",
    people: {} as Record<string, Person>,
    cancels: false,
    tamper: undefined as ((body: Record<string, unknown>) => Promise<void> | void) | undefined,
    /** Claims of access tokens for machines. */
    machineClaims: {} as Record<string, unknown>,
  };
  const keys = [signingKey("key-1")];
  const server = http.createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: keys.map(({ jwk }) => jwk) },
    cookies: { keys: ["a key of the tests"] },
    clients: [
      {
        client_id: "vautn",
        client_secret: CLIENT_SECRET,
        redirect_uris: options.redirectUris,
        post_logout_redirect_uris: options.signOutUris ?? [],
        grant_types: ["authorization_code"],
        id_token_signed_response_alg: "ES256",
        response_types: ["code"],
      },
      {
        client_id: "pipeline",
        client_secret: CLIENT_SECRET,
        redirect_uris: [],
        grant_types: ["client_credentials"],
        id_token_signed_response_alg: "ES256",
        response_types: [],
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
    findAccount: (_context: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, ...state.people[id] }),
    }),
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context: unknown, audience: string) => ({
          scope: "",
          audience,
          accessTokenTTL: 300,
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: "ES256" } },
        }),
      },
    },
    extraTokenClaims: () => state.machineClaims,
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 300, IdToken: 300 },
  });
  provider.use(async (context, next) => {
    if (context.path.startsWith("/interaction/")) await interact(context);
    else await next();
    if (context.oidc?.route === "token" && context.status === 200) {
      await state.tamper?.(context.body as Record<string, unknown>);
    }
  });
  server.on("request", provider.callback());

  async function interact(context: Context) {
    const details = await provider.interactionDetails(context.req, context.res);
    const { prompt, params, session } = details;
    let result: Record<string, unknown> = { login: { accountId: state.person } };
    if (state.cancels) result = { error: "access_denied" };
    else if (prompt.name === "consent") {
      const grant = new provider.Grant({
        accountId: session?.accountId ?? state.person,
        clientId: params.client_id as string,
      });
      grant.addOIDCScope(params.scope ?? "openid");
      result = { consent: { grantId: await grant.save() } };
    }
    context.redirect(await provider.interactionResult(context.req, context.res, result));
  }

  return {
    issuer,
    state,
    keys,
    /** What a browser does at the provider: follows it until it is sent elsewhere. */
    browse: (url: string) => browse(url, issuer),
    /** A token as the server signs it, with whatever is to be wrong about it. */
    sign: (claims: JWTPayload, header: { alg?: string; kid?: string; key?: KeyObject } = {}) =>
      new SignJWT({ iss: issuer, ...claims })
        .setProtectedHeader({ alg: header.alg ?? "ES256", kid: header.kid ?? "key-1" })
        .sign(header.key ?? (keys[0] as SigningKey).privateKey),
    /** A machine's token for this audience, from the token endpoint. */
    async machineToken(audience: string, claims: Record<string, unknown>): Promise<string> {
      state.machineClaims = claims;
      const response = await fetch(`${issuer}/token`, {
        method: "POST",
        headers: {
          authorization: `Basic ${btoa(`pipeline:${encodeURIComponent(CLIENT_SECRET)}`)}`,
        },
        body: new URLSearchParams({ grant_type: "client_credentials", resource: audience }),
      });
      const body = (await response.json()) as { access_token?: string };
      if (!body.access_token) throw new Error(JSON.stringify(body));
      return body.access_token;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface SigningKey {
  jwk: Record<string, unknown>;
  privateKey: KeyObject;
}

export function signingKey(kid: string): SigningKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "ES256" };
  return { jwk, privateKey };
}

const MAX_STEPS = 12;

async function browse(first: string, issuer: string): Promise<{ url: string; page: string }> {
  const cookies = new Map<string, string>();
  let url = first;
  for (let step = 0; step < MAX_STEPS; step += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [name = "", value = ""] = (line.split(";")[0] ?? "").split("=");
      if (value) cookies.set(name, value);
      else cookies.delete(name);
    }
    const location = response.headers.get("location");
    const page = await response.text();
    if (!location) return { url, page };
    url = new URL(location, url).href;
    if (!url.startsWith(issuer)) return { url, page: "" };
  }
  throw new Error("the provider sends the browser round and round");
}
