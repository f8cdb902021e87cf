import type { Database, Tx } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Actor } from "../tenancy/index.ts";
import { listChannels } from "./channel-store.ts";
import { dropGroupsWithout, hurryAllGroups } from "./group-store.ts";
import {
  type AlertPolicyDocument,
  checkPolicy,
  DEFAULT_POLICY,
  DEFAULT_ROUTE,
} from "./policy-document.ts";
import { lockPolicy, readPolicyRow, writePolicyRow } from "./policy-store.ts";
import { type Policy, readPolicy } from "./routing.ts";

export interface PolicyView {
  document: AlertPolicyDocument;
  /** Null where the tenant has said nothing, so that the defaults hold. */
  updatedAt: Date | null;
  updatedBy: string | null;
}

/** Who is told of what, how often, and what hides what: one document a tenant. */
export interface Policies {
  get(tenantId: string): Promise<PolicyView>;
  /** `precondition` throws where the policy is not as it should be. */
  replace(
    tenantId: string,
    document: AlertPolicyDocument,
    actor: Actor,
    precondition?: (policy: PolicyView) => void,
  ): Promise<PolicyView>;
}

export function createPolicies({ db, clock }: { db: Database; clock: Clock }): Policies {
  return {
    get: (tenantId) => db.tenant(tenantId, (tx) => viewOf(tx, tenantId)),
    replace: (tenantId, document, actor, precondition) =>
      db.tenant(tenantId, async (tx) => {
        await lockPolicy(tx, tenantId);
        precondition?.(await viewOf(tx, tenantId));
        checkPolicy(
          document,
          (await listChannels(tx, tenantId)).map(({ name }) => name),
        );
        const now = new Date(clock.now());
        await writePolicyRow(tx, tenantId, { document, updated_at: now, updated_by: actor.name });
        const routes = (document.routes ?? []).map(({ name }) => name);
        await dropGroupsWithout(tx, tenantId, [DEFAULT_ROUTE, ...routes]);
        await hurryAllGroups(tx, tenantId, now);
        return viewOf(tx, tenantId);
      }),
  };
}

async function viewOf(tx: Tx, tenantId: string): Promise<PolicyView> {
  const row = await readPolicyRow(tx, tenantId);
  return {
    document: row?.document ?? DEFAULT_POLICY,
    updatedAt: row?.updated_at ?? null,
    updatedBy: row?.updated_by ?? null,
  };
}

export async function policyOf(tx: Tx, tenantId: string): Promise<Policy> {
  return readPolicy((await readPolicyRow(tx, tenantId))?.document ?? DEFAULT_POLICY);
}
