import { AppError } from "../kernel/index.ts";

export type Labels = Readonly<Record<string, string>>;

/** One condition on a label, in Alertmanager's notation: `site="berlin"`, `device=~"hub-.*|gw-1"`. */
export interface Matcher {
  label: string;
  isNegated: boolean;
  /** Each is a list of literal pieces with anything between them; one has to fit. */
  alternatives: string[][];
}

const FORM =
  /^\s*([A-Za-z_][A-Za-z0-9_.-]{0,63})\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|(\S*))\s*$/s;
const MAX_VALUE_LENGTH = 512;
const MAX_ALTERNATIVES = 50;
export const MAX_MATCHERS = 20;

/** Reads matchers; every fault is named with its place below `path`. */
export function parseMatchers(texts: readonly string[], path: string): Matcher[] {
  return texts.map((text, index) => parseMatcher(text, `${path}/${index}`));
}

export function parseMatcher(text: string, path: string): Matcher {
  const refuse = (why: string) =>
    new AppError("invalid-request", `${path}: ${why}`, { errors: [{ path, message: why }] });
  const found = FORM.exec(text);
  const [, label, operator, quoted, bare] = found ?? [];
  if (!label || !operator) {
    throw refuse('a matcher looks like label="value", with =, !=, =~ or !~');
  }
  const value = quoted === undefined ? (bare ?? "") : quoted.replace(/\\(["\\n])/g, withoutEscape);
  if (value.length > MAX_VALUE_LENGTH) throw refuse(`longer than ${MAX_VALUE_LENGTH} characters`);
  const isNegated = operator.startsWith("!");
  if (!operator.endsWith("~")) return { label, isNegated, alternatives: [[value]] };
  // A pattern of somebody's runs for every alert: only what takes linear time is taken.
  const literal = value.replace(/\\./gs, "").replaceAll(".*", "");
  if (/[()[\]{}+?^$*]/.test(literal)) {
    throw refuse("a pattern has literal text, .* for anything, and | between alternatives");
  }
  const alternatives = value.split("|").map((one) => one.split(".*").map(literalOf));
  if (alternatives.length > MAX_ALTERNATIVES) {
    throw refuse(`more than ${MAX_ALTERNATIVES} alternatives`);
  }
  return { label, isNegated, alternatives };
}

function withoutEscape(_whole: string, character: string): string {
  return character === "n" ? "\n" : character;
}

function literalOf(piece: string): string {
  return piece.replace(/\\(.)/gs, "$1");
}

/** Whether all hold. A label that is not there counts as empty, as with Alertmanager. */
export function matchesAll(matchers: readonly Matcher[], labels: Labels): boolean {
  return matchers.every(({ label, isNegated, alternatives }) => {
    const value = Object.hasOwn(labels, label) ? (labels[label] as string) : "";
    return alternatives.some((pieces) => fits(pieces, value)) !== isNegated;
  });
}

/** Literal pieces with anything between them, from the first character to the last. */
function fits(pieces: readonly string[], value: string): boolean {
  const first = pieces[0] ?? "";
  if (pieces.length === 1) return value === first;
  const last = pieces.at(-1) ?? "";
  if (!value.startsWith(first) || value.length < first.length + last.length) return false;
  if (!value.endsWith(last)) return false;
  const end = value.length - last.length;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = value.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
