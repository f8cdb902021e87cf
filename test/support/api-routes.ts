import fs from "node:fs";
import path from "node:path";

export interface ApiRoute {
  operationId: string;
  method: string;
  /** Path with sample parameters, or those given; `tenant` fills the tenant's place. */
  url(tenant: string, ids?: Readonly<Record<string, string>>): string;
  /** Names of the parameters besides the tenant. */
  ids: string[];
  hasTenant: boolean;
  /** The permission that it asks for, or `signed-in` and the like. */
  access: string;
  isPublic: boolean;
  /** Whether it takes a body. */
  body: boolean;
  /** What its body must have. */
  required: string[];
  /** Names of what stands behind the question mark. */
  query: string[];
}

interface Operation {
  operationId: string;
  "x-access": string;
  security?: unknown[];
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema?: { required?: string[] } }> };
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
}

const UUID = "01990000-0000-7000-8000-000000000000";
const SAMPLES: Record<string, string> = {
  device: "hub-1",
  group: "berlin",
  trace: "0af7651916cd43dd8448eb211c80319c",
};

/** Every operation of the committed openapi.json, ready to be called. */
export function apiRoutes(): ApiRoute[] {
  const file = path.resolve(import.meta.dirname, "../../openapi.json");
  const document = JSON.parse(fs.readFileSync(file, "utf8")) as Document;
  return Object.entries(document.paths).flatMap(([template, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      operationId: operation.operationId,
      method: method.toUpperCase(),
      url: (tenant: string, ids: Readonly<Record<string, string>> = {}) =>
        template.replace(/\{(\w+)\}/g, (_, name: string) =>
          name === "tenant" ? tenant : (ids[name] ?? SAMPLES[name] ?? UUID),
        ),
      ids: [...template.matchAll(/\{(\w+)\}/g)]
        .map((match) => match[1] as string)
        .filter((name) => name !== "tenant"),
      access: operation["x-access"],
      hasTenant: template.includes("{tenant}"),
      isPublic: operation.security?.length === 0,
      body: operation.requestBody !== undefined,
      required: operation.requestBody?.content["application/json"]?.schema?.required ?? [],
      query: (operation.parameters ?? [])
        .filter((one) => one.in === "query")
        .map(({ name }) => name),
    })),
  );
}

const PROMETHEUS_CODES: Record<string, string> = {
  unauthorized: "unauthenticated",
  forbidden: "forbidden",
  not_found: "not-found",
};

/** Code and detail of a refusal, also of one in Prometheus' shape. */
export function refusalOf(body: { [name: string]: string }) {
  const code = body.code ?? PROMETHEUS_CODES[body.errorType ?? ""];
  return { code, detail: body.detail ?? body.error };
}
