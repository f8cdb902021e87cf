import type { Database } from "../db/index.ts";
import { AppError, isUuid, LIMITS, randomSecret, timeOrderedId } from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import { isTenantId } from "../protocol/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import * as store from "./claim-store.ts";
import { checkClaim, insertClaim, type NewClaim } from "./claims.ts";
import { type PolicyDeps, policyColumns } from "./policy.ts";

export type NewClaimToken = NewClaim;

export interface ClaimTokenView {
  id: string;
  kind: store.ClaimKind;
  name: string;
  devicePattern: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  maxUses: number;
  usedCount: number;
  approval: "automatic" | "preauthorised" | "pending";
  webhookUrl: string | null;
  /** Of kind `certificate` that this platform issued. */
  certificatePem: string | null;
  createdBy: string;
  createdAt: Date;
  expiresAt: Date;
  revokedAt: Date | null;
}

export interface CreatedClaim {
  id: string;
  /** Signs what the policy's webhook is told (Standard Webhooks form, `whsec_…`); shown this once. */
  webhookSecret?: string;
}

export interface ClaimTokens {
  /** The token is shown this once. */
  create(
    tenantId: string,
    claim: NewClaim,
    actor: Actor,
  ): Promise<CreatedClaim & { token: string }>;
  /** Reference and secret for CMP with a MAC; the secret is shown this once. */
  createSharedSecret(
    tenantId: string,
    claim: NewClaim,
    actor: Actor,
  ): Promise<CreatedClaim & { reference: string; secret: string }>;
  /** Claims of every kind, newest first. */
  list(tenantId: string): Promise<ClaimTokenView[]>;
  revoke(tenantId: string, id: string, actor: Actor): Promise<void>;
}

const TOKEN_PREFIX = "vct_";
const SECRET_PREFIX = "vcs_";

export interface ClaimDeps extends PolicyDeps {
  db: Database;
  tenancy: Pick<Tenancy, "audit">;
}

export function createClaimTokens(deps: ClaimDeps): ClaimTokens {
  const { db, clock, tenancy, sealer } = deps;

  async function create(
    kind: "token" | "shared-secret",
    secret: string,
    [tenantId, claim, actor]: [string, NewClaim, Actor],
  ): Promise<CreatedClaim> {
    const now = new Date(clock.now());
    checkClaim(claim, now);
    const id = timeOrderedId(now.getTime());
    const { columns, webhookSecret } = policyColumns(deps, tenantId, id, claim);
    const sealed =
      kind === "shared-secret"
        ? { secretSealed: sealer.seal(secret, secretContext(tenantId, id)) }
        : {};
    const particulars = { id, kind, hash: hashSecret(secret), columns, ...sealed };
    await db.tenant(tenantId, (tx) =>
      insertClaim(tx, tenancy, tenantId, claim, particulars, { actor, now }),
    );
    return { id, ...(webhookSecret ? { webhookSecret } : {}) };
  }

  return {
    async create(...request) {
      const token = TOKEN_PREFIX + randomSecret();
      return { ...(await create("token", token, request)), token };
    },

    async createSharedSecret(...request) {
      const secret = SECRET_PREFIX + randomSecret();
      const created = await create("shared-secret", secret, request);
      return { ...created, reference: referenceOf(request[0], created.id), secret };
    },

    async list(tenantId) {
      const rows = await db.tenant(tenantId, (tx) =>
        store.listClaims(tx, tenantId, LIMITS.pageSize),
      );
      return rows.map(viewOf);
    },

    async revoke(tenantId, id, actor) {
      await db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        const name = isUuid(id) ? await store.revokeClaim(tx, tenantId, id, now) : undefined;
        if (name === undefined) {
          throw new AppError("not-found", "there is no such claim in use", { token: id });
        }
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: "claim-token.revoke",
          targetKind: "claim-token",
          targetId: id,
          outcome: "done",
          details: { name },
        });
      });
    },
  };
}

/** What CMP's senderKID carries: it says the tenant, so that no secret is looked up across tenants. */
function referenceOf(tenantId: string, claimId: string): string {
  return `${tenantId}.${claimId}`;
}

/** Tenant and claim of a reference, or undefined where it is none of ours. */
export function parseReference(
  reference: string,
): { tenantId: string; claimId: string } | undefined {
  const dot = reference.indexOf(".");
  const tenantId = reference.slice(0, Math.max(0, dot));
  const claimId = reference.slice(dot + 1);
  return isTenantId(tenantId) && isUuid(claimId) ? { tenantId, claimId } : undefined;
}

/** Binds a sealed secret to its claim. */
export function secretContext(tenantId: string, claimId: string): string {
  return `claim-secret:${tenantId}:${claimId}`;
}

function viewOf(row: store.ClaimRow): ClaimTokenView {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    devicePattern: row.device_pattern,
    product: row.product,
    hardwareRevision: row.hardware_revision,
    region: row.region,
    tags: row.tags,
    maxUses: row.max_uses,
    usedCount: row.used_count,
    approval: row.approval,
    webhookUrl: row.webhook_url,
    certificatePem: row.certificate_pem,
    createdBy: row.created_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
