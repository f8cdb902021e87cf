import { type TProperties, type TSchema, Type } from "typebox";
import { ERROR_CATALOGUE, LIMITS } from "../../kernel/index.ts";
import { DEVICE_ID, TENANT_ID } from "../../protocol/index.ts";

/** An object that refuses keys it does not know: for everything that comes in. */
export function strict<Properties extends TProperties>(
  properties: Properties,
  options: { title?: string; description?: string } = {},
) {
  return Type.Object(properties, { additionalProperties: false, ...options });
}

/** An object of an answer; `title` becomes its name in the OpenAPI document. */
export function view<Properties extends TProperties>(title: string, properties: Properties) {
  return Type.Object(properties, { title });
}

export function nullable<Schema extends TSchema>(schema: Schema) {
  return Type.Union([schema, Type.Null()]);
}

/** One page of a list; `nextCursor` is null on the last one. */
export function page<Schema extends TSchema>(title: string, item: Schema) {
  return view(title, {
    items: Type.Array(item),
    nextCursor: nullable(Type.String()),
  });
}

export function listOf<Schema extends TSchema>(title: string, item: Schema) {
  return view(title, { items: Type.Array(item) });
}

export const Timestamp = Type.String({ format: "date-time" });
export const Tags = Type.Record(
  Type.String({ pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$" }),
  Type.String({ maxLength: 256 }),
  { description: "Labels, at most 50", maxProperties: LIMITS.tagsPerDevice },
);
export const TenantId = Type.String({ pattern: TENANT_ID.source });
export const DeviceId = Type.String({ pattern: DEVICE_ID.source });
export const Uuid = Type.String({ format: "uuid" });
export const Sha256 = Type.String({ pattern: "^[0-9a-f]{64}$" });
export const TraceId = Type.String({ pattern: "^[0-9a-f]{32}$" });
export const Name = Type.String({ minLength: 1, maxLength: 128 });
export const Word = Type.String({ minLength: 1, maxLength: 64 });
export const FleetQueryText = Type.String({
  maxLength: LIMITS.queryLength,
  description:
    'Fleet query, for example `firmware.version < "2.4.0" and tags.site = "berlin" and online`',
});
export const Role = Type.Enum([
  "viewer",
  "operator",
  "fleet-engineer",
  "administrator",
  "auditor",
] as const);

/** A built-in role or one of the tenant's own. */
export const RoleName = Type.String({
  pattern: "^[a-z0-9][a-z0-9-]{0,62}$",
  description:
    "viewer, operator, fleet-engineer, administrator, auditor, or one of the tenant's own roles",
});
export const RoleGroups = Type.Array(Name, {
  minItems: 1,
  maxItems: 20,
  description: "Names of groups whose devices are meant; all devices where left out",
});

/** ISO 8601, or milliseconds since the epoch. */
export const Moment = Type.String({
  pattern:
    "^(\\d{1,16}|\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?(Z|[+-]\\d\\d:\\d\\d))?)$",
  description: "ISO 8601 with a time zone, or milliseconds since the epoch",
});

export const PageQuery = {
  cursor: Type.Optional(Type.String({ maxLength: 2048, description: "`nextCursor` of a page" })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.pageSize, default: 50 })),
};

export const TenantParams = strict({ tenant: TenantId });

export const ProblemView = view("Problem", {
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.Enum(Object.keys(ERROR_CATALOGUE)),
  traceId: TraceId,
  errors: Type.Optional(
    Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
      description: "Fields that were refused",
    }),
  ),
  details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
});

/** The answers of a route: the good one, and problem details for everything else. */
export function answers(status: number, schema: TSchema): Record<string, TSchema> {
  return { [status]: schema, "4xx": ProblemView, "5xx": ProblemView };
}

export const NoContent = Type.Null({ description: "Done; there is nothing to say" });
