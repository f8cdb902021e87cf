import { LIMITS } from "../kernel/index.ts";
import { invalidQuery, type Token, tokenise } from "./fleet-query-lexer.ts";

export const OPERATORS = ["=", "!=", "<", "<=", ">", ">=", "~", "in"] as const;
export type Operator = (typeof OPERATORS)[number];

/** Fields other than `tags.<key>`, with the kind of value that each is compared as. */
export const FIELDS = {
  id: "text",
  product: "text",
  hardware: "text",
  region: "text",
  status: "text",
  presence: "text",
  health: "text",
  "firmware.version": "version",
  "firmware.sha256": "text",
  lastSeen: "time",
  online: "claim",
  connected: "claim",
  secureBoot: "claim",
} as const;
export type FieldKind = (typeof FIELDS)[keyof typeof FIELDS];

export interface Comparison {
  kind: "compare";
  /** A key of FIELDS, or `tags.<key>`. */
  field: string;
  operator: Operator;
  /** One value; several for `in`. Claims have the value "true" or "false". */
  values: string[];
  /** Offset of the field and of the first value in the text, for complaints. */
  position: number;
  valuePosition: number;
}

export type QueryNode =
  | { kind: "and" | "or"; terms: QueryNode[] }
  | { kind: "not"; term: QueryNode }
  | Comparison;

/** Parentheses and `not` within one another. */
const MAX_DEPTH = 16;

/** The kind of a field's values, or undefined for an unknown field. */
export function fieldKind(field: string): FieldKind | undefined {
  if (field.startsWith("tags.") && field.length > "tags.".length) return "text";
  return Object.hasOwn(FIELDS, field) ? FIELDS[field as keyof typeof FIELDS] : undefined;
}

function unknownField(field: string): string {
  const known = Object.keys(FIELDS).join(", ");
  return `there is no field "${field}": a tag is written tags.${field}, and the other fields are ${known}`;
}

/**
 * Reads a fleet query; null stands for the empty one, which every device matches.
 *
 *     query      = conjunction { "or" conjunction }
 *     conjunction = term { "and" term }
 *     term       = "not" term | "(" query ")" | claim | field operator value
 *                | field [ "not" ] "in" "(" value { "," value } ")"
 */
export function parseFleetQuery(text: string): QueryNode | null {
  const parser = new Parser(tokenise(text));
  return parser.parse();
}

class Parser {
  readonly #tokens: Token[];
  #index = 0;
  #comparisons = 0;

  constructor(tokens: Token[]) {
    this.#tokens = tokens;
  }

  parse(): QueryNode | null {
    if (this.#peek().kind === "end") return null;
    const node = this.#list("or", 0);
    const rest = this.#peek();
    if (rest.kind !== "end") {
      throw invalidQuery(`expected "and", "or" or the end, found "${rest.text}"`, rest.position);
    }
    return node;
  }

  #list(kind: "and" | "or", depth: number): QueryNode {
    const next = () => (kind === "or" ? this.#list("and", depth) : this.#term(depth));
    const terms = [next()];
    while (this.#takeWord(kind)) terms.push(next());
    return terms.length === 1 ? (terms[0] as QueryNode) : { kind, terms };
  }

  #term(depth: number): QueryNode {
    const token = this.#peek();
    if (depth > MAX_DEPTH) throw invalidQuery("the query is nested too deeply", token.position);
    if (this.#takeWord("not")) return { kind: "not", term: this.#term(depth + 1) };
    if (token.kind === "open") {
      this.#index += 1;
      const inner = this.#list("or", depth + 1);
      this.#expect("close", '")"');
      return inner;
    }
    return this.#comparison();
  }

  #comparison(): QueryNode {
    const field = this.#expect("word", "a field");
    this.#comparisons += 1;
    if (this.#comparisons > LIMITS.queryTerms) {
      throw invalidQuery(`the query has more than ${LIMITS.queryTerms} terms`, field.position);
    }
    const kind = fieldKind(field.text);
    if (!kind) throw invalidQuery(unknownField(field.text), field.position);
    const base = { kind: "compare", field: field.text, position: field.position } as const;
    const negated = this.#takeWord("not");
    if (negated || this.#isWord("in")) {
      if (!this.#takeWord("in")) {
        throw invalidQuery('expected "in" after "not"', this.#peek().position);
      }
      const valuePosition = this.#peek().position;
      const list: QueryNode = { ...base, operator: "in", values: this.#values(), valuePosition };
      return negated ? { kind: "not", term: list } : list;
    }
    const operator = this.#peek();
    if (operator.kind === "operator") {
      this.#index += 1;
      const value = this.#value();
      return {
        ...base,
        operator: operator.text as Operator,
        values: [value.text],
        valuePosition: value.position,
      };
    }
    // A claim stands for itself: `online` means `online = true`.
    if (kind === "claim") {
      return { ...base, operator: "=", values: ["true"], valuePosition: field.position };
    }
    throw invalidQuery(`expected a comparison after "${field.text}"`, operator.position);
  }

  #values(): string[] {
    this.#expect("open", '"("');
    const values = [this.#value().text];
    while (this.#peek().kind === "comma") {
      this.#index += 1;
      values.push(this.#value().text);
    }
    this.#expect("close", '")"');
    return values;
  }

  #value(): Token {
    const token = this.#peek();
    if (token.kind !== "word" && token.kind !== "string") {
      throw invalidQuery("expected a value", token.position);
    }
    this.#index += 1;
    return token;
  }

  #expect(kind: Token["kind"], what: string): Token {
    const token = this.#peek();
    if (token.kind !== kind) {
      throw invalidQuery(`expected ${what}, found "${token.text || "the end"}"`, token.position);
    }
    this.#index += 1;
    return token;
  }

  #isWord(word: string): boolean {
    const token = this.#peek();
    return token.kind === "word" && token.text.toLowerCase() === word;
  }

  #takeWord(word: string): boolean {
    if (!this.#isWord(word)) return false;
    this.#index += 1;
    return true;
  }

  #peek(): Token {
    return this.#tokens[this.#index] as Token;
  }
}
