import type { Database } from "../db/index.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import {
  countSearches,
  deleteSearch,
  insertSearch,
  listSearches,
  replaceSearch,
  type SavedFilter,
  type SavedSearch,
  SEARCHES_PER_TENANT,
} from "./saved-searches-store.ts";

/** Searches that a tenant keeps by name; all of its people see them. */
export interface SavedSearches {
  list(tenantId: string): Promise<SavedSearch[]>;
  /** `already-exists` where the name is taken. */
  create(tenantId: string, search: NamedFilter, actor: { name: string }): Promise<SavedSearch>;
  /** `not-found` where there is none of this name; the same holds below. */
  replace(tenantId: string, search: NamedFilter, actor: { name: string }): Promise<SavedSearch>;
  delete(tenantId: string, name: string): Promise<void>;
}

interface NamedFilter {
  name: string;
  filter: SavedFilter;
}

export function createSavedSearches(deps: { db: Database; clock: Clock }): SavedSearches {
  const { db, clock } = deps;
  const stamp = (actor: { name: string }) => ({ name: actor.name, at: new Date(clock.now()) });

  return {
    list: (tenantId) => db.tenant(tenantId, listSearches),

    create: (tenantId, search, actor) =>
      db.tenant(tenantId, async (tx) => {
        if ((await countSearches(tx)) >= SEARCHES_PER_TENANT) {
          const most = `a tenant keeps at most ${SEARCHES_PER_TENANT} searches`;
          throw new AppError("quota-exceeded", most, { limit: SEARCHES_PER_TENANT });
        }
        const by = stamp(actor);
        if (!(await insertSearch(tx, tenantId, search, by))) {
          throw new AppError("already-exists", `a search called ${search.name} exists`);
        }
        return viewOf(search, by);
      }),

    replace: (tenantId, search, actor) =>
      db.tenant(tenantId, async (tx) => {
        const by = stamp(actor);
        if (!(await replaceSearch(tx, search, by))) throw unknown(search.name);
        return viewOf(search, by);
      }),

    delete: (tenantId, name) =>
      db.tenant(tenantId, async (tx) => {
        if (!(await deleteSearch(tx, name))) throw unknown(name);
      }),
  };
}

function viewOf({ name, filter }: NamedFilter, by: { name: string; at: Date }): SavedSearch {
  return { name, filter, updatedAt: by.at.toISOString(), updatedBy: by.name };
}

function unknown(name: string): AppError {
  return new AppError("not-found", `there is no saved search called ${name}`);
}
