// Turns openapi.json into TypeScript: an interface for each named schema, and for each operation
// its path, parameters, body and answer. The command line and the console call the API by it.
import { execFileSync } from "node:child_process";
import path from "node:path";

interface Schema {
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: boolean | Schema;
  required?: string[];
  description?: string;
}

interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  schema: Schema;
}

interface Operation {
  operationId: string;
  tags?: string[];
  summary?: string;
  parameters?: Parameter[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { content?: Record<string, { schema: Schema }> }>;
}

export interface OpenApi {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/**
 * The text of the client's generated module, formatted as the rest of the code is. Without the routes
 * that speak as Prometheus does: those who call them have clients of their own.
 */
export function generateClient(document: OpenApi, file: string): string {
  const schemas = Object.entries(document.components.schemas)
    .filter(([name]) => !name.startsWith("Prometheus"))
    .map(([name, schema]) => `export type ${name} = ${typeOf(schema)};`);
  const operations = Object.entries(document.paths)
    .flatMap(([url, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ url, method, operation })),
    )
    .filter(({ operation }) => !operation.tags?.includes("prometheus"));
  const shapes = operations.map(({ operation }) => {
    const doc = operation.summary ? `/** ${operation.summary} */\n` : "";
    return `${doc}${operation.operationId}: ${shapeOf(operation)};`;
  });
  const routes = operations.map(
    ({ url, method, operation }) =>
      `${operation.operationId}: { method: "${method.toUpperCase()}", path: "${url}" },`,
  );
  return format(
    `// Written by tools/build-openapi.ts from the routes' schemas. Do not edit.

${schemas.join("\n\n")}

/** What each operation takes and gives. */
export interface Operations {
${shapes.join("\n")}
}

export const ROUTES = {
${routes.join("\n")}
} as const satisfies Record<keyof Operations, { method: string; path: string }>;
`,
    file,
  );
}

function shapeOf(operation: Operation): string {
  const of = (place: string) => {
    const found = (operation.parameters ?? []).filter((parameter) => parameter.in === place);
    const members = found.map(
      ({ name, required, schema }) =>
        `${JSON.stringify(name)}${required ? "" : "?"}: ${typeOf(schema)}${required ? "" : " | undefined"}`,
    );
    return members.length > 0 ? `{ ${members.join("; ")} }` : "Record<never, never>";
  };
  const body = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  const answer = Object.values(success?.[1].content ?? {})[0]?.schema;
  return `{
    params: ${of("path")};
    query: ${of("query")};
    body: ${body ? typeOf(body) : "undefined"};
    answer: ${!answer || answer.type === "null" ? "undefined" : typeOf(answer)};
  }`;
}

function typeOf(schema: Schema): string {
  if (schema.$ref) return schema.$ref.split("/").at(-1) as string;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  switch (schema.type) {
    case "string":
      return "string";
    case "number":
    case "integer":
      return "number";
    case "boolean":
      return "boolean";
    case "null":
      return "null";
    case "array":
      return `Array<${typeOf(schema.items ?? {})}>`;
    case "object":
      return objectType(schema);
    default:
      return "unknown";
  }
}

function objectType(schema: Schema): string {
  const { additionalProperties: values } = schema;
  if (typeof values === "object") return `Record<string, ${typeOf(values)}>`;
  const members = Object.entries(schema.properties ?? {}).map(([name, member]) => {
    const isRequired = schema.required?.includes(name);
    const type = `${typeOf(member)}${isRequired ? "" : " | undefined"}`;
    const doc = member.description ? `/** ${member.description} */\n` : "";
    return `${doc}${JSON.stringify(name)}${isRequired ? "" : "?"}: ${type};`;
  });
  if (members.length > 0) return `{\n${members.join("\n")}\n}`;
  return "Record<string, unknown>";
}

function format(text: string, file: string): string {
  const root = path.resolve(import.meta.dirname, "..");
  const biome = path.join(root, "node_modules/@biomejs/biome/bin/biome");
  return execFileSync(process.execPath, [biome, "format", `--stdin-file-path=${file}`], {
    cwd: root,
    input: text,
    encoding: "utf8",
  });
}
