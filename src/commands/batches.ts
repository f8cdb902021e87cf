import type { Database } from "../db/index.ts";
import { AppError, type Clock, isUuid } from "../kernel/index.ts";
import type { Actor, Tenancy } from "../tenancy/index.ts";
import * as store from "./batches-store.ts";
import { unknownBatch } from "./commands-errors.ts";
import { listCommands } from "./commands-store.ts";
import type { BatchPage, BatchView, CommandPage, CommandStatus } from "./types.ts";

const DEFAULT_PAGE = 100;

/** Orders to many devices: how far each has come, and whether it goes on. */
export interface Batches {
  get(tenantId: string, id: string): Promise<BatchView>;
  /** Newest first. */
  list(
    tenantId: string,
    page?: { cursor?: string | undefined; limit?: number | undefined },
  ): Promise<BatchPage>;
  /** The last attempt of each device. */
  devices(
    tenantId: string,
    id: string,
    filter?: {
      status?: CommandStatus | undefined;
      cursor?: string | undefined;
      limit?: number | undefined;
    },
  ): Promise<CommandPage>;
  /** Nothing more is delivered, apart from what is on its way; `conflict` once it is cancelled. */
  pause(tenantId: string, id: string, actor: Actor): Promise<BatchView>;
  resume(tenantId: string, id: string, actor: Actor): Promise<BatchView>;
  /** Ends what is not known to be delivered; what devices hold goes on. */
  cancel(tenantId: string, id: string, actor: Actor): Promise<BatchView>;
}

export interface BatchesDeps {
  db: Database;
  clock: Clock;
  tenancy: Pick<Tenancy, "audit">;
  /** Something is queued for these devices. */
  wake(tenantId: string, deviceIds: readonly string[]): void;
}

export function createBatches({ db, clock, tenancy, wake }: BatchesDeps): Batches {
  async function steer(
    tenantId: string,
    id: string,
    actor: Actor,
    to: "paused" | "running" | "cancelled",
  ): Promise<BatchView> {
    if (!isUuid(id)) unknownBatch(id);
    let woken: string[] = [];
    const batch = await db.tenant(tenantId, async (tx) => {
      const { state, release_at: due } = (await store.lockBatch(tx, id)) ?? unknownBatch(id);
      if (state === "cancelled") {
        throw new AppError("conflict", "the command batch is cancelled", { state });
      }
      if ((await store.findBatch(tx, id))?.state === "done") {
        throw new AppError("conflict", "every command of the batch has ended", { state: "done" });
      }
      const now = clock.now();
      if (state !== to) {
        const isDue = !due || due.getTime() <= now;
        // Its pace goes on over a pause: or who pauses and resumes again and again would outrun it.
        const next = to === "running" && isDue ? new Date(now) : due;
        await store.setState(tx, id, to, to === "cancelled" ? null : next);
        let details: Record<string, unknown> = {};
        if (to === "paused") await store.holdQueued(tx, id);
        else if (to === "running") woken = isDue ? await store.releaseDue(tx, id, now) : [];
        else details = { commands: await store.cancelOpen(tx, id, new Date(now)) };
        await tenancy.audit.record(tx, tenantId, {
          actor,
          action: `command-batch.${ACTIONS[to]}`,
          targetKind: "command-batch",
          targetId: id,
          outcome: "done",
          details,
        });
      }
      return (await store.findBatch(tx, id)) ?? unknownBatch(id);
    });
    wake(tenantId, woken);
    return batch;
  }

  return {
    async get(tenantId, id) {
      if (!isUuid(id)) unknownBatch(id);
      const batch = await db.tenant(tenantId, (tx) => store.findBatch(tx, id));
      return batch ?? unknownBatch(id);
    },

    async list(tenantId, { cursor, limit = DEFAULT_PAGE } = {}) {
      checkCursor(cursor);
      return db.tenant(tenantId, (tx) => store.listBatches(tx, { cursor, limit }));
    },

    async devices(tenantId, id, { limit = DEFAULT_PAGE, ...filter } = {}) {
      checkCursor(filter.cursor);
      if (!isUuid(id)) unknownBatch(id);
      return db.tenant(tenantId, async (tx) => {
        if (!(await store.findBatch(tx, id))) unknownBatch(id);
        return listCommands(tx, { ...filter, batchId: id, limit });
      });
    },

    pause: (tenantId, id, actor) => steer(tenantId, id, actor, "paused"),
    resume: (tenantId, id, actor) => steer(tenantId, id, actor, "running"),
    cancel: (tenantId, id, actor) => steer(tenantId, id, actor, "cancelled"),
  };
}

const ACTIONS = { paused: "pause", running: "resume", cancelled: "cancel" } as const;

/** Throws `invalid-cursor`; the cursors of these lists are ids. */
export function checkCursor(cursor: string | undefined): void {
  if (cursor !== undefined && !isUuid(cursor)) {
    throw new AppError("invalid-cursor", "the cursor belongs to no page of this list");
  }
}
