import type { FastifySchemaCompiler, FastifySchemaValidationError } from "fastify";
import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { AppError, LIMITS } from "../kernel/index.ts";
import { PATTERNS_IN_WORDS } from "./pattern-words.ts";

/** Of the fields that nobody knows. */
const MAX_NAMED = 10;
const MAX_NAME_LENGTH = 64;

interface PropertySchema {
  type?: string;
  default?: unknown;
}

/**
 * Bodies are checked as they are: nothing is converted, filled in or left out. Query strings and
 * path parameters are text by nature, so numbers and booleans are read from them, and only from
 * text that is exactly one (`""`, `1.5` for an integer and `0x10` are refused).
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema);
  const properties = (schema as { properties?: Record<string, PropertySchema> }).properties ?? {};
  return (input: unknown) => {
    const value = httpPart === "body" ? input : readText(input, properties);
    if (validator.Check(value)) return { value };
    const errors = validator.Errors(value) as FastifySchemaValidationError[];
    return { error: errors.filter((error) => error.keyword !== "boolean").map(plainly) };
  };
};

/** Tells the words of a list, what a pattern asks for, and the name of a field that is unknown here. */
function plainly(error: FastifySchemaValidationError): FastifySchemaValidationError {
  const { allowedValues, additionalProperties, pattern } = error.params as Record<string, unknown>;
  if (error.keyword === "enum" && Array.isArray(allowedValues)) {
    return { ...error, message: `must be one of ${allowedValues.join(", ")}` };
  }
  const words = error.keyword === "pattern" && PATTERNS_IN_WORDS.get(String(pattern));
  if (words) return { ...error, message: `must be ${words}` };
  if (error.keyword === "additionalProperties" && Array.isArray(additionalProperties)) {
    const names = additionalProperties
      .slice(0, MAX_NAMED)
      .map((name) => JSON.stringify(String(name).slice(0, MAX_NAME_LENGTH)));
    return { ...error, message: `must not have ${names.join(", ")}: there is no such field` };
  }
  return error;
}

function readText(input: unknown, properties: Record<string, PropertySchema>): unknown {
  if (typeof input !== "object" || input === null) return input;
  const result: Record<string, unknown> = { ...input };
  for (const [name, property] of Object.entries(properties)) {
    const text = result[name];
    if (text === undefined && property.default !== undefined) result[name] = property.default;
    if (typeof text !== "string") continue;
    if (property.type === "integer" && /^-?\d{1,15}$/.test(text)) result[name] = Number(text);
    if (property.type === "number" && /^-?\d{1,15}(\.\d{1,15})?$/.test(text)) {
      result[name] = Number(text);
    }
    if (property.type === "boolean" && /^(true|false)$/.test(text)) result[name] = text === "true";
  }
  return result;
}

/**
 * Refuses what is nested deeper than the limit, and text that no store can hold: NUL and lone
 * surrogates are legal in JSON, and PostgreSQL would fail on them.
 */
export function assertReadable(value: unknown, remaining: number = LIMITS.jsonDepth): void {
  if (typeof value === "string") assertText(value);
  if (typeof value !== "object" || value === null) return;
  if (remaining <= 0) {
    throw new AppError("invalid-request", `the body is nested deeper than ${LIMITS.jsonDepth}`, {
      limit: LIMITS.jsonDepth,
    });
  }
  for (const [key, member] of Object.entries(value)) {
    assertText(key);
    assertReadable(member, remaining - 1);
  }
}

function assertText(text: string): void {
  if (text.isWellFormed() && !text.includes("\0")) return;
  throw new AppError("invalid-request", "the request holds a character that is no text");
}

/** Milliseconds since the epoch of a query's moment (ISO 8601 or milliseconds). */
export function momentMs(text: string): number;
export function momentMs(text: string | undefined): number | undefined;
export function momentMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (!(value >= 0 && value <= 8_640_000_000_000_000)) {
    throw new AppError("invalid-request", `"${text}" is no moment in time`);
  }
  return value;
}

/** The date of a body's timestamp, whose form its schema has checked. */
export function dateOf(text: string): Date {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) {
    throw new AppError("invalid-request", `"${text}" is no moment in time`);
  }
  return date;
}
