import { AppError, LIMITS } from "../kernel/index.ts";
import { storableText } from "../kernel/storable.ts";

export interface Token {
  kind: "word" | "string" | "operator" | "open" | "close" | "comma" | "end";
  /** The text that is meant: strings without quotes and escapes. */
  text: string;
  /** Offset of the first character, counted from 0. */
  position: number;
}

const SPACE = /\s+/y;
const WORD = /-?[A-Za-z0-9_][A-Za-z0-9_.:+-]*/y;
const OPERATOR = /<=|>=|!=|=|<|>|~/y;
const STRING = /"((?:[^"\\]|\\.)*)"/sy;

const PUNCTUATION: Record<string, Token["kind"]> = { "(": "open", ")": "close", ",": "comma" };

/** The tokens of a fleet query, closed by one of kind `end`. */
export function tokenise(text: string): Token[] {
  if (text.length > LIMITS.queryLength) {
    throw invalidQuery(`the query is longer than ${LIMITS.queryLength} characters`, 0);
  }
  const whole = storableText(text);
  if (whole !== text) {
    const position = [...whole].findIndex((character, index) => character !== [...text][index]);
    throw invalidQuery("the query holds a character that is no text", position);
  }
  const tokens: Token[] = [];
  let position = 0;
  const take = (pattern: RegExp) => {
    pattern.lastIndex = position;
    return pattern.exec(text);
  };
  for (;;) {
    position += take(SPACE)?.[0].length ?? 0;
    if (position >= text.length) return [...tokens, { kind: "end", text: "", position }];
    const token = nextToken(text.charAt(position), take);
    if (!token) throw unreadable(text, position);
    tokens.push({ kind: token.kind, text: token.text, position });
    position += token.length;
  }
}

function nextToken(
  character: string,
  take: (pattern: RegExp) => RegExpExecArray | null,
): { kind: Token["kind"]; text: string; length: number } | undefined {
  const punctuation = PUNCTUATION[character];
  if (punctuation) return { kind: punctuation, text: character, length: 1 };
  const string = take(STRING);
  if (string) {
    return {
      kind: "string",
      text: (string[1] as string).replace(/\\(.)/gs, "$1"),
      length: string[0].length,
    };
  }
  const operator = take(OPERATOR);
  if (operator) return { kind: "operator", text: operator[0], length: operator[0].length };
  const word = take(WORD);
  return word ? { kind: "word", text: word[0], length: word[0].length } : undefined;
}

function unreadable(text: string, position: number): AppError {
  return text[position] === '"'
    ? invalidQuery("the text that begins here is never closed", position)
    : invalidQuery(`"${text[position]}" means nothing here`, position);
}

export function invalidQuery(message: string, position: number): AppError {
  return new AppError("invalid-query", `${message} (at character ${position + 1})`, { position });
}
