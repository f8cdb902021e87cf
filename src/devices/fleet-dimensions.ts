import { type RawBuilder, sql } from "kysely";
import { AppError } from "../kernel/index.ts";
import { compileFleetQuery, fleetCondition } from "./fleet-query.ts";
import type { DeviceGroup } from "./types.ts";

/** Groups that one answer tells apart. */
const MAX_GROUPS = 50;

/** A dimension as a key of every device: `source` joins it, `key` is its column. */
export interface Dimension {
  source: RawBuilder<unknown>;
  key: RawBuilder<string>;
}

/**
 * What a fleet is divided by, over `devices d` and `device_states s`. A device counts in each of the
 * groups that it is in, and under no name where it is in none. `alias` tells two dimensions apart.
 */
export function dimensionOf(
  by: string,
  alias: "a" | "b",
  { groups, nowMs }: { groups: readonly DeviceGroup[]; nowMs: number },
): Dimension {
  if (by === "group") return groupDimension(alias, groups, nowMs);
  return { source: sql``, key: sql<string>`coalesce(${columnOf(by)}, '')` };
}

function groupDimension(
  alias: "a" | "b",
  groups: readonly DeviceGroup[],
  nowMs: number,
): Dimension {
  const names = groups.slice(0, MAX_GROUPS).map(({ name, query }) => {
    const condition = fleetCondition(compileFleetQuery(query), nowMs);
    return sql`case when ${condition} then ${name}::text end`;
  });
  const list = names.length > 0 ? sql.join(names) : sql`null::text`;
  const table = sql.ref(`${alias}_groups`);
  return {
    source: sql`left join lateral (
      select unnest(array_remove(array[${list}], null)) as name) ${table} on true`,
    key: sql<string>`coalesce(${table}.name, '')`,
  };
}

function columnOf(by: string): RawBuilder<unknown> {
  switch (by) {
    case "firmware":
      return sql`s.firmware_version`;
    case "hardware":
      return sql`d.hardware_revision`;
    case "product":
      return sql`d.product`;
    case "region":
      return sql`d.region`;
    case "presence":
      return sql`s.presence`;
    case "health":
      return sql`s.health`;
    default:
      if (by.startsWith("tags.") && by.length > "tags.".length) {
        return sql`(d.tags ->> ${by.slice("tags.".length)}::text)`;
      }
      throw new AppError("invalid-request", `a fleet cannot be divided by "${by}"`, {
        allowed: [
          ...["firmware", "hardware", "product", "region", "presence", "health", "group"],
          "tags.<key>",
        ],
      });
  }
}
