/** The value of a placeholder, as it was sent beside the statement. */
export type BoundValue = string | null | (string | number)[];

const PLACEHOLDER = /\{\s*(\w+)\s*:\s*([^{}]+?)\s*\}/g;
const MAX_ARRAY_ELEMENTS = 100_000;

/**
 * Turns parameters as ClickHouse's HTTP interface carries them (`param_<name>`, escaped text) into
 * the values that chDB binds, by the type that the placeholder `{name:Type}` declares.
 */
export function parseBoundValues(
  sql: string,
  texts: ReadonlyMap<string, string>,
): Record<string, BoundValue> {
  const values: Record<string, BoundValue> = {};
  for (const [, name, type] of sql.matchAll(PLACEHOLDER)) {
    const text = texts.get(name as string);
    if (text === undefined) continue;
    values[name as string] = parseBoundValue(text, type as string);
  }
  return values;
}

function parseBoundValue(text: string, type: string): BoundValue {
  if (/^Array\s*\(/i.test(type)) return parseArray(text);
  return text === "\\N" ? null : unescapeText(text);
}

const ESCAPES: Record<string, string> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", "0": "\0" };

function unescapeText(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\([\s\S])/g, (_, character: string) => ESCAPES[character] ?? character);
}

const ELEMENT = /\s*(?:'((?:[^'\\]|\\[\s\S])*)'|(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?))\s*(,|$)/iy;

/** A flat array of strings or numbers. */
function parseArray(text: string): (string | number)[] {
  const body = /^\s*\[([\s\S]*)\]\s*$/.exec(text)?.[1];
  if (body === undefined) throw new Error("the value of an Array parameter is no array");
  const elements: (string | number)[] = [];
  if (body.trim() === "") return elements;
  ELEMENT.lastIndex = 0;
  for (let more = true; more; ) {
    const match = ELEMENT.exec(body);
    if (!match || elements.length >= MAX_ARRAY_ELEMENTS) {
      throw new Error("the value of an Array parameter cannot be read");
    }
    elements.push(match[1] !== undefined ? unescapeText(match[1]) : Number(match[2]));
    more = match[3] === ",";
  }
  return elements;
}

/** Quotes and comments, in which nothing is a placeholder, or a placeholder. */
const QUOTED_OR_PLACEHOLDER =
  /'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`\\]|\\[\s\S]|``)*`|"(?:[^"\\]|\\[\s\S]|"")*"|--[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/|\{\s*(\w+)\s*:\s*([^{}]+?)\s*\}/g;

/**
 * Puts the values where their placeholders stand, each as one string literal and, unless it is a String,
 * as the engine's cast of that literal to the declared type: what a value holds never leaves its quotes.
 * chDB's own binding does the same one query at a time, whichever session it comes from.
 */
export function withValues(sql: string, values: Readonly<Record<string, BoundValue>>): string {
  return sql.replace(QUOTED_OR_PLACEHOLDER, (whole, name?: string, type?: string) => {
    if (name === undefined || type === undefined) return whole;
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) {
      throw new Error(
        `Code: 456. DB::Exception: Substitution ${name} is not set. (UNKNOWN_QUERY_PARAMETER)`,
      );
    }
    return literalOf(value, type);
  });
}

function literalOf(value: BoundValue, type: string): string {
  if (value === null) return `CAST(NULL, ${quoteText(type)})`;
  if (typeof value === "string") {
    return type === "String" ? quoteText(value) : `CAST(${quoteText(value)}, ${quoteText(type)})`;
  }
  const elements = value.map((element) =>
    typeof element === "number" ? String(element) : quoteText(element),
  );
  return `CAST(${quoteText(`[${elements.join(",")}]`)}, ${quoteText(type)})`;
}

/** A string literal of ClickHouse: only a backslash and a quote mean anything within. */
export function quoteText(text: string): string {
  return `'${text.replace(/[\\'\0]/g, (found) => (found === "\0" ? "\\0" : `\\${found}`))}'`;
}
