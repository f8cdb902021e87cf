import fs from "node:fs";
import path from "node:path";

/** JSON schema, as far as our routes use it. */
interface Schema {
  $ref?: string;
  type?: string;
  enum?: unknown[];
  const?: unknown;
  format?: string;
  pattern?: string;
  minimum?: number;
  minLength?: number;
  default?: unknown;
  anyOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  patternProperties?: Record<string, Schema>;
}

interface Operation {
  operationId: string;
  responses?: Record<string, { content?: Record<string, unknown> }>;
  parameters?: { name: string; in: string; required?: boolean; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}

/** One request in which exactly one place holds what it should not. */
export interface HostileRequest {
  operationId: string;
  method: string;
  url: string;
  body: unknown;
  /** Where the hostile value stands, and what it is. */
  what: string;
}

const UUID = "01990000-0000-7000-8000-000000000000";
const SAMPLES: Record<string, string> = {
  tenant: "acme",
  device: "hub-1",
  group: "berlin",
  trace: "0af7651916cd43dd8448eb211c80319c",
};

const cursor = (list: string, position: string) =>
  Buffer.from(JSON.stringify([list, position])).toString("base64url");
const inner = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString("base64url");

/** Cursors that anyone can make up: well wrapped, and wrong within. */
const CURSORS = [
  cursor("devices", inner("lastSeen", "1", "hub-1")),
  cursor("devices", inner("lastSeen", "Jan 1 (x)", "hub-1")),
  cursor("devices", inner("id", "\0", "\0")),
  cursor("devices", inner("firmware.version", "\ud800", "hub-1")),
  cursor("audit", "999999999999999"),
  cursor("alerts", `999999999999999_${UUID}`),
  cursor("logs", inner(8_640_000_000_000_000, "hub-1", 1)),
  cursor("logs", inner(-9_007_199_254_740_991, "\0", 1)),
  cursor("rollouts", "' or 1=1 --"),
  cursor("rollout-devices", "-1"),
  cursor("rollout-devices", "99999999999999999999"),
  cursor("verdicts", "1e400"),
  cursor("verdicts", "999999999999999"),
  cursor("releases", UUID.toUpperCase()),
  cursor("commands", "1; drop table commands"),
  cursor("log-tail", JSON.stringify({ receivedAt: -1, ts: -1, deviceId: "\0", seq: -1 })),
  cursor("log-tail", JSON.stringify({ receivedAt: 9e15, ts: 9e15, deviceId: "", seq: 9e15 })),
];

export const HOSTILE_TEXTS = [
  "\0",
  "a\0b",
  "\ud800",
  "'; drop table devices; --",
  "' or '1'='1",
  "\\",
  "{x:String}",
  "$(id)`id`",
  "../../../../etc/passwd",
  "%00%0d%0a",
  "a\r\nset-cookie: b=c",
  "__proto__",
  "constructor",
  "1 desc, (select 1)",
  "9".repeat(40),
  "-1",
  "NaN",
  "8640000000000000",
  "0000-00-00",
  "9999-12-31T23:59:59.999999999-12:00",
  "x".repeat(300),
  ...CURSORS,
];

/** Every operation with each of its texts in turn replaced by each hostile one. */
export function* hostileRequests(): Generator<HostileRequest> {
  const file = path.resolve(import.meta.dirname, "../../openapi.json");
  const document = JSON.parse(fs.readFileSync(file, "utf8"));
  for (const [template, methods] of Object.entries(document.paths)) {
    for (const [method, given] of Object.entries(methods as Record<string, Operation>)) {
      const requests = ofOperation(template, method.toUpperCase(), given, document);
      // A stream that is granted has no end to wait for: only what it finds by its path is tried.
      yield* isEndless(given) ? requests.filter(({ url }) => !url.includes("?")) : requests;
    }
  }
}

function isEndless({ responses = {} }: Operation): boolean {
  return Object.values(responses).some(({ content }) => content?.["text/event-stream"]);
}

function* ofOperation(
  template: string,
  method: string,
  operation: Operation,
  document: object,
): Generator<HostileRequest> {
  const example = (schema: Schema) => exampleOf(schema, document);
  const parameters = operation.parameters ?? [];
  const bodySchema = operation.requestBody?.content["application/json"]?.schema;
  const body = bodySchema ? example(bodySchema) : undefined;
  const required = parameters.filter((one) => one.in === "query" && one.required);
  const base = Object.fromEntries(required.map((one) => [one.name, String(example(one.schema))]));
  const { operationId } = operation;
  const request = (what: string, changes: { path?: string; query?: object; body?: unknown }) => {
    const query = new URLSearchParams({ ...base, ...changes.query }).toString();
    const url = `${changes.path ?? fill(template)}${query ? `?${query}` : ""}`;
    return { operationId, method, url, body: "body" in changes ? changes.body : body, what };
  };
  for (const text of HOSTILE_TEXTS) {
    const shown = JSON.stringify(text).slice(0, 60);
    for (const { name } of parameters.filter((one) => one.in === "query")) {
      yield request(`?${name}=${shown}`, { query: { [name]: text } });
    }
    for (const { name } of parameters.filter((one) => one.in === "path" && one.name !== "tenant")) {
      const path = fill(template, { [name]: encodeURIComponent(text.toWellFormed()) });
      yield request(`{${name}}=${shown}`, { path });
    }
    for (const place of textPlaces(body)) {
      yield request(`body${place.join(".")} ${shown}`, { body: replaced(body, place, text) });
    }
  }
}

function fill(template: string, values: Record<string, string> = {}): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    return values[name] ?? SAMPLES[name] ?? UUID;
  });
}

/** Something that the schema allows, with every optional part. */
function exampleOf(schema: Schema, document: object): unknown {
  const of = (inner: Schema) => exampleOf(inner, document);
  if (schema.$ref) return of(resolve(schema.$ref, document));
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return of(schema.anyOf[0] as Schema);
  if (schema.default !== undefined) return schema.default;
  if (schema.properties) {
    const entries = Object.entries(schema.properties).map(([name, inner]) => [name, of(inner)]);
    return Object.fromEntries(entries);
  }
  if (schema.patternProperties) {
    return { site: of(Object.values(schema.patternProperties)[0] as Schema) };
  }
  switch (schema.type) {
    case "array":
      return schema.items ? [of(schema.items)] : [];
    case "object":
      return {};
    case "integer":
    case "number":
      return schema.minimum ?? 1;
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      return textOf(schema);
  }
}

function textOf({ format, pattern, minLength }: Schema): string {
  if (format === "uuid") return UUID;
  if (format === "date-time") return "2099-01-01T00:00:00Z";
  if (format === "email") return "a@example.com";
  const known = ["hub-1", "a".repeat(64), "a".repeat(32), "presence", "berlin", "2026-01-01"];
  const fits = known.find((text) => !pattern || new RegExp(pattern).test(text));
  return (fits ?? "a").padEnd(minLength ?? 0, "x");
}

function resolve(reference: string, document: object): Schema {
  const parts = reference.replace(/^#\//, "").split("/");
  return parts.reduce<unknown>(
    (at, part) => (at as Record<string, unknown>)[part],
    document,
  ) as Schema;
}

/** Paths to every text within a body. */
function textPlaces(body: unknown, at: string[] = []): string[][] {
  if (typeof body === "string") return [at];
  if (typeof body !== "object" || body === null) return [];
  return Object.entries(body).flatMap(([key, member]) => textPlaces(member, [...at, key]));
}

function replaced(body: unknown, [key, ...rest]: string[], text: string): unknown {
  if (key === undefined) return text;
  const copy = (Array.isArray(body) ? [...body] : { ...(body as object) }) as Record<
    string,
    unknown
  >;
  copy[key] = replaced(copy[key], rest, text);
  return copy;
}
