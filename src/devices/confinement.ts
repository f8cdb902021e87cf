import type { Database } from "../db/index.ts";
import type { Confinement } from "../kernel/confinement.ts";
import { AppError, type Clock } from "../kernel/index.ts";
import { compileFleetQuery } from "./fleet-query.ts";
import { queriesOf } from "./groups-store.ts";
import { memberIds } from "./registry-store.ts";

/** Devices that somebody may be confined to; who is meant to see more than these sees all. */
export const MAX_CONFINED_DEVICES = 20_000;

/**
 * The devices of some groups at this moment. A group that is gone holds none. Groups that hold too
 * many are refused rather than cut off: who looks at a part must not take it for the whole.
 */
export async function confinementTo(
  { db, clock }: { db: Database; clock: Clock },
  tenantId: string,
  groups: readonly string[],
): Promise<Confinement> {
  const { queries, deviceIds } = await db.tenant(tenantId, async (tx) => {
    const queries = await queriesOf(tx, groups);
    const found = new Set<string>();
    for (const query of queries) {
      const compiled = compileFleetQuery(query);
      const ids = await memberIds(tx, compiled, clock.now(), MAX_CONFINED_DEVICES + 1);
      for (const id of ids) found.add(id);
    }
    return { queries, deviceIds: [...found].sort() };
  });
  if (deviceIds.length > MAX_CONFINED_DEVICES) {
    const message = `the groups that you are confined to hold over ${MAX_CONFINED_DEVICES} devices`;
    throw new AppError("quota-exceeded", message, { groups });
  }
  const isWhole = queries.some((query) => query.trim() === "");
  const query = isWhole ? "" : queries.map((text) => `(${text})`).join(" or ");
  return { tenantId, groups: [...groups], query, deviceIds };
}

/**
 * A query that matches what both the caller's and the groups' do, for what is asked again later,
 * when the call has ended. Refuses where the groups hold nothing.
 */
export function narrowed(query: string, confinement: Confinement): string {
  if (confinement.deviceIds.length === 0) {
    throw new AppError("forbidden", "the groups that you are confined to hold no device", {
      groups: confinement.groups,
    });
  }
  const parts = [query, confinement.query].filter((part) => part.trim() !== "");
  return parts.length < 2 ? (parts[0] ?? "") : parts.map((part) => `(${part})`).join(" and ");
}
