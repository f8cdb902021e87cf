/** A piece of ClickHouse SQL. `text` of a quoted identifier is what stands between its quotes. */
export interface SqlToken {
  kind: "word" | "quoted" | "string" | "number" | "symbol";
  text: string;
  /** Offset of its first character. */
  start: number;
}

const PATTERN =
  /(?<space>\s+)|(?<comment>--[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/)|(?<string>'(?:[^'\\]|\\[\s\S]|'')*')|(?<quoted>`(?:[^`\\]|\\[\s\S]|``)*`|"(?:[^"\\]|\\[\s\S]|"")*")|(?<number>\d[\w.]*)|(?<word>[A-Za-z_]\w*)|(?<symbol>[\s\S])/y;

/**
 * Splits SQL into tokens without comments and white space, or returns undefined where a quote is left
 * open. Heredocs (`$tag$ … $tag$`) are not known here: their `$` stands out as a symbol.
 */
export function tokenizeSql(sql: string): SqlToken[] | undefined {
  const tokens: SqlToken[] = [];
  PATTERN.lastIndex = 0;
  while (PATTERN.lastIndex < sql.length) {
    const start = PATTERN.lastIndex;
    const groups = PATTERN.exec(sql)?.groups;
    if (!groups) return undefined;
    if (groups.space !== undefined || groups.comment !== undefined) continue;
    if (groups.word !== undefined) tokens.push({ kind: "word", text: groups.word, start });
    else if (groups.number !== undefined)
      tokens.push({ kind: "number", text: groups.number, start });
    else if (groups.string !== undefined)
      tokens.push({ kind: "string", text: groups.string, start });
    else if (groups.quoted !== undefined)
      tokens.push({ kind: "quoted", text: groups.quoted.slice(1, -1), start });
    else {
      const text = groups.symbol as string;
      if (/['"`]/.test(text)) return undefined;
      tokens.push({ kind: "symbol", text, start });
    }
  }
  return tokens;
}

/** Whether `token` is the bare word `word` (upper case). */
export function isWord(token: SqlToken | undefined, word: string): boolean {
  return token?.kind === "word" && token.text.toUpperCase() === word;
}
