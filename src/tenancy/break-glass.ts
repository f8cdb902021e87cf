import { alsoInTenant, type Database, isForeignKeyViolation, type Tx } from "../db/index.ts";
import { AppError, type Clock, LIMITS, timeOrderedId } from "../kernel/index.ts";
import { type Actor, PLATFORM_CHAIN } from "./actor.ts";
import type { Audit } from "./audit.ts";
import { auditText } from "./audit-details.ts";
import * as store from "./break-glass-store.ts";
import { BREAK_GLASS_ROLES, type BreakGlassRole, type Principal } from "./permissions.ts";

export interface BreakGlassRequest {
  role: BreakGlassRole;
  /** What the tenant's administrators and auditors read. */
  reason: string;
  minutes: number;
}

export interface BreakGlassView {
  id: string;
  tenantId: string;
  by: string;
  role: BreakGlassRole;
  reason: string;
  openedAt: Date;
  expiresAt: Date;
  endedAt: Date | null;
}

/** Tells the tenant, in the transaction in which the entry is recorded: none is without the other. */
export type TellTenant = (opened: BreakGlassView, tx: Tx) => Promise<unknown>;

/**
 * Entry of a platform's operator into a tenant: for a reason, for a while, recorded in the tenant's
 * audit log and in the platform's before it opens.
 */
export interface BreakGlass {
  /** `forbidden` to all but operators of the platform; `not-found` for a tenant that is not there. */
  open(
    tenantId: string,
    request: BreakGlassRequest,
    principal: Principal,
    actor: Actor,
    tell?: TellTenant,
  ): Promise<BreakGlassView>;
  /** `not-found` where the person has none open. */
  end(tenantId: string, principal: Principal, actor: Actor): Promise<string[]>;
  /** The newest first: those of the tenant's whole life, a page at most. */
  list(tenantId: string): Promise<BreakGlassView[]>;
}

export const BREAK_GLASS = { minMinutes: 5, maxMinutes: 480, minReason: 10, maxReason: 500 };

export function createBreakGlass(deps: {
  db: Database;
  clock: Clock;
  audit: Audit;
  forget: () => void;
}): BreakGlass {
  const { db, clock, audit } = deps;

  return {
    async open(tenantId, request, principal, actor, tell) {
      const userId = operatorOf(principal);
      const reason = checkRequest(request);
      const now = clock.now();
      const row: store.BreakGlassRow = {
        id: timeOrderedId(now),
        tenant_id: tenantId,
        user_id: userId,
        role: request.role,
        reason,
        opened_at: new Date(now),
        expires_at: new Date(now + request.minutes * 60_000),
        ended_at: null,
      };
      const details = { reason, role: row.role, expiresAt: row.expires_at, tenant: tenantId };
      const entry = { ...record(actor, "break-glass.open", row.id), details };
      const view = viewOf({ ...row, email: actor.name });
      const opening = db.platform(async (tx) => {
        await store.insertBreakGlass(tx, row);
        await audit.record(tx, PLATFORM_CHAIN, entry);
        await audit.record(tx, tenantId, entry);
        await alsoInTenant(tx, tenantId);
        await tell?.(view, tx);
      });
      await opening.catch((error) => {
        if (!isForeignKeyViolation(error)) throw error;
        throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
      });
      deps.forget();
      return view;
    },

    async end(tenantId, principal, actor) {
      const userId = operatorOf(principal);
      const ended = await db.platform(async (tx) => {
        const ids = await store.endOnes(tx, tenantId, userId, new Date(clock.now()));
        for (const id of ids) {
          await audit.record(tx, PLATFORM_CHAIN, record(actor, "break-glass.end", id));
        }
        for (const id of ids)
          await audit.record(tx, tenantId, record(actor, "break-glass.end", id));
        return ids;
      });
      deps.forget();
      if (ended.length > 0) return ended;
      throw new AppError("not-found", "you have not broken the glass of this tenant");
    },

    async list(tenantId) {
      const rows = await db.platform((tx) => store.listBreakGlass(tx, tenantId, LIMITS.pageSize));
      return rows.map(viewOf);
    },
  };
}

function operatorOf({ actor, platformRole }: Principal): string {
  if (platformRole === "platform-operator" && actor.kind === "user") return actor.id;
  const isAdministrator = platformRole === "platform-administrator";
  const why = isAdministrator
    ? "an administrator of the platform is let in without"
    : "only an operator of the platform breaks the glass";
  throw new AppError("forbidden", why);
}

function checkRequest({ role, reason, minutes }: BreakGlassRequest): string {
  const { minMinutes, maxMinutes, minReason, maxReason } = BREAK_GLASS;
  const text = auditText(reason).trim();
  const errors = [
    ...(BREAK_GLASS_ROLES.includes(role) ? [] : [{ field: "role", message: "is none of these" }]),
    ...(text.length >= minReason && text.length <= maxReason
      ? []
      : [{ field: "reason", message: `needs ${minReason} to ${maxReason} characters` }]),
    ...(Number.isInteger(minutes) && minutes >= minMinutes && minutes <= maxMinutes
      ? []
      : [
          { field: "minutes", message: `needs a whole number from ${minMinutes} to ${maxMinutes}` },
        ]),
  ];
  if (errors.length === 0) return text;
  throw new AppError("invalid-content", "the glass cannot be broken like this", { errors });
}

function record(actor: Actor, action: string, targetId: string) {
  return { actor, action, targetKind: "break-glass", targetId, outcome: "done" as const };
}

function viewOf(row: store.BreakGlassRow & { email: string }): BreakGlassView {
  return {
    id: row.id,
    tenantId: row.tenant_id,
    by: row.email,
    role: row.role,
    reason: row.reason,
    openedAt: row.opened_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
  };
}
