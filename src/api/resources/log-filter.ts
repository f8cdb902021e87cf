import { Type } from "typebox";
import type { Devices } from "../../devices/index.ts";
import { AppError, LIMITS } from "../../kernel/index.ts";
import { MAX_DEVICES as MAX_NAMED_DEVICES } from "../../logs/index.ts";
import type { LogLevel } from "../../protocol/index.ts";
import { DeviceId, FleetQueryText, Moment, TraceId } from "../schemas/common.ts";
import { momentMs } from "../validation.ts";

export interface LogFilter {
  words?: string;
  levels?: LogLevel[];
  deviceId?: string;
  deviceIds?: string[];
  logger?: string;
  fields?: Record<string, string>;
  traceId?: string;
  from?: number;
  to?: number;
}

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

/** By what lines are found, in an address and in a saved search alike. */
export const FilterQuery = {
  words: Type.Optional(
    Type.String({ maxLength: 256, description: "All stand in the message, in any order and case" }),
  ),
  q: Type.Optional(FleetQueryText),
  group: Type.Optional(Type.String({ maxLength: 128, description: "A group's name" })),
  logger: Type.Optional(Type.String({ maxLength: 256 })),
  field: Type.Optional(
    Type.String({
      maxLength: 512,
      pattern: "^[^=]{1,128}=.*$",
      description: "An attribute and its value: `http.status=503`",
    }),
  ),
  level: Type.Optional(Type.Enum(LEVELS, { description: "This level and what is more severe" })),
  device: Type.Optional(DeviceId),
  trace: Type.Optional(TraceId),
};

export const RangeQuery = { from: Type.Optional(Moment), to: Type.Optional(Moment) };

export type FilterDevices = Pick<Devices, "list" | "groups">;

interface FilterParams {
  words?: string;
  level?: LogLevel;
  device?: string;
  trace?: string;
  q?: string;
  group?: string;
  logger?: string;
  field?: string;
  from?: string;
  to?: string;
}

/** Which lines are asked for. Devices are found by query and group at the moment of the question. */
export async function filterOf(
  devices: FilterDevices,
  tenantId: string,
  query: FilterParams,
): Promise<LogFilter> {
  const { words, level, device: deviceId, trace: traceId, logger, field } = query;
  const deviceIds = await devicesOf(devices, tenantId, query);
  const at = field?.indexOf("=") ?? -1;
  const [from, to] = [momentMs(query.from), momentMs(query.to)];
  return {
    ...(words === undefined ? {} : { words }),
    ...(level === undefined ? {} : { levels: LEVELS.slice(LEVELS.indexOf(level)) }),
    ...(deviceId === undefined ? {} : { deviceId }),
    ...(deviceIds === undefined ? {} : { deviceIds }),
    ...(traceId === undefined ? {} : { traceId }),
    ...(logger === undefined ? {} : { logger }),
    ...(field === undefined ? {} : { fields: { [field.slice(0, at)]: field.slice(at + 1) } }),
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
}

/** The devices that a query and a group name; undefined where there is neither. One page too many at most. */
export async function devicesOf(
  devices: FilterDevices,
  tenantId: string,
  { q, group }: Pick<FilterParams, "q" | "group">,
): Promise<string[] | undefined> {
  const queries = q ? [q] : [];
  if (group !== undefined) {
    const found = (await devices.groups.list(tenantId)).find(({ name }) => name === group);
    if (!found) throw new AppError("not-found", "there is no such group", { group });
    queries.push(found.query);
  }
  if (queries.length === 0) return undefined;
  const query = queries.map((one) => `(${one})`).join(" and ");
  const ids: string[] = [];
  let cursor: string | undefined;
  // The search refuses more devices than it can name: one page more than that is enough to know.
  do {
    const where = cursor === undefined ? {} : { cursor };
    const page = await devices.list(tenantId, { query, limit: LIMITS.pageSize, ...where });
    ids.push(...page.items.map(({ id }) => id));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && ids.length <= MAX_NAMED_DEVICES);
  return ids;
}
