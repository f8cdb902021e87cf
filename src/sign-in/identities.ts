import { isUniqueViolation } from "../db/index.ts";
import { AppError, isUuid } from "../kernel/index.ts";
import { type Actor, PLATFORM_CHAIN } from "../tenancy/index.ts";
import * as store from "./accounts-store.ts";
import type { SignInDeps } from "./deps.ts";
import { findProvider, revokeIdentitySessions } from "./providers-store.ts";

export interface IdentityView {
  provider: string;
  subject: string;
  email: string | null;
  createdAt: Date;
  lastUsedAt: Date | null;
}

/** Which subjects at providers a user is: named beforehand by an administrator, or linked. */
export function createIdentities({ db, clock, tenancy }: SignInDeps) {
  const record = (actor: Actor, action: string, userId: string, details: object) => ({
    ...{ actor, action, targetKind: "user", targetId: userId },
    ...{ outcome: "done" as const, details: { ...details } },
  });

  return {
    async list(userId: string): Promise<IdentityView[]> {
      if (!isUuid(userId)) throw noSuchUser();
      const rows = await db.platform((tx) => store.identitiesOf(tx, userId));
      return rows.map((row) => ({
        provider: row.provider_id,
        subject: row.subject,
        email: row.email,
        createdAt: row.created_at,
        lastUsedAt: row.last_used_at,
      }));
    },

    async set(userId: string, provider: string, subject: string, actor: Actor): Promise<void> {
      const now = new Date(clock.now());
      const linked = db.platform(async (tx) => {
        if (!isUuid(userId) || !(await store.lockAccount(tx, userId))) throw noSuchUser();
        if (!(await findProvider(tx, provider))) {
          throw new AppError("not-found", "there is no such sign-in provider", { provider });
        }
        await store.deleteIdentity(tx, userId, provider);
        await revokeIdentitySessions(tx, userId, provider, now);
        const names = { provider_id: provider, subject, user_id: userId, email: null };
        await store.insertIdentity(tx, { ...names, created_at: now, last_used_at: null });
        const details = { provider, subject };
        await tenancy.audit.record(
          tx,
          PLATFORM_CHAIN,
          record(actor, "identity.link", userId, details),
        );
      });
      await linked.catch((error) => {
        if (!isUniqueViolation(error)) throw error;
        throw new AppError("already-exists", "this subject is another user's", { provider });
      });
      tenancy.forget();
    },

    async remove(userId: string, provider: string, actor: Actor): Promise<void> {
      const now = new Date(clock.now());
      await db.platform(async (tx) => {
        const isGone = isUuid(userId) && (await store.deleteIdentity(tx, userId, provider));
        if (!isGone) throw new AppError("not-found", "the user has no such identity", { provider });
        await revokeIdentitySessions(tx, userId, provider, now);
        const details = { provider };
        await tenancy.audit.record(
          tx,
          PLATFORM_CHAIN,
          record(actor, "identity.unlink", userId, details),
        );
      });
      tenancy.forget();
    },
  };
}

function noSuchUser(): AppError {
  return new AppError("not-found", "there is no such user");
}
