import type { Database } from "../db/index.ts";
import {
  AppError,
  type Clock,
  isUuid,
  LIMITS,
  randomSecret,
  timeOrderedId,
} from "../kernel/index.ts";
import { hashSecret } from "../kernel/sealing.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import * as store from "./enrolment-store.ts";

/** Lets devices enrol themselves: which ids, how many, until when, and what they are. */
export interface NewClaimToken extends store.DeviceAttributes {
  name: string;
  /** Device ids: `*` stands for any characters, `?` for one. */
  devicePattern: string;
  maxUses: number;
  expiresAt: Date;
}

export interface ClaimTokenView {
  id: string;
  name: string;
  devicePattern: string;
  product: string;
  hardwareRevision: string;
  region: string;
  tags: Record<string, string>;
  maxUses: number;
  usedCount: number;
  createdBy: string;
  createdAt: Date;
  expiresAt: Date;
  revokedAt: Date | null;
}

export interface ClaimTokens {
  /** The token is shown this once. */
  create(
    tenantId: string,
    token: NewClaimToken,
    actor: Actor,
  ): Promise<{ id: string; token: string }>;
  list(tenantId: string): Promise<ClaimTokenView[]>;
  revoke(tenantId: string, id: string, actor: Actor): Promise<void>;
}

const PREFIX = "vct_";
const PATTERN = /^[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,127}$/;
const MAX_USES = 1_000_000;

export function createClaimTokens(deps: {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
}): ClaimTokens {
  const { db, clock, tenancy } = deps;
  return {
    async create(tenantId, token, actor) {
      const now = new Date(clock.now());
      check(token, now);
      const secret = PREFIX + randomSecret();
      const row: store.ClaimTokenRow = {
        id: timeOrderedId(now.getTime()),
        name: token.name,
        device_pattern: token.devicePattern,
        product: token.product,
        hardware_revision: token.hardwareRevision,
        region: token.region ?? "",
        tags: token.tags ?? {},
        max_uses: token.maxUses,
        used_count: 0,
        created_by: actor.name,
        created_at: now,
        expires_at: token.expiresAt,
        revoked_at: null,
      };
      await db.tenant(tenantId, async (tx) => {
        if (!(await store.tenantStatus(tx, tenantId))) {
          throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
        }
        await store.insertClaimToken(tx, tenantId, { ...row, token_hash: hashSecret(secret) });
        const { name, devicePattern, maxUses, expiresAt } = token;
        await tenancy.audit.record(tx, tenantId, {
          ...entry(actor, "claim-token.create", row.id),
          details: { name, devicePattern, maxUses, expiresAt },
        });
      });
      return { id: row.id, token: secret };
    },

    async list(tenantId) {
      const rows = await db.tenant(tenantId, (tx) =>
        store.listClaimTokens(tx, tenantId, LIMITS.pageSize),
      );
      return rows.map(viewOf);
    },

    async revoke(tenantId, id, actor) {
      await db.tenant(tenantId, async (tx) => {
        const now = new Date(clock.now());
        const name = isUuid(id) ? await store.revokeClaimToken(tx, tenantId, id, now) : undefined;
        if (name === undefined) {
          throw new AppError("not-found", "there is no such claim token in use", { token: id });
        }
        const record = { ...entry(actor, "claim-token.revoke", id), details: { name } };
        await tenancy.audit.record(tx, tenantId, record);
      });
    },
  };
}

/** Why a claim token does not permit an enrolment at present, or undefined where it does. */
export function claimProblem(
  token: store.ClaimTokenRow | undefined,
  deviceId: string,
  now: Date,
): "unknown" | "revoked" | "expired" | "used-up" | "pattern" | undefined {
  if (!token) return "unknown";
  if (token.revoked_at !== null) return "revoked";
  if (token.expires_at <= now) return "expired";
  if (!matchesPattern(token.device_pattern, deviceId)) return "pattern";
  if (token.used_count >= token.max_uses) return "used-up";
  return undefined;
}

/** Whether `text` matches a pattern of `*` and `?`; in time that grows with the product of both. */
export function matchesPattern(pattern: string, text: string): boolean {
  let inPattern = 0;
  let inText = 0;
  let star = -1;
  let restart = 0;
  while (inText < text.length) {
    const expected = pattern[inPattern];
    if (expected === "*") {
      star = inPattern;
      restart = inText;
      inPattern += 1;
    } else if (expected === "?" || expected === text[inText]) {
      inPattern += 1;
      inText += 1;
    } else if (star >= 0) {
      // The last star takes one more character, and what follows it is tried again.
      restart += 1;
      inText = restart;
      inPattern = star + 1;
    } else return false;
  }
  while (pattern[inPattern] === "*") inPattern += 1;
  return inPattern === pattern.length;
}

function check(token: NewClaimToken, now: Date): void {
  const errors: { field: string; message: string }[] = [];
  if (token.name.trim() === "" || token.name.length > 100) {
    errors.push({ field: "name", message: "needs 1 to 100 characters" });
  }
  if (!PATTERN.test(token.devicePattern)) {
    errors.push({ field: "devicePattern", message: "needs letters, digits, . _ - * ?" });
  }
  if (!Number.isInteger(token.maxUses) || token.maxUses < 1 || token.maxUses > MAX_USES) {
    errors.push({ field: "maxUses", message: `needs a whole number from 1 to ${MAX_USES}` });
  }
  if (!(token.expiresAt > now)) errors.push({ field: "expiresAt", message: "lies in the past" });
  if (errors.length > 0) {
    throw new AppError("invalid-content", "the claim token is not valid", { errors });
  }
}

function entry(actor: Actor, action: string, id: string) {
  return { actor, action, targetKind: "claim-token", targetId: id, outcome: "done" as const };
}

function viewOf(row: store.ClaimTokenRow): ClaimTokenView {
  return {
    id: row.id,
    name: row.name,
    devicePattern: row.device_pattern,
    product: row.product,
    hardwareRevision: row.hardware_revision,
    region: row.region,
    tags: row.tags,
    maxUses: row.max_uses,
    usedCount: row.used_count,
    createdBy: row.created_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}
