import fs from "node:fs";
import path from "node:path";
import type { FastifySerializerCompiler } from "fastify";
import { type TSchema, Type } from "typebox";
import { Compile } from "typebox/compile";

/**
 * Writes answers as the server does, and holds each against its route's schema with every object
 * closed: what the schema does not name would be missing from openapi.json and from its clients.
 * `close` throws when an answer broke its contract.
 */
export function watchAnswers(): {
  serializerCompiler: FastifySerializerCompiler<unknown>;
  close(): void;
} {
  const broken = new Set<string>();
  return {
    serializerCompiler: ({ schema, method, url, httpStatus }) => {
      const validator = Compile(closed(schema as TSchema));
      return (body) => {
        const text = JSON.stringify(body);
        for (const error of validator.Errors(JSON.parse(text ?? "null")).slice(0, 5)) {
          broken.add(`${method} ${url} ${httpStatus}: ${error.instancePath} ${error.message}`);
        }
        return text;
      };
    },
    close() {
      if (broken.size === 0) return;
      throw new Error(`answers that their schemas do not describe:\n${[...broken].join("\n")}`);
    },
  };
}

/** The same schema, whose objects have no properties but those that are named. */
export function closed(schema: TSchema): TSchema {
  return Type.Unsafe(close(schema) as TSchema);
}

function close(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(close);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, close(member)]),
  );
  const isOpen = "properties" in members && !("additionalProperties" in members);
  return isOpen ? { ...members, additionalProperties: false } : members;
}

const OPENAPI = path.resolve(import.meta.dirname, "../../openapi.json");

/** What a module returned breaks in the schema that openapi.json has for it: nothing when all is well. */
export function contractErrors(name: string, value: unknown): string[] {
  const { components } = JSON.parse(fs.readFileSync(OPENAPI, "utf8")) as {
    components: { schemas: Record<string, unknown> };
  };
  const inline = (part: unknown): unknown => {
    if (Array.isArray(part)) return part.map(inline);
    if (typeof part !== "object" || part === null) return part;
    const { $ref } = part as { $ref?: string };
    if ($ref) return inline(components.schemas[$ref.split("/").at(-1) as string]);
    return Object.fromEntries(Object.entries(part).map(([key, member]) => [key, inline(member)]));
  };
  const schema = components.schemas[name];
  if (!schema) throw new Error(`openapi.json has no schema ${name}`);
  const validator = Compile(closed(inline(schema) as TSchema));
  const errors = validator.Errors(JSON.parse(JSON.stringify(value)));
  return errors.map((error) => `${name}${error.instancePath} ${error.message}`);
}
