import type { SignInDeps } from "./deps.ts";
import { createIdentities } from "./identities.ts";
import { createOidcClients } from "./oidc-client.ts";
import { createPasskeys } from "./passkeys.ts";
import { createPasswordSignIn } from "./password-sign-in.ts";
import { createProviderSignIn } from "./provider-sign-in.ts";
import { createProviders } from "./providers.ts";
import { createSecondFactors } from "./second-factor.ts";
import { createServiceAccounts } from "./service-accounts.ts";
import { createSessions } from "./sessions.ts";

export type SignIn = ReturnType<typeof createSignIn>;

/** How people prove who they are, and the sessions that follow from it. */
export function createSignIn(deps: SignInDeps) {
  const sessions = createSessions(deps);
  const factors = createSecondFactors(deps);
  const clients = createOidcClients(deps);
  const providers = createProviders(deps, clients);
  return {
    sessions,
    providers,
    identities: createIdentities(deps),
    factors,
    serviceAccounts: createServiceAccounts(deps),
    passkeys: createPasskeys({ ...deps, sessions, factors }),
    withPassword: createPasswordSignIn({ ...deps, sessions, factors }),
    withProvider: createProviderSignIn({ ...deps, sessions, providers, clients }),
  };
}
