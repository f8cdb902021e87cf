import { isUniqueViolation, type Tx } from "../db/index.ts";
import { AppError } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { type Actor, auditChange, PLATFORM_CHAIN } from "../tenancy/index.ts";
import type { SignInDeps } from "./deps.ts";
import type { OidcClients } from "./oidc-client.ts";
import {
  checkIssuer,
  checkLists,
  checkProviderId,
  type ProviderSettings,
  secretContext,
} from "./provider-fields.ts";
import * as store from "./providers-store.ts";

const MAX_PROVIDERS = 50;
const DEFAULT_SCOPES = ["openid", "email", "profile"];

export interface ProviderView {
  id: string;
  name: string;
  issuer: string;
  clientId: string;
  /** Whether there is a secret; it is never told. */
  hasSecret: boolean;
  scopes: string[];
  linksByEmail: boolean;
  createsUsers: boolean;
  emailDomains: string[];
  roleMappings: store.RoleMapping[];
  enabled: boolean;
  createdAt: Date;
  updatedAt: Date;
}

export type Providers = ReturnType<typeof createProviders>;

/** OpenID providers, as the platform's administrators name them. */
export function createProviders(deps: SignInDeps, clients: OidcClients) {
  const { db, clock, sealer, tenancy } = deps;
  const isPrivate = (origin: string) =>
    deps.allowPrivateAddresses === true || (deps.privateIssuers ?? []).includes(origin);

  function rowOf(id: string, settings: ProviderSettings, known?: store.ProviderRow) {
    checkProviderId(id);
    checkLists(settings);
    const now = new Date(clock.now());
    const scopes = settings.scopes ?? known?.scopes ?? DEFAULT_SCOPES;
    const { clientSecret } = settings;
    const row: store.ProviderRow = {
      id,
      name: settings.name.trim(),
      issuer: checkIssuer(settings.issuer, isPrivate),
      client_id: settings.clientId,
      client_secret_sealed:
        clientSecret === undefined
          ? (known?.client_secret_sealed ?? null)
          : clientSecret === null
            ? null
            : sealer.seal(clientSecret, secretContext(id)),
      // Without it the answer has no ID token (OpenID Connect Core 1.0 §3.1.2.1).
      scopes: [...new Set(["openid", ...scopes])],
      links_by_email: settings.linksByEmail ?? known?.links_by_email ?? true,
      creates_users: settings.createsUsers ?? known?.creates_users ?? false,
      email_domains: settings.emailDomains ?? known?.email_domains ?? [],
      role_mappings: settings.roleMappings ?? known?.role_mappings ?? [],
      enabled: settings.enabled ?? known?.enabled ?? true,
      created_at: known?.created_at ?? now,
      updated_at: now,
    };
    // A secret belongs to one issuer: sent to another it would be given away.
    if (known && clientSecret === undefined && known.client_secret_sealed !== null) {
      if (known.issuer !== row.issuer || known.client_id !== row.client_id) {
        throw new AppError("invalid-content", "another issuer or client needs its own secret", {
          errors: [{ field: "clientSecret", message: "is needed with a new issuer or client" }],
        });
      }
    }
    return row;
  }

  async function refuseUnknownTenants(tx: Tx, mappings: readonly store.RoleMapping[]) {
    const wanted = [...new Set(mappings.map(({ tenantId }) => tenantId))];
    const known = await store.existingTenants(tx, wanted);
    const missing = wanted.find((id) => !known.includes(id));
    if (missing === undefined) return;
    throw new AppError("not-found", "a mapping names a tenant that there is not", {
      tenant: missing,
    });
  }

  async function create(id: string, settings: ProviderSettings, actor: Actor) {
    const row = rowOf(id, settings);
    try {
      await db.platform(async (tx) => {
        if ((await store.countProviders(tx)) >= MAX_PROVIDERS) {
          throw new AppError("quota-exceeded", `there can be ${MAX_PROVIDERS} providers`);
        }
        await refuseUnknownTenants(tx, row.role_mappings);
        await store.insertProvider(tx, row);
        await tenancy.audit.record(tx, PLATFORM_CHAIN, entry(actor, "provider.create", row));
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new AppError("already-exists", "there is a provider of this name", { provider: id });
    }
    return viewOf(row);
  }

  /** The settings as a whole; the secret stays where none is given. */
  async function replace(id: string, settings: ProviderSettings, actor: Actor) {
    const now = new Date(clock.now());
    const row = await db.platform(async (tx) => {
      const known = await store.lockProvider(tx, id);
      if (!known) throw noSuchProvider(id);
      const row = rowOf(id, settings, known);
      await refuseUnknownTenants(tx, row.role_mappings);
      await store.updateProvider(tx, row);
      const isOther = known.issuer !== row.issuer || known.client_id !== row.client_id;
      if (!row.enabled || isOther) await store.revokeSessionsByProvider(tx, id, now);
      const record = entry(actor, "provider.update", row);
      await tenancy.audit.record(tx, PLATFORM_CHAIN, {
        ...record,
        details: auditChange(
          { ...detailsOf(known), secret: fingerprint(known) },
          { ...record.details, secret: fingerprint(row) },
        ),
      });
      return row;
    });
    clients.forget(id);
    tenancy.forget();
    return viewOf(row);
  }

  async function remove(id: string, actor: Actor): Promise<void> {
    await db.platform(async (tx) => {
      const known = await store.lockProvider(tx, id);
      if (!known) throw noSuchProvider(id);
      await store.deleteProvider(tx, id);
      await tenancy.audit.record(tx, PLATFORM_CHAIN, entry(actor, "provider.delete", known));
    });
    clients.forget(id);
    tenancy.forget();
  }

  return {
    create,
    replace,
    remove,
    list: async () => (await db.platform(store.listProviders)).map(viewOf),
    /** What a sign-in page needs: nothing that is not for everybody. */
    async offered() {
      const rows = await db.platform(store.listProviders);
      return rows.filter(({ enabled }) => enabled).map(({ id, name }) => ({ id, name }));
    },
    /** Asks the provider who it says that it is. */
    async check(id: string) {
      const row = await db.platform((tx) => store.findProvider(tx, id));
      if (!row) throw noSuchProvider(id);
      clients.forget(id);
      return clients.describe(row);
    },
    async usable(id: string): Promise<store.ProviderRow> {
      const row = await db.platform((tx) => store.findProvider(tx, id));
      if (!row?.enabled) throw noSuchProvider(id);
      return row;
    },
  };
}

function noSuchProvider(id: string): AppError {
  return new AppError("not-found", "there is no such sign-in provider", { provider: id });
}

function entry(actor: Actor, action: string, row: store.ProviderRow) {
  const target = { targetKind: "provider", targetId: row.id };
  return { actor, action, ...target, outcome: "done" as const, details: detailsOf(row) };
}

function detailsOf(row: store.ProviderRow): Record<string, unknown> {
  const { createdAt: _, updatedAt: __, ...details } = viewOf(row);
  return details;
}

/** Tells that a secret was changed, and nothing of it: it is of what is sealed. */
function fingerprint({ client_secret_sealed: sealed }: store.ProviderRow): string | null {
  return sealed && hashSecret(sealed.toString("base64")).toString("hex").slice(0, 12);
}

function viewOf(row: store.ProviderRow): ProviderView {
  return {
    id: row.id,
    name: row.name,
    issuer: row.issuer,
    clientId: row.client_id,
    hasSecret: row.client_secret_sealed !== null,
    scopes: row.scopes,
    linksByEmail: row.links_by_email,
    createsUsers: row.creates_users,
    emailDomains: row.email_domains,
    roleMappings: row.role_mappings,
    enabled: row.enabled,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
