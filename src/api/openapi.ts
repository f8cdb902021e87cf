import swagger from "@fastify/swagger";
import type { Api } from "./types.ts";

const INFO = {
  title: "Vautn",
  version: "1",
  description:
    "Operators' API. Errors are problem details (RFC 9457) with `code` and `traceId`; lists have " +
    "cursors; POST takes `Idempotency-Key`; PATCH takes `If-Match`.",
  license: { name: "Apache-2.0", identifier: "Apache-2.0" },
};

/** Operations whose bodies are handed on as they arrive. */
const STREAMED: Record<string, { type: string; required: boolean }> = {
  publishRelease: { type: "application/octet-stream", required: true },
  createUpload: { type: "application/offset+octet-stream", required: false },
  appendToUpload: { type: "application/offset+octet-stream", required: true },
};

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

/** Collects the routes' schemas from here on; `openApiDocument` gives the document. */
export async function describeApi(api: Api): Promise<void> {
  await api.register(swagger, {
    // Who may call it: docs/security/permissions.md is made from this.
    transform: ({ schema, url, route }) => ({
      schema: { ...schema, "x-access": route.config?.access },
      url,
    }),
    openapi: {
      openapi: "3.1.0",
      info: INFO,
      servers: [{ url: "/" }],
      security: [{ apiKey: [] }, { session: [] }],
      components: {
        securitySchemes: {
          apiKey: { type: "http", scheme: "bearer", description: "vk_…" },
          session: { type: "apiKey", in: "cookie", name: "vautn_session" },
        },
      },
    },
  });
  let document: JsonObject | undefined;
  api.get(
    "/api/v1/openapi.json",
    { config: { access: "public" }, schema: { hide: true } },
    async () => {
      document ??= openApiDocument(api);
      return document;
    },
  );
}

/** The OpenAPI 3.1 document, with every titled schema named once under `components`. */
export function openApiDocument(api: Api): JsonObject {
  const document = JSON.parse(JSON.stringify(api.swagger())) as JsonObject;
  const schemas: Record<string, Json> = {};
  document.paths = nameSchemas(document.paths ?? {}, schemas);
  for (const methods of Object.values(document.paths as JsonObject)) {
    for (const operation of Object.values(methods as JsonObject)) complete(operation as JsonObject);
  }
  const sorted = Object.entries(schemas).sort(([left], [right]) => (left < right ? -1 : 1));
  const components = (document.components ?? {}) as JsonObject;
  document.components = { ...components, schemas: Object.fromEntries(sorted) };
  return document;
}

/** What the routes' schemas cannot say: the kind of refusals, and the image of a release. */
function complete(operation: JsonObject): void {
  for (const [status, response] of Object.entries((operation.responses ?? {}) as JsonObject)) {
    const answer = response as JsonObject;
    const json = (answer.content as JsonObject | undefined)?.["application/json"];
    if (isProblem(json)) answer.content = { "application/problem+json": json as Json };
    answer.description = /^2/.test(status) ? "Done" : "Refused, or an error of ours";
  }
  const streamed = STREAMED[String(operation.operationId)];
  if (streamed) {
    const { type: contentMediaType, required } = streamed;
    const schema = { type: "string", contentMediaType };
    operation.requestBody = { required, content: { [contentMediaType]: { schema } } };
  }
}

/** Prometheus' routes refuse in Prometheus' shape, which is plain JSON. */
function isProblem(content: Json | undefined): boolean {
  const schema = (content as JsonObject | undefined)?.schema as JsonObject | undefined;
  return schema?.$ref === "#/components/schemas/Problem";
}

function nameSchemas(value: Json, schemas: Record<string, Json>): Json {
  if (Array.isArray(value)) return value.map((member) => nameSchemas(member, schemas));
  if (typeof value !== "object" || value === null) return value;
  const walked = Object.fromEntries(
    Object.entries(value).map(([key, member]) => [key, nameSchemas(member, schemas)]),
  ) as JsonObject;
  const { title } = walked;
  if (typeof title !== "string" || typeof walked.type !== "string") return walked;
  const { title: _, ...schema } = walked;
  const earlier = schemas[title];
  if (earlier !== undefined && JSON.stringify(earlier) !== JSON.stringify(schema)) {
    throw new Error(`two schemas are called ${title}`);
  }
  schemas[title] = schema;
  return { $ref: `#/components/schemas/${title}` };
}
