import { AppError } from "../kernel/index.ts";
import { componentVersionKey } from "./component-version.ts";

export type Comparison = "<" | "<=" | ">" | ">=" | "=" | "!=";

/** What is asked for: components of a name, or of a purl, within bounds of their version. */
export interface ComponentQuery {
  /** In lower case; `%` stands for anything. Null: all of them. */
  namePattern: string | null;
  /** The pattern is one of package URLs, not of names. */
  byPurl: boolean;
  bounds: { comparison: Comparison; versionKey: string }[];
}

const MAX_QUERY = 512;
const MAX_BOUNDS = 8;
const BOUND = /^(<=|>=|!=|<|>|=)\s*(\S+)$/;

/**
 * Reads `openssl < 3.0.15`, `busybox >= 1.30, < 1.36.1`, `lib*`, `pkg:npm/lodash = 4.17.20`; an
 * empty text asks for everything. Refuses with `invalid-query`.
 */
export function parseComponentQuery(text: string): ComponentQuery {
  if (text.length > MAX_QUERY) throw refuse(`it has more than ${MAX_QUERY} characters`);
  const at = text.search(/[<>=!]/);
  const name = (at < 0 ? text : text.slice(0, at)).trim().toLowerCase();
  const bounds = at < 0 ? [] : text.slice(at).split(",").map(parseBound);
  if (bounds.length > MAX_BOUNDS) throw refuse(`it has more than ${MAX_BOUNDS} bounds`);
  const byPurl = name.startsWith("pkg:");
  const namePattern = name === "" ? null : likePattern(byPurl ? purlName(name) : name);
  return { namePattern, byPurl, bounds };
}

function parseBound(text: string): ComponentQuery["bounds"][number] {
  const found = BOUND.exec(text.trim());
  if (!found) {
    throw refuse(
      `"${text.trim()}" is no bound of a version, such as "< 3.0.15" (parted by commas)`,
    );
  }
  const versionKey = componentVersionKey(found[2] ?? "");
  if (versionKey === null) throw refuse(`"${found[2]}" is no version: it has no digit`);
  return { comparison: found[1] as Comparison, versionKey };
}

/** A purl without version, qualifiers and subpath: `pkg:deb/debian/openssl`. */
export function purlName(purl: string): string {
  const [path = ""] = purl.split(/[?#]/);
  // The @ of a scope is written %40; one that is not stands right behind a slash.
  const at = path.lastIndexOf("@");
  return (at > 0 && path[at - 1] !== "/" ? path.slice(0, at) : path).replaceAll("%40", "@");
}

/** `*` stands for anything; everything else for itself. */
function likePattern(text: string): string {
  return text.replaceAll(/[\\%_]/g, "\\$&").replaceAll("*", "%");
}

function refuse(message: string): AppError {
  return new AppError("invalid-query", `the query for components: ${message}`);
}
