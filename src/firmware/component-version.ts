/** Comes before everything, even the end: `1.0~rc1` is older than `1.0`. */
const BEFORE_END = "!";
const END = '"';
const NUMBER = "#";
const MAX_KEY = 512;
/** Letters are themselves; these come after them, in the order of Debian policy §5.6.12. */
const MARKS: Record<string, string> = { "+": "{", "-": "|", ".": "}" };
const OTHER_MARK = "~";

/**
 * A text that sorts, byte by byte, as the versions of software do, whatever scheme they follow, or
 * null for what has no digit in it. The order is Debian's (policy §5.6.12: runs of digits as numbers,
 * `~` before the end), with what other schemes add to it: a leading `v` and an epoch say nothing,
 * `1.0` is `1.0.0`, and alpha, beta, rc and the like come before their release, with a hyphen
 * (SemVer), a dot or nothing (PEP 440) in front of them.
 */
export function componentVersionKey(version: string): string | null {
  if (!/\d/.test(version)) return null;
  const plain = version
    .slice(0, MAX_KEY)
    .trim()
    .toLowerCase()
    .replace(/^\d+:/, "")
    .replace(/^v(?=\d)/, "")
    .replace(/(?<=\d)[-._~]?(?=(?:dev|snapshot)(?![a-z]))/g, "~~")
    .replace(/(?<=\d)[-._~]?(?=(?:alpha|beta|rc|pre|preview|milestone)(?![a-z]))/g, "~")
    .replace(/(?:\.0+)+(?=$|[-+~])/g, "");
  let key = "";
  for (const [part] of plain.matchAll(/\d+|[^\d]/g)) {
    if (/\d/.test(part)) key += numeric(part);
    else if (/[a-z]/.test(part)) key += part;
    else key += part === "~" ? BEFORE_END : (MARKS[part] ?? OTHER_MARK);
    if (key.length > MAX_KEY) return key.slice(0, MAX_KEY);
  }
  return key + END;
}

/** Numbers without leading zeros sort by their length, then by their digits. */
function numeric(digits: string): string {
  const significant = digits.replace(/^0+(?=\d)/, "").slice(0, 99);
  return NUMBER + String(significant.length).padStart(2, "0") + significant;
}
