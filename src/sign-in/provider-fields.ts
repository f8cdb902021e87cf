import { AppError } from "../kernel/index.ts";
import { isTenantRole } from "../tenancy/index.ts";
import type { RoleMapping } from "./providers-store.ts";

export interface ProviderSettings {
  name: string;
  issuer: string;
  clientId: string;
  /** Absent: keep what there is; null: a public client. */
  clientSecret?: string | null;
  scopes?: string[];
  linksByEmail?: boolean;
  createsUsers?: boolean;
  emailDomains?: string[];
  roleMappings?: RoleMapping[];
  enabled?: boolean;
}

const PROVIDER_ID = /^[a-z0-9][a-z0-9-]{0,39}$/;
const MAX_URL_LENGTH = 512;
const MAX_MAPPINGS = 100;
const MAX_DOMAINS = 50;
const MAX_SCOPES = 20;
// RFC 6749 §3.3
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/;
const DOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/;

/** Where a provider's secret is sealed to. */
export function secretContext(providerId: string): string {
  return `sign-in provider ${providerId} client secret`;
}

export function checkProviderId(id: string): void {
  if (!PROVIDER_ID.test(id)) throw refusal("id", "needs small letters, digits and hyphens");
}

/**
 * An issuer as it stands in tokens: an https URL without query and fragment (OpenID Connect
 * Discovery 1.0 §3); plain HTTP only for an origin that the installation names.
 */
export function checkIssuer(text: string, isPrivate: (origin: string) => boolean): string {
  const url = text.length <= MAX_URL_LENGTH ? URL.parse(text) : null;
  if (!url || /[?#]/.test(text)) {
    throw refusal("issuer", "needs a URL without query and fragment");
  }
  if (url.username !== "" || url.password !== "") {
    throw refusal("issuer", "carries no credentials");
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isPrivate(url.origin))) {
    throw refusal("issuer", "needs https");
  }
  return text;
}

/** Every mapping, domain and scope in its form, or `invalid-content`. */
export function checkLists(settings: ProviderSettings): void {
  const { scopes = [], emailDomains = [], roleMappings = [] } = settings;
  if (scopes.length > MAX_SCOPES || !scopes.every((scope) => SCOPE.test(scope))) {
    throw refusal("scopes", `needs at most ${MAX_SCOPES} scopes`);
  }
  if (emailDomains.length > MAX_DOMAINS || !emailDomains.every((one) => DOMAIN.test(one))) {
    throw refusal("emailDomains", "needs domains such as example.com");
  }
  if (roleMappings.length > MAX_MAPPINGS) {
    throw refusal("roleMappings", `needs at most ${MAX_MAPPINGS}`);
  }
  for (const { claim, value, role } of roleMappings) {
    if (claim === "" || value === "" || !isTenantRole(role)) {
      throw refusal("roleMappings", "each needs a claim, a value, a tenant and a role");
    }
  }
}

function refusal(field: string, message: string): AppError {
  return new AppError("invalid-content", `the provider's ${field} ${message}`, {
    errors: [{ field, message }],
  });
}
