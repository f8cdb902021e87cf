import type { Database, Tx } from "../db/index.ts";
import { AppError, type Clock, isUuid, timeOrderedId } from "../kernel/index.ts";
import type { Actor } from "../tenancy/index.ts";
import { hurryAllGroups } from "./group-store.ts";
import { parseMatchers } from "./matchers.ts";
import type { Silence } from "./routing.ts";
import * as store from "./silence-store.ts";

/** Silences of one tenant that have not ended. */
const MAX_SILENCES = 500;
const MAX_LISTED = 500;
const MAX_LENGTH_MS = 366 * 86_400_000;
const KEPT_MS = 30 * 86_400_000;

export interface SilenceView {
  id: string;
  matchers: string[];
  startsAt: Date;
  endsAt: Date;
  comment: string;
  state: "pending" | "active" | "expired";
  createdAt: Date;
  createdBy: string;
  endedBy: string | null;
}

export interface NewSilence {
  matchers: string[];
  startsAt?: Date | undefined;
  endsAt: Date;
  comment: string;
}

/** While one is active, nobody is told of the alerts that it fits. */
export interface Silences {
  create(tenantId: string, silence: NewSilence, actor: Actor): Promise<SilenceView>;
  get(tenantId: string, id: string): Promise<SilenceView>;
  /** What has not ended; with `expired` also what ended within the last month. */
  list(tenantId: string, options?: { expired?: boolean | undefined }): Promise<SilenceView[]>;
  /** Ends it now. */
  expire(tenantId: string, id: string, actor: Actor): Promise<SilenceView>;
}

export function createSilences({ db, clock }: { db: Database; clock: Clock }): Silences {
  const viewOf = (row: store.SilenceRow): SilenceView => {
    const now = clock.now();
    const { starts_at: startsAt, ends_at: endsAt } = row;
    const isOver = endsAt.getTime() <= now;
    return {
      ...{ id: row.id, matchers: row.matchers, startsAt, endsAt, comment: row.comment },
      state: isOver ? "expired" : startsAt.getTime() > now ? "pending" : "active",
      createdAt: row.created_at,
      createdBy: row.created_by,
      endedBy: row.ended_by,
    };
  };
  const find = async (tx: Tx, tenantId: string, id: string) => {
    const row = isUuid(id) ? await store.findSilence(tx, tenantId, id) : undefined;
    if (!row) throw new AppError("not-found", "there is no such silence");
    return row;
  };
  return {
    async create(tenantId, { matchers, startsAt, endsAt, comment }, actor) {
      const now = new Date(clock.now());
      const starts = startsAt ?? now;
      // What fits everything hides everything: for that there is the maintenance window of a policy.
      const parsed = parseMatchers(matchers, "/matchers");
      const refuse = (path: string, message: string) => {
        throw new AppError("invalid-request", `${path}: ${message}`, {
          errors: [{ path, message }],
        });
      };
      if (parsed.length === 0) refuse("/matchers", "name at least one");
      if (!(endsAt.getTime() > Math.max(starts.getTime(), now.getTime()))) {
        refuse("/endsAt", "must lie ahead, and after startsAt");
      }
      if (endsAt.getTime() - starts.getTime() > MAX_LENGTH_MS) {
        refuse("/endsAt", "a silence lasts a year at most");
      }
      const row: store.SilenceRow = {
        id: timeOrderedId(now.getTime()),
        matchers,
        starts_at: starts,
        ends_at: endsAt,
        comment,
        created_at: now,
        created_by: actor.name,
        ended_by: null,
      };
      await db.tenant(tenantId, async (tx) => {
        await store.pruneSilences(tx, tenantId, new Date(now.getTime() - KEPT_MS), MAX_SILENCES);
        const living = { endAfter: now, limit: MAX_SILENCES };
        if ((await store.listSilences(tx, tenantId, living)).length >= MAX_SILENCES) {
          throw new AppError("quota-exceeded", `a tenant has at most ${MAX_SILENCES} silences`);
        }
        await store.insertSilence(tx, tenantId, row);
      });
      return viewOf(row);
    },

    get: (tenantId, id) => db.tenant(tenantId, async (tx) => viewOf(await find(tx, tenantId, id))),

    async list(tenantId, { expired = false } = {}) {
      const endAfter = expired ? null : new Date(clock.now());
      const rows = await db.tenant(tenantId, (tx) =>
        store.listSilences(tx, tenantId, { endAfter, limit: MAX_LISTED }),
      );
      return rows.map(viewOf);
    },

    expire: (tenantId, id, actor) =>
      db.tenant(tenantId, async (tx) => {
        await find(tx, tenantId, id);
        const now = new Date(clock.now());
        await store.endSilence(tx, tenantId, id, { by: actor.name, now });
        // What it hid is told at once.
        await hurryAllGroups(tx, tenantId, now);
        return viewOf(await find(tx, tenantId, id));
      }),
  };
}

/** Silences that are or will be active, as routing asks them. */
export async function livingSilences(tx: Tx, tenantId: string, now: Date): Promise<Silence[]> {
  const rows = await store.listSilences(tx, tenantId, { endAfter: now, limit: MAX_SILENCES });
  return rows.map((row) => ({
    id: row.id,
    matchers: parseMatchers(row.matchers, "/matchers"),
    startsAt: row.starts_at.getTime(),
    endsAt: row.ends_at.getTime(),
  }));
}
