export type { IdentityView } from "./identities.ts";
export type { SignInRequest } from "./password-sign-in.ts";
export type { ProviderSettings } from "./provider-fields.ts";
export type { ProviderView } from "./providers.ts";
export type { RoleMapping } from "./providers-store.ts";
export type { Caller, SessionView, SignedIn } from "./sessions.ts";
export { createSignIn, type SignIn } from "./sign-in.ts";
