import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import * as store from "./authority-store.ts";
import { type AuthorityRow, authorityOf } from "./authority-types.ts";
import type { Revocations } from "./revocation.ts";

export interface ManagementDeps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  authorities: Authorities;
  revocations: Revocations;
  trustDomain: string;
}

export const MAX_AUTHORITIES = 50_000;
const PAGE = 1_000;

/** Ends a retiring authority, of a root with everything that only it signed. */
export async function endAuthority(
  deps: ManagementDeps,
  tenantId: string,
  authorityId: string,
  { force }: { force: boolean },
  actor: Actor,
): Promise<{ cutOff: number }> {
  const { db, clock, authorities } = deps;
  const rows = await db.platform((tx) => store.allAuthorities(tx, MAX_AUTHORITIES));
  const target = rows.find((row) => row.id === authorityId && row.tenant_id === tenantId);
  if (!target) throw new AppError("not-found", "there is no such authority", { authorityId });
  if (target.status !== "retiring") {
    const message = "only an authority whose successor has taken over can be ended";
    throw new AppError("conflict", message, { status: target.status });
  }
  const ended = [target, ...childrenOf(target, rows)];
  const stillActive = ended.filter((row) => row.kind === "server" && row.status === "active");
  if (stillActive.length > 0) {
    throw new AppError("conflict", "the server authority of the new root is not signed yet");
  }
  const now = new Date(clock.now());
  let live = 0;
  for (const row of ended.filter(({ kind }) => kind === "tenant")) {
    live += await db.tenant(row.tenant_id, (tx) => store.countLive(tx, row.tenant_id, row.id, now));
  }
  if (live > 0 && !force) {
    throw new AppError(
      "authority-in-use",
      `${live} certificates that it issued are in use: wait until they are renewed, or force it`,
      { liveCertificates: live },
    );
  }
  await db.platform(async (tx) => {
    await store.lockAuthorities(tx);
    for (const row of ended) await store.endAuthority(tx, row.tenant_id, row.id, now);
    const details = { kind: target.kind, fingerprint: target.fingerprint, cutOff: live };
    await record(deps, tx, actor, "authority.end", tenantId, target.id, details);
  });
  for (const row of ended) authorities.announce(row.tenant_id, row.kind);
  for (const row of ended.filter(({ kind }) => kind === "tenant")) {
    await cutOff(deps, row, actor);
  }
  return { cutOff: live };
}

/** Usable authorities that nothing but this root has signed. */
function childrenOf(root: AuthorityRow, rows: readonly AuthorityRow[]): AuthorityRow[] {
  if (root.kind !== "root") return [];
  const { certificate } = authorityOf(root);
  return rows.filter(
    (row) =>
      row.kind !== "root" &&
      (row.status === "active" || row.status === "retiring") &&
      authorityOf(row).certificate.checkIssued(certificate),
  );
}

/** What an ended authority issued is revoked: live connections end, and its lists say why. */
async function cutOff(
  { db, revocations }: ManagementDeps,
  row: AuthorityRow,
  actor: Actor,
): Promise<void> {
  const reason = { reason: "cessationOfOperation", comment: "its authority was ended" } as const;
  let after = "";
  for (;;) {
    const serials = await db.tenant(row.tenant_id, (tx) =>
      store.serialsUnder(tx, row.tenant_id, row.id, after, PAGE),
    );
    if (serials.length > 0) await revocations.revoke(row.tenant_id, { serials }, reason, actor);
    if (serials.length < PAGE) return;
    after = serials.at(-1) as string;
  }
}

export async function record(
  { tenancy }: ManagementDeps,
  tx: Tx,
  actor: Actor,
  action: string,
  tenantId: string,
  targetId: string,
  details: Record<string, unknown>,
): Promise<void> {
  const entry = {
    actor,
    action,
    targetKind: "authority",
    targetId,
    outcome: "done" as const,
    details,
  };
  await tenancy.audit.record(tx, tenantId, entry);
}
