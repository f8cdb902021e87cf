import type { SignInDeps } from "./deps.ts";
import { createIdentities } from "./identities.ts";
import { createOidcClients } from "./oidc-client.ts";
import { createPasswordSignIn } from "./password-sign-in.ts";
import { createProviderSignIn } from "./provider-sign-in.ts";
import { createProviders } from "./providers.ts";
import { createSessions } from "./sessions.ts";

export type SignIn = ReturnType<typeof createSignIn>;

/** How people prove who they are, and the sessions that follow from it. */
export function createSignIn(deps: SignInDeps) {
  const sessions = createSessions(deps);
  const clients = createOidcClients(deps);
  const providers = createProviders(deps, clients);
  return {
    sessions,
    providers,
    identities: createIdentities(deps),
    withPassword: createPasswordSignIn(deps, sessions),
    withProvider: createProviderSignIn({ ...deps, sessions, providers, clients }),
  };
}
