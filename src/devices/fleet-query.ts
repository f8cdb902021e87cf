import { type RawBuilder, sql } from "kysely";
import { invalidQuery } from "./fleet-query-lexer.ts";
import {
  type Comparison,
  fieldKind,
  parseFleetQuery,
  type QueryNode,
} from "./fleet-query-parser.ts";
import { versionSortKey } from "./version-order.ts";

/** A fleet query that has been understood. */
export interface FleetQuery {
  readonly text: string;
  readonly root: QueryNode | null;
}

/** `*` and `?` in one pattern: more would let a short text cost much to match. */
const MAX_WILDCARDS = 8;
const DURATION = /^-(\d{1,6})(s|m|h|d)$/;
const UNIT_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Understands a fleet query such as
 * `firmware.version < "2.4.0" and tags.site = "berlin" and online`; the grammar stands in
 * `parseFleetQuery`. Firmware versions are ordered as SemVer orders them. `lastSeen` is compared
 * with an ISO 8601 time or a time before now (`-30m`). A device that lacks a tag differs from every
 * value of it. Throws `invalid-query` with `position`, counted from 0.
 */
export function compileFleetQuery(text: string): FleetQuery {
  const root = parseFleetQuery(text);
  if (root) checkNode(root);
  return { text: text.trim(), root };
}

/**
 * The query as a condition over `devices as d` and `device_states as s`. Every value is a bound
 * parameter, and every part is true or false, never null, so that `not` means what it says.
 */
export function fleetCondition(query: FleetQuery, nowMs: number): RawBuilder<boolean> {
  return query.root ? conditionOf(query.root, nowMs) : sql<boolean>`true`;
}

function checkNode(node: QueryNode): void {
  if (node.kind === "not") checkNode(node.term);
  else if (node.kind === "compare") checkComparison(node);
  else node.terms.forEach(checkNode);
}

function checkComparison({ field, operator, values, position, valuePosition }: Comparison): void {
  const kind = fieldKind(field);
  const value = values[0] as string;
  const ordering = ["<", "<=", ">", ">="].includes(operator);
  if (kind === "claim") {
    if (!["=", "!="].includes(operator) || !["true", "false"].includes(value)) {
      throw invalidQuery(`"${field}" is true or false`, position);
    }
  } else if (kind === "time") {
    if (!ordering) throw invalidQuery(`"${field}" takes <, <=, > or >=`, position);
    if (momentOf(value, 0) === undefined) {
      throw invalidQuery(
        `"${value}" is no time: write 2026-01-31T12:00:00Z or -30m`,
        valuePosition,
      );
    }
  } else if (kind === "version" && ordering) {
    if (versionSortKey(value) === null) {
      throw invalidQuery(`"${value}" is no semantic version`, valuePosition);
    }
  } else if (ordering) {
    throw invalidQuery(`"${field}" has no order: use =, !=, in or ~`, position);
  } else if (operator === "~" && (value.match(/[*?]/g)?.length ?? 0) > MAX_WILDCARDS) {
    throw invalidQuery(`a pattern has at most ${MAX_WILDCARDS} wildcards`, valuePosition);
  }
}

function conditionOf(node: QueryNode, nowMs: number): RawBuilder<boolean> {
  if (node.kind === "not") return sql<boolean>`not ${conditionOf(node.term, nowMs)}`;
  if (node.kind === "compare") return comparisonOf(node, nowMs);
  const terms = node.terms.map((term) => conditionOf(term, nowMs));
  return sql<boolean>`(${sql.join(terms, node.kind === "and" ? sql` and ` : sql` or `)})`;
}

function comparisonOf(comparison: Comparison, nowMs: number): RawBuilder<boolean> {
  const { field, operator, values } = comparison;
  const kind = fieldKind(field);
  const value = values[0] as string;
  const compared = sql.raw(operator === "!=" ? "<>" : operator);
  if (kind === "claim") {
    const claim = claimColumn(field);
    const truth = (value === "true") === (operator === "=");
    return truth ? sql<boolean>`${claim}` : sql<boolean>`(not ${claim})`;
  }
  if (kind === "time") {
    const moment = new Date(momentOf(value, nowMs) as number);
    return sql<boolean>`coalesce(s.last_seen_at ${compared} ${moment}, false)`;
  }
  if (kind === "version" && ["<", "<=", ">", ">="].includes(operator)) {
    const key = versionSortKey(value);
    return sql<boolean>`coalesce(s.firmware_version_key ${compared} ${key}, false)`;
  }
  const column = textColumn(field);
  switch (operator) {
    case "in":
      return sql<boolean>`coalesce(${column} = any(${values}::text[]), false)`;
    case "~":
      return sql<boolean>`coalesce(${column} like ${likePattern(value)}, false)`;
    case "!=":
      return sql<boolean>`(${column} is distinct from ${value})`;
    default:
      return sql<boolean>`coalesce(${column} = ${value}, false)`;
  }
}

function claimColumn(field: string): RawBuilder<unknown> {
  switch (field) {
    case "online":
      return sql`(s.presence = 'online')`;
    case "secureBoot":
      return sql`s.secure_boot`;
    default:
      return sql`s.connected`;
  }
}

function textColumn(field: string): RawBuilder<unknown> {
  switch (field) {
    case "id":
      return sql`d.id`;
    case "product":
      return sql`d.product`;
    case "hardware":
      return sql`d.hardware_revision`;
    case "region":
      return sql`d.region`;
    case "status":
      return sql`d.status`;
    case "presence":
      return sql`s.presence`;
    case "health":
      return sql`s.health`;
    case "firmware.version":
      return sql`s.firmware_version`;
    case "firmware.sha256":
      return sql`s.firmware_sha256`;
    default:
      return sql`(d.tags ->> ${field.slice("tags.".length)}::text)`;
  }
}

/** A glob as a LIKE pattern; what LIKE gives a meaning to stands for itself. */
function likePattern(glob: string): string {
  return glob
    .replace(/[\\%_]/g, "\\$&")
    .replaceAll("*", "%")
    .replaceAll("?", "_");
}

function momentOf(value: string, nowMs: number): number | undefined {
  const ago = DURATION.exec(value);
  if (ago) return nowMs - Number(ago[1]) * (UNIT_MS[ago[2] as string] as number);
  if (!/^\d{4}-\d\d-\d\d/.test(value)) return undefined;
  const moment = Date.parse(value);
  return Number.isNaN(moment) ? undefined : moment;
}
