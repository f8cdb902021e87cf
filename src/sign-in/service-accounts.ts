import { isForeignKeyViolation, isUniqueViolation } from "../db/index.ts";
import { AppError, isUuid, randomSecret, timeOrderedId } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { hashSecret } from "../kernel/sealing.ts";
import type { Actor, Permission, TenantRole } from "../tenancy/index.ts";
import { type Condition, checkConditions, unmetCondition } from "./conditions.ts";
import type { SignInDeps } from "./deps.ts";
import { CLOCK_TOLERANCE_S, createFederatedTokens } from "./federated-token.ts";
import { reasonOf } from "./oidc-client.ts";
import { checkIssuer } from "./provider-fields.ts";
import * as store from "./service-accounts-store.ts";

const MAX_PER_TENANT = 100;
const MAX_LIVE_KEYS = 1_000;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const DEFAULT_LIFETIME_S = 900;
/** An issuer may say that its token never ends. */
const MAX_MOMENT = Date.UTC(9_999, 0);

export interface NewServiceAccount {
  name: string;
  issuer: string;
  audience: string;
  conditions: Condition[];
  role: TenantRole;
  scopes?: Permission[];
  lifetimeSeconds?: number;
}

export interface ServiceAccountView {
  id: string;
  name: string;
  issuer: string;
  audience: string;
  conditions: Condition[];
  role: TenantRole;
  scopes: string[] | null;
  lifetimeSeconds: number;
  createdAt: Date;
  lastUsedAt: Date | null;
}

export interface ExchangedKey {
  key: string;
  expiresAt: Date;
  lifetimeSeconds: number;
  scopes: string[] | null;
}

const outcomes = counter("vautn_token_exchanges_total", "Tokens of other issuers, for a key", [
  "outcome",
]);

/** Programs elsewhere that get a short key for a token of their own issuer (RFC 8693). */
export function createServiceAccounts(deps: SignInDeps) {
  const { db, clock, tenancy } = deps;
  const { audit } = tenancy;
  const verify = createFederatedTokens(deps);
  const isPrivate = (origin: string) =>
    deps.allowPrivateAddresses === true || (deps.privateIssuers ?? []).includes(origin);

  async function create(
    tenantId: string,
    account: NewServiceAccount,
    actor: Actor,
  ): Promise<ServiceAccountView> {
    if (!NAME.test(account.name)) {
      throw new AppError("invalid-content", "a name has small letters, digits and hyphens", {
        errors: [{ field: "name", message: "needs small letters, digits and hyphens" }],
      });
    }
    checkConditions(account.issuer, account.conditions);
    const row: store.ServiceAccountRow = {
      tenant_id: tenantId,
      id: timeOrderedId(clock.now()),
      name: account.name,
      issuer: checkIssuer(account.issuer, isPrivate),
      audience: account.audience,
      conditions: account.conditions.map(({ claim, value }) => ({ claim, value })),
      role: account.role,
      scopes: account.scopes ? [...new Set(account.scopes)].sort() : null,
      lifetime_seconds: account.lifetimeSeconds ?? DEFAULT_LIFETIME_S,
      created_by: actor.name,
      created_at: new Date(clock.now()),
      last_used_at: null,
    };
    try {
      await db.tenant(tenantId, async (tx) => {
        if ((await store.listServiceAccounts(tx, tenantId)).length >= MAX_PER_TENANT) {
          throw new AppError("quota-exceeded", `a tenant can have ${MAX_PER_TENANT}`);
        }
        await store.insertServiceAccount(tx, row);
        const { createdAt: _, lastUsedAt: __, id: ___, ...details } = viewOf(row);
        const record = entry(actor, "service-account.create", row.id);
        await audit.record(tx, tenantId, { ...record, details });
      });
    } catch (error) {
      if (isForeignKeyViolation(error)) throw new AppError("not-found", "there is no such tenant");
      if (!isUniqueViolation(error)) throw error;
      throw new AppError("already-exists", "there is a service account of this name");
    }
    return viewOf(row);
  }

  async function remove(tenantId: string, id: string, actor: Actor): Promise<void> {
    await db.tenant(tenantId, async (tx) => {
      const name = isUuid(id) ? await store.deleteServiceAccount(tx, tenantId, id) : undefined;
      if (name === undefined) {
        throw new AppError("not-found", "there is no such service account", { serviceAccount: id });
      }
      const record = entry(actor, "service-account.delete", id);
      await audit.record(tx, tenantId, { ...record, details: { name } });
    });
    tenancy.forget();
  }

  /**
   * A key for a token, once. `invalid-credentials` whatever is wrong, and for what there is not: a stranger
   * learns nothing of tenants and accounts. Why, stands in the tenant's audit log where the token was
   * genuine, else in the platform's log.
   */
  async function exchange(
    request: { token: string; tenantId: string; name: string },
    address: string,
  ): Promise<ExchangedKey> {
    const { tenantId, name } = request;
    const account = await db.tenant(tenantId, (tx) => store.findServiceAccount(tx, tenantId, name));
    if (!account) throw refused("unknown");
    const claims = await verify(request.token, account).catch((error) => {
      deps.logger.warn({ tenantId, account: name, reason: reasonOf(error) }, "a token was refused");
      throw refused("bad-token", error);
    });
    const subject = String(claims.sub).slice(0, 200);
    const actor: Actor = { kind: "api-key", id: account.id, name: `${name} (${subject})`, address };
    const refuse = async (outcome: string, reason: string) => {
      await db.tenant(tenantId, (tx) =>
        audit.record(tx, tenantId, {
          ...entry(actor, "service-account.exchange", account.id),
          ...{ outcome: "refused", details: { reason, subject } },
        }),
      );
      return refused(outcome);
    };
    const unmet = unmetCondition(claims, account.conditions);
    if (unmet) throw await refuse("unfit", `the claim ${unmet.claim} does not fit`);
    const used = { hash: signedPartOf(request.token), expiresAt: endOf(claims) };
    const key = await makeKey(account, actor, { subject, used });
    if (!key) throw await refuse("used", "the token has been exchanged before");
    outcomes.inc({ outcome: "done" });
    return key;
  }

  /** Undefined where the token has been used before. */
  async function makeKey(
    account: store.ServiceAccountRow,
    actor: Actor,
    { subject, used }: { subject: string; used: { hash: Buffer; expiresAt: Date } },
  ): Promise<ExchangedKey | undefined> {
    const { tenant_id: tenantId, lifetime_seconds: lifetimeSeconds } = account;
    const now = new Date(clock.now());
    const key = `vk_${randomSecret()}`;
    const expiresAt = new Date(now.getTime() + lifetimeSeconds * 1000);
    const id = timeOrderedId(now.getTime());
    const isMade = await db.tenant(tenantId, async (tx) => {
      // RFC 7523 §3 (7): a token that was seen by somebody else is of no use to them.
      if (!(await store.useToken(tx, { tenantId, accountId: account.id, ...used }, now))) {
        return false;
      }
      if (!(await store.touchServiceAccount(tx, tenantId, account.id, now)))
        throw refused("unknown");
      if ((await store.tidyKeys(tx, tenantId, account.id, now)) >= MAX_LIVE_KEYS) {
        throw new AppError("rate-limited", `${MAX_LIVE_KEYS} keys of this account live already`);
      }
      await store.insertServiceKey(tx, {
        ...{ tenant_id: tenantId, id, service_account_id: account.id },
        name: `${account.name} (${subject})`.slice(0, 128),
        role: account.role,
        scopes: account.scopes,
        key_hash: hashSecret(key),
        created_by: account.name,
        created_at: now,
        expires_at: expiresAt,
      });
      const details = { key: id, subject, role: account.role, expiresAt };
      const record = entry(actor, "service-account.exchange", account.id);
      await audit.record(tx, tenantId, { ...record, details });
      return true;
    });
    if (!isMade) return undefined;
    return { key, expiresAt, lifetimeSeconds, scopes: account.scopes };
  }

  return {
    create,
    remove,
    exchange,
    async list(tenantId: string): Promise<ServiceAccountView[]> {
      const rows = await db.tenant(tenantId, (tx) => store.listServiceAccounts(tx, tenantId));
      return rows.map(viewOf);
    },
  };
}

function entry(actor: Actor, action: string, id: string) {
  const target = { targetKind: "service-account", targetId: id };
  return { actor, action, ...target, outcome: "done" as const };
}

/** What the issuer has signed: of some signatures there is a second form, which is as valid. */
function signedPartOf(token: string): Buffer {
  return hashSecret(token.slice(0, token.lastIndexOf(".")));
}

/** Until then, and for what clocks may differ by, a token is taken. */
function endOf({ exp = 0 }: { exp?: number | undefined }): Date {
  return new Date(Math.min((exp + CLOCK_TOLERANCE_S + 1) * 1_000, MAX_MOMENT));
}

function refused(outcome: string, cause?: unknown): AppError {
  outcomes.inc({ outcome });
  // Who brings a genuine token is no stranger.
  const why =
    outcome === "used"
      ? "the token has been exchanged before: each run of a job needs one of its own"
      : "the token gives nobody a key here";
  return new AppError("invalid-credentials", why, {}, { cause });
}

function viewOf(row: store.ServiceAccountRow): ServiceAccountView {
  return {
    id: row.id,
    name: row.name,
    issuer: row.issuer,
    audience: row.audience,
    conditions: row.conditions,
    role: row.role,
    scopes: row.scopes,
    lifetimeSeconds: row.lifetime_seconds,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  };
}
