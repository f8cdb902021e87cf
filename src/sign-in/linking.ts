import type { TenantRole } from "../tenancy/index.ts";
import type { ProviderRow } from "./providers-store.ts";

/** What a provider says of somebody; nothing but the subject is sure to be there. */
export type Claims = Readonly<Record<string, unknown>> & { sub: string };

export interface LinkFacts {
  claims: Claims;
  provider: Pick<
    ProviderRow,
    "links_by_email" | "creates_users" | "email_domains" | "role_mappings"
  >;
  /** The user who was signed in with this subject before. */
  linkedUser: { id: string; isDisabled: boolean } | undefined;
  /** The user who has the e-mail address, and whether another subject of the provider is theirs. */
  userByEmail: { id: string; isDisabled: boolean; hasOtherSubject: boolean } | undefined;
}

export type RefusalReason =
  | "no-account"
  | "unverified-email"
  | "foreign-domain"
  | "other-subject"
  | "disabled";

export type LinkDecision =
  | { kind: "known"; userId: string }
  | { kind: "link"; userId: string }
  | { kind: "create"; email: string; name: string }
  | { kind: "refuse"; reason: RefusalReason };

/** Whom an answer of a provider signs in. Whatever is not clearly somebody is nobody. */
export function decideLink({ claims, provider, linkedUser, userByEmail }: LinkFacts): LinkDecision {
  const refuse = (reason: RefusalReason): LinkDecision => ({ kind: "refuse", reason });
  if (linkedUser) {
    if (linkedUser.isDisabled) return refuse("disabled");
    return { kind: "known", userId: linkedUser.id };
  }
  const email = emailOf(claims);
  if (email === undefined) return refuse("no-account");
  // Only `true` itself: some providers let people write down any address.
  if (claims.email_verified !== true) return refuse("unverified-email");
  const domain = email.slice(email.lastIndexOf("@") + 1);
  if (provider.email_domains.length > 0 && !provider.email_domains.includes(domain)) {
    return refuse("foreign-domain");
  }
  if (userByEmail) {
    if (!provider.links_by_email) return refuse("no-account");
    if (userByEmail.isDisabled) return refuse("disabled");
    // An address that has gone from one person to another must not bring the user along.
    if (userByEmail.hasOtherSubject) return refuse("other-subject");
    return { kind: "link", userId: userByEmail.id };
  }
  if (!provider.creates_users || grantsFor(claims, provider.role_mappings).size === 0) {
    return refuse("no-account");
  }
  const name = typeof claims.name === "string" ? claims.name.trim().slice(0, 128) : "";
  return { kind: "create", email, name: name || email };
}

/** In small letters, as users are kept; undefined where there is none to speak of. */
export function emailOf(claims: Claims): string | undefined {
  const { email } = claims;
  if (typeof email !== "string") return undefined;
  const small = email.trim().toLowerCase();
  return /^[^\s@]{1,64}@[^\s@]{1,189}$/.test(small) ? small : undefined;
}

const MAX_VALUES = 1_000;

/** The role in each tenant that the mappings give; of two for one tenant the first. */
export function grantsFor(
  claims: Claims,
  mappings: ProviderRow["role_mappings"],
): Map<string, TenantRole> {
  const grants = new Map<string, TenantRole>();
  for (const { claim, value, tenantId, role } of mappings) {
    if (!grants.has(tenantId) && valuesOf(claims, claim).includes(value)) {
      grants.set(tenantId, role);
    }
  }
  return grants;
}

/** A text, or each text of a list; `a.b` looks into objects, as Keycloak's `realm_access.roles`. */
function valuesOf(claims: Claims, claim: string): string[] {
  let value: unknown = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
  if (value === undefined) {
    value = claim
      .split(".")
      .reduce<unknown>(
        (inner, key) =>
          typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
            ? (inner as Record<string, unknown>)[key]
            : undefined,
        claims,
      );
  }
  const values = Array.isArray(value) ? value.slice(0, MAX_VALUES) : [value];
  return values.filter((one) => typeof one === "string");
}
