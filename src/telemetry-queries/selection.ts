import type { Database } from "../db/index.ts";
import { compileFleetQuery, type DeviceGroup, type Devices } from "../devices/index.ts";
import { AppError } from "../kernel/index.ts";
import { type DeviceFilter, type GroupBy, QUERY_LIMITS } from "./types.ts";

export interface SelectionDeps {
  db: Pick<Database, "tenant">;
  devices: Pick<Devices, "matching" | "groups" | "metrics">;
}

export type Member = Awaited<ReturnType<Devices["matching"]>>[number];

/** The devices that a query reads, and to which series the values of each belong. */
export interface Selection {
  /** Null for every device that the store knows. */
  ids: string[] | null;
  /** Parallel to `ids`: numbers of `keys`, several of them with commas. Null: no grouping by these. */
  keyNumbers: string[] | null;
  keys: (string | null)[];
}

const EVERYTHING: Selection = { ids: null, keyNumbers: null, keys: [] };

export async function selectDevices(
  deps: SelectionDeps,
  tenantId: string,
  filter: DeviceFilter,
  groupBy: GroupBy,
): Promise<Selection> {
  const byDevice = groupBy === "none" || groupBy === "device";
  const isAll = !filter.query?.trim() && !filter.group && !filter.devices;
  if (isAll && byDevice) return EVERYTHING;
  const members = await findMembers(deps, tenantId, filter);
  const ids = members.map(({ id }) => id);
  if (byDevice) return { ids, keyNumbers: null, keys: [] };
  if (groupBy === "group") return byGroups(deps, tenantId, ids);
  const numbers = new Map<string | null, number>();
  const keyNumbers = members.map((member) => {
    const key = keyOf(member, groupBy);
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return String(number);
  });
  return { ids, keyNumbers, keys: [...numbers.keys()] };
}

/** The devices that all parts of the filter choose, in the order of their ids. */
export async function findMembers(
  { db, devices }: SelectionDeps,
  tenantId: string,
  filter: DeviceFilter,
): Promise<Member[]> {
  const parts = [filter.query?.trim() ?? ""];
  if (filter.group) parts.push((await groupNamed(devices, tenantId, filter.group)).query);
  // Each is understood by itself first: a parenthesis too many does not reach into the other.
  for (const part of parts) compileFleetQuery(part);
  const text = parts.filter((part) => part.trim() !== "").map((part) => `(${part})`);
  const query = compileFleetQuery(text.join(" and "));
  const limit = QUERY_LIMITS.devices;
  const found = await db.tenant(tenantId, (tx) =>
    devices.matching(tx, tenantId, query, { ids: filter.devices, limit: limit + 1 }),
  );
  if (found.length > limit) {
    throw new AppError("query-too-expensive", `the filter chooses more than ${limit} devices`, {
      maximum: limit,
    });
  }
  return found;
}

async function groupNamed(
  devices: SelectionDeps["devices"],
  tenantId: string,
  name: string,
): Promise<DeviceGroup> {
  const group = (await devices.groups.list(tenantId)).find((one) => one.name === name);
  if (!group) throw new AppError("not-found", `there is no group ${name}`);
  return group;
}

/** Each saved group is a series; who is in none of them is in none here. */
async function byGroups(
  deps: SelectionDeps,
  tenantId: string,
  ids: readonly string[],
): Promise<Selection> {
  const groups = await deps.devices.groups.list(tenantId);
  const numbersOf = new Map<string, number[]>(ids.map((id) => [id, []]));
  for (const [number, { name }] of groups.entries()) {
    for (const { id } of await findMembers(deps, tenantId, { group: name })) {
      numbersOf.get(id)?.push(number);
    }
  }
  const grouped = [...numbersOf].filter(([, numbers]) => numbers.length > 0);
  return {
    ids: grouped.map(([id]) => id),
    keyNumbers: grouped.map(([, numbers]) => numbers.join(",")),
    keys: groups.map(({ name }) => name),
  };
}

function keyOf(member: Member, groupBy: GroupBy): string | null {
  switch (groupBy) {
    case "firmware":
      return member.firmware_version;
    case "hardware":
      return member.hardware_revision;
    case "product":
      return member.product;
    case "region":
      return member.region || null;
    default:
      return member.tags[groupBy.slice("tags.".length)] ?? null;
  }
}
