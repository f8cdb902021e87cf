import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";
import { BY_ALL_LABELS, type Matching } from "./binary.ts";
import { PromqlError } from "./error.ts";
import { valueTest } from "./labels.ts";
import { MAX_PATTERN_SIZE, patternSize } from "./patterns.ts";

export interface Matcher {
  label: string;
  operator: "=" | "!=" | "=~" | "!~";
  value: string;
}

export type Expression =
  | { kind: "number"; value: number }
  | { kind: "selector"; matchers: Matcher[]; rangeMs: number | null; offsetMs: number }
  | { kind: "call"; name: string; args: Expression[]; at: number }
  | {
      kind: "aggregate";
      operator: string;
      without: boolean;
      labels: string[];
      parameter: Expression | null;
      operand: Expression;
    }
  | { kind: "string"; text: string; at: number }
  | {
      kind: "subquery";
      operand: Expression;
      rangeMs: number;
      /** Null where the default is due. */
      stepMs: number | null;
      offsetMs: number;
    }
  | {
      kind: "binary";
      operator: string;
      bool: boolean;
      matching: Matching;
      left: Expression;
      right: Expression;
    }
  | { kind: "negate"; operand: Expression };

const MAX_LENGTH = 8_000;
const MAX_DEPTH = 50;
/** Each is a question to the store. */
const MAX_SELECTORS = 100;

/** Understands PromQL as far as it is offered here; what is not is refused with its place. */
export function parsePromql(given: string): Expression {
  if (given.length > MAX_LENGTH) throw new PromqlError("the query is too long", 0);
  const text = withoutComments(given);
  const top = parser.parse(text).topNode;
  top.cursor().iterate((node) => {
    if (node.type.isError) {
      throw new PromqlError(
        `parse error near ${JSON.stringify(text.slice(node.from, node.from + 20))}`,
        node.from,
      );
    }
  });
  const root = top.firstChild;
  if (!root) throw new PromqlError("no expression found in input", 0);
  return new Reader(text).expression(root, 0);
}

/** With spaces in their places. */
function withoutComments(text: string): string {
  if (!text.includes("#")) return text;
  let rest = text;
  parser.parse(text).iterate({
    enter: ({ name, from, to }) => {
      if (name !== "LineComment") return;
      rest = rest.slice(0, from) + " ".repeat(to - from) + rest.slice(to);
    },
  });
  return rest;
}

class Reader {
  readonly #text: string;
  #selectors = 0;
  #patternSize = 0;
  /** By the end of what they belong to. */
  readonly #offsets = new Map<number, number>();

  constructor(text: string) {
    this.#text = text;
  }

  expression(node: SyntaxNode, depth: number): Expression {
    if (depth > MAX_DEPTH) throw new PromqlError("the query is nested too deep", node.from);
    switch (node.name) {
      case "ParenExpr":
        return this.expression(this.#child(node), depth + 1);
      case "NumberDurationLiteral":
        return { kind: "number", value: numberOf(this.#of(node), node.from) };
      case "VectorSelector":
        return this.#selector(node, null);
      case "MatrixSelector": {
        const range = node.getChild("DurationExpr");
        const vector = node.getChild("VectorSelector");
        if (!range || !vector) throw refused(node, this.#of(node));
        return this.#selector(vector, durationOf(this.#of(range), range.from), node.to);
      }
      case "StringLiteral":
        return { kind: "string", text: this.#pattern(node), at: node.from };
      case "SubqueryExpr": {
        const [range, step] = node.getChildren("DurationExpr");
        const inner = this.#child(node);
        if (!range) throw refused(node, this.#of(node));
        if (["BinaryExpr", "UnaryExpr"].includes(inner.name)) {
          // The grammar does not say whether all of it is meant, or its last part.
          throw new PromqlError("put what a subquery is of into parentheses", node.from);
        }
        return {
          kind: "subquery",
          operand: this.expression(inner, depth + 1),
          rangeMs: durationOf(this.#of(range), range.from),
          stepMs: step ? durationOf(this.#of(step), step.from) : null,
          offsetMs: this.#offsets.get(node.to) ?? 0,
        };
      }
      case "OffsetExpr":
        return this.#offset(node, depth);
      case "FunctionCall":
        return this.#call(node, depth);
      case "AggregateExpr":
        return this.#aggregate(node, depth);
      case "BinaryExpr":
        return this.#binary(node, depth);
      case "UnaryExpr": {
        const operand = this.expression(node.lastChild ?? node, depth + 1);
        return this.#of(node).startsWith("-") ? { kind: "negate", operand } : operand;
      }
      default:
        throw refused(node, this.#of(node));
    }
  }

  #of({ from, to }: { from: number; to: number }): string {
    return this.#text.slice(from, to);
  }

  #child(node: SyntaxNode): SyntaxNode {
    if (!node.firstChild) throw refused(node, this.#of(node));
    return node.firstChild;
  }

  /** It belongs to the last selector before it, though the grammar takes `a - b` for one thing there. */
  #offset(node: SyntaxNode, depth: number): Expression {
    const duration = node.getChild("OffsetDurationExpr");
    let target = this.#child(node);
    while (["BinaryExpr", "UnaryExpr"].includes(target.name) && target.lastChild) {
      target = target.lastChild;
    }
    const takes = ["VectorSelector", "MatrixSelector", "SubqueryExpr"].includes(target.name);
    if (!takes || !duration) throw refused(node, this.#of(node));
    const text = this.#of(duration);
    const sign = text.startsWith("-") ? -1 : 1;
    const offsetMs = sign * durationOf(text.replace(/^-\s*/, ""), duration.from, 0);
    this.#offsets.set(target.to, offsetMs);
    return this.expression(this.#child(node), depth + 1);
  }

  #call(node: SyntaxNode, depth: number): Expression {
    const identifier = node.getChild("FunctionIdentifier");
    const body = node.getChild("FunctionCallBody");
    const name = identifier ? this.#of(identifier) : "";
    const args = body ? this.#children(body).map((arg) => this.expression(arg, depth + 1)) : [];
    return { kind: "call", name, args, at: node.from };
  }

  #aggregate(node: SyntaxNode, depth: number): Expression {
    const operator = this.#of(node.getChild("AggregateOp") ?? node).toLowerCase();
    const modifier = node.getChild("AggregateModifier");
    const grouping = modifier?.getChild("GroupingLabels");
    const labels = grouping ? this.#children(grouping).map((label) => this.#label(label)) : [];
    const body = node.getChild("FunctionCallBody");
    const args = body ? this.#children(body).map((arg) => this.expression(arg, depth + 1)) : [];
    const operand = args.at(-1);
    if (!operand || args.length > 2) throw refused(node, this.#of(node));
    const parameter = args.length === 2 ? (args[0] ?? null) : null;
    const without = modifier?.getChild("Without") !== null && modifier !== null;
    return { kind: "aggregate", operator, without, labels, parameter, operand };
  }

  #binary(node: SyntaxNode, depth: number): Expression {
    const [left, right] = [node.firstChild, node.lastChild];
    if (!left || !right) throw refused(node, this.#of(node));
    let operator = "";
    let bool = false;
    let matching = BY_ALL_LABELS;
    for (let part = left.nextSibling; part && part.from < right.from; part = part.nextSibling) {
      if (part.name === "BoolModifier" || part.name === "Bool") bool = true;
      else if (part.name === "MatchingModifierClause") matching = this.#matching(part);
      else if (operator === "") operator = this.#of(part);
      else throw refused(part, this.#of(part));
    }
    const operands = [left, right].map((operand) => this.expression(operand, depth + 1));
    return {
      ...{ kind: "binary", operator: operator.toLowerCase(), bool, matching },
      left: operands[0] as Expression,
      right: operands[1] as Expression,
    };
  }

  #matching(node: SyntaxNode): Matching {
    const lists = node.getChildren("GroupingLabels").map((list) => {
      return this.#children(list).map((label) => this.#label(label));
    });
    const many = node.getChild("GroupLeft") ? "left" : node.getChild("GroupRight") ? "right" : null;
    const on = node.getChild("On") !== null;
    return { on, labels: lists[0] ?? [], many, include: lists[1] ?? [] };
  }

  #selector(node: SyntaxNode, rangeMs: number | null, end = node.to): Expression {
    this.#selectors += 1;
    if (this.#selectors > MAX_SELECTORS) {
      throw new PromqlError(`at most ${MAX_SELECTORS} selectors in a query`, node.from);
    }
    const matchers: Matcher[] = [];
    const name = node.getChild("Identifier");
    if (name) matchers.push({ label: "__name__", operator: "=", value: this.#of(name) });
    for (const child of this.#children(node.getChild("LabelMatchers"))) {
      matchers.push(this.#matcher(child));
    }
    if (matchers.every(({ operator, value }) => valueTest(operator, value)(""))) {
      throw new PromqlError(
        "vector selector must contain at least one non-empty matcher",
        node.from,
      );
    }
    return { kind: "selector", matchers, rangeMs, offsetMs: this.#offsets.get(end) ?? 0 };
  }

  #matcher(node: SyntaxNode): Matcher {
    const literals = node.getChildren("StringLiteral");
    if (node.name === "QuotedLabelName") {
      return { label: "__name__", operator: "=", value: unquoted(this.#of(node), node.from) };
    }
    const label = this.#label(node.firstChild ?? node);
    const operator = this.#of(node.getChild("MatchOp") ?? node) as Matcher["operator"];
    const value = literals.at(-1);
    if (!value || !["=", "!=", "=~", "!~"].includes(operator)) throw refused(node, this.#of(node));
    const isPattern = operator.endsWith("~");
    const text = isPattern ? this.#pattern(value) : unquoted(this.#of(value), value.from);
    return { label, operator, value: text };
  }

  /** A text that is, or may be, a regular expression. */
  #pattern(node: SyntaxNode): string {
    const text = unquoted(this.#of(node), node.from);
    this.#patternSize += patternSize(text);
    if (this.#patternSize > MAX_PATTERN_SIZE) {
      throw new PromqlError("the regular expressions of the query are too large", node.from);
    }
    return text;
  }

  #label(node: SyntaxNode): string {
    const text = this.#of(node);
    return /^["'`]/.test(text) ? unquoted(text, node.from) : text;
  }

  #children(node: SyntaxNode | null): SyntaxNode[] {
    const children: SyntaxNode[] = [];
    for (let child = node?.firstChild ?? null; child; child = child.nextSibling)
      children.push(child);
    return children;
  }
}

function refused(node: SyntaxNode, text: string): PromqlError {
  return new PromqlError(`${node.name} is not supported here: ${text.slice(0, 60)}`, node.from);
}

const DURATION = /^(?:\d+(?:ms|[smhdwy]))+$/;
const UNIT_MS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};
const MAX_DURATION_MS = 10 * 365 * 86_400_000;

/** Milliseconds of `1h30m`, or of seconds as a plain number. */
export function durationOf(text: string, at: number, leastMs = 1): number {
  const ms = DURATION.test(text)
    ? [...text.matchAll(/(\d+)(ms|[smhdwy])/g)].reduce(
        (sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ""] ?? 0),
        0,
      )
    : Math.round(Number(text) * 1000);
  if (!(ms >= leastMs && ms <= MAX_DURATION_MS)) {
    throw new PromqlError(`"${text}" is no duration that is supported here`, at);
  }
  return ms;
}

function numberOf(text: string, at: number): number {
  const plain = text.replaceAll("_", "").toLowerCase();
  const sign = plain.startsWith("-") ? -1 : 1;
  const bare = plain.replace(/^[+-]/, "");
  if (bare === "inf") return sign * Number.POSITIVE_INFINITY;
  if (bare === "nan") return Number.NaN;
  if (DURATION.test(bare)) return (sign * durationOf(bare, at)) / 1000;
  const value = Number(bare);
  if (Number.isNaN(value)) throw new PromqlError(`"${text}" is no number`, at);
  return sign * value;
}

const ESCAPES: Record<string, string> = {
  ...{ n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" },
  ...{ "\\": "\\", '"': '"', "'": "'" },
};
const ESCAPE = /\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|[\s\S])/g;

/** What Go, and so Prometheus, does not know is refused: `\d` is `d` to nobody. */
function unquoted(text: string, at: number): string {
  const inner = text.slice(1, -1);
  if (text.startsWith("`")) return inner;
  return inner.replace(ESCAPE, (whole, code: string) => {
    if (code.length === 1) {
      const known = Object.hasOwn(ESCAPES, code) ? ESCAPES[code] : undefined;
      if (known === undefined) throw new PromqlError(`unknown escape sequence ${whole}`, at);
      return known;
    }
    const point = /^[0-7]/.test(code)
      ? Number.parseInt(code, 8)
      : Number.parseInt(code.slice(1), 16);
    const isSurrogate = point >= 0xd800 && point <= 0xdfff;
    // No text of ours holds the zero character: PostgreSQL has none.
    if (point === 0 || point > 0x10ffff || isSurrogate) {
      throw new PromqlError(`${whole} stands for no character`, at);
    }
    return String.fromCodePoint(point);
  });
}
