import type { Tx } from "../db/index.ts";
import { type Actor, auditChange, type TenantRole } from "../tenancy/index.ts";
import { deleteGrant, grantsOf, putGrant } from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import { existingTenants } from "./providers-store.ts";

/**
 * Makes the memberships that a provider has granted the ones that it grants now. What a person has
 * set, or another provider, stays as it is.
 */
export async function applyGrants(
  tx: Tx,
  { clock, tenancy }: Pick<SignInDeps, "clock" | "tenancy">,
  change: {
    userId: string;
    providerId: string;
    wanted: ReadonlyMap<string, TenantRole>;
    actor: Actor;
  },
): Promise<void> {
  const { userId, providerId, wanted, actor } = change;
  const now = new Date(clock.now());
  const current = await grantsOf(tx, userId);
  const isOurs = (tenantId: string) => {
    const found = current.find(({ tenant_id }) => tenant_id === tenantId);
    return found === undefined || found.granted_by === providerId;
  };
  const target = { actor, targetKind: "member", targetId: userId, outcome: "done" as const };
  const existing = await existingTenants(tx, [...wanted.keys()]);
  for (const tenantId of existing.filter(isOurs)) {
    const role = wanted.get(tenantId) as TenantRole;
    const known = current.find(({ tenant_id }) => tenant_id === tenantId);
    if (known?.role === role) continue;
    const row = { tenant_id: tenantId, user_id: userId, role, granted_by: providerId };
    await putGrant(tx, row, now);
    const details = { provider: providerId, ...auditChange({ role: known?.role }, { role }) };
    await tenancy.audit.record(tx, tenantId, { ...target, action: "member.set", details });
  }
  for (const { tenant_id: tenantId, granted_by: grantedBy, role } of current) {
    if (grantedBy !== providerId || wanted.has(tenantId)) continue;
    await deleteGrant(tx, userId, tenantId, providerId);
    const details = { provider: providerId, ...auditChange({ role }, { role: null }) };
    await tenancy.audit.record(tx, tenantId, { ...target, action: "member.remove", details });
  }
}
