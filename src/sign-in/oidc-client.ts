import * as oidc from "openid-client";
import { createGuardedFetch } from "../kernel/guarded-fetch.ts";
import { AppError, messageOf } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { SignInDeps } from "./deps.ts";
import { secretContext } from "./provider-fields.ts";
import type { ProviderRow } from "./providers-store.ts";

/** How long a provider's description is believed: addresses and algorithms change seldom. */
const DESCRIPTION_MS = 3_600_000;
const MAX_CLIENTS = 64;
const TIMEOUT_S = 10;

export type OidcClients = ReturnType<typeof createOidcClients>;

/** Clients of providers: discovered once an hour, by guarded requests alone. */
export function createOidcClients(deps: SignInDeps) {
  const { clock, sealer } = deps;
  const guarded = createGuardedFetch({
    clock,
    allowPrivateAddresses: deps.allowPrivateAddresses ?? false,
    privateOrigins: deps.privateIssuers ?? [],
    timeoutMs: TIMEOUT_S * 1000,
  });
  const known = new TtlCache<Promise<oidc.Configuration>>({
    clock,
    ttlMs: DESCRIPTION_MS,
    maxEntries: MAX_CLIENTS,
  });

  async function discover(row: ProviderRow): Promise<oidc.Configuration> {
    const options: oidc.DiscoveryRequestOptions = {
      [oidc.customFetch]: guarded as oidc.CustomFetch,
      timeout: TIMEOUT_S,
      execute: row.issuer.startsWith("http:") ? [oidc.allowInsecureRequests] : [],
    };
    let server: oidc.ServerMetadata;
    try {
      const found = await oidc.discovery(
        new URL(row.issuer),
        row.client_id,
        {},
        oidc.None(),
        options,
      );
      server = found.serverMetadata();
    } catch (error) {
      throw new AppError(
        "provider-unavailable",
        `the provider's description cannot be read: ${reasonOf(error)}`,
        { provider: row.id },
        { cause: error },
      );
    }
    const client = new oidc.Configuration(
      { ...server, ...asymmetricOnly(server) },
      row.client_id,
      {},
      clientAuthentication(row, server),
    );
    client[oidc.customFetch] = guarded as oidc.CustomFetch;
    client.timeout = TIMEOUT_S;
    if (row.issuer.startsWith("http:")) oidc.allowInsecureRequests(client);
    // The signature counts too, not only the line that the token came over.
    oidc.enableNonRepudiationChecks(client);
    return client;
  }

  function clientAuthentication(row: ProviderRow, server: oidc.ServerMetadata): oidc.ClientAuth {
    if (row.client_secret_sealed === null) return oidc.None();
    const secret = sealer.open(row.client_secret_sealed, secretContext(row.id)).toString();
    const methods = server.token_endpoint_auth_methods_supported;
    // OpenID Connect Discovery 1.0 §3: client_secret_basic where nothing is said.
    const isBasic = methods === undefined || methods.includes("client_secret_basic");
    return isBasic ? oidc.ClientSecretBasic(secret) : oidc.ClientSecretPost(secret);
  }

  function clientOf(row: ProviderRow): Promise<oidc.Configuration> {
    const key = `${row.id} ${row.updated_at.getTime()}`;
    const cached = known.get(key);
    if (cached) return cached;
    const fresh = discover(row);
    known.set(key, fresh);
    // What has failed is asked again, not remembered.
    fresh.catch(() => known.delete(key));
    return fresh;
  }

  return {
    clientOf,
    forget: (_id: string) => known.clear(),
    /** What the provider says of itself, for whoever sets it up. */
    async describe(row: ProviderRow) {
      const server = (await clientOf(row)).serverMetadata();
      return {
        issuer: server.issuer,
        authorizationEndpoint: server.authorization_endpoint ?? null,
        endSessionEndpoint: server.end_session_endpoint ?? null,
        supportsPkce: server.supportsPKCE("S256"),
        algorithms: asymmetricOnly(server).id_token_signing_alg_values_supported ?? ["RS256"],
      };
    },
  };
}

/** `none` and shared keys sign nothing here, whatever the provider says that it can. */
function asymmetricOnly(server: oidc.ServerMetadata): Partial<oidc.ServerMetadata> {
  const named = server.id_token_signing_alg_values_supported;
  if (!Array.isArray(named)) return {};
  const algorithms = named.filter((one) => /^(?:RS|PS|ES)(?:256|384|512)$|^Ed/.test(String(one)));
  return { id_token_signing_alg_values_supported: algorithms };
}

/** In words for a person, and nothing that the provider has sent. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
  const inner = cause ? `: ${messageOf(cause)}` : "";
  return `${messageOf(error)}${inner}`.slice(0, 300);
}
