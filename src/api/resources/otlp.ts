import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../../kernel/index.ts";
import { encodeOtlpAnswer, type Logs } from "../../logs/index.ts";
import { groupsOf, holds, type Principal } from "../../tenancy/index.ts";
import { principalOf, tenantOf } from "../access.ts";
import { TenantParams } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface OtlpDeps {
  logs: Pick<Logs, "ingestOtlp">;
}

type Signal = Parameters<Logs["ingestOtlp"]>[1];

/** After unpacking: a few bytes of gzip can stand for gigabytes. */
const BODY_LIMIT_BYTES = 8 * 1024 * 1024;
const PROTOBUF = "application/x-protobuf";

/**
 * OpenTelemetry's way in (OTLP/HTTP 1.x): JSON and protobuf, plain or gzip. Below a tenant, so that
 * `OTEL_EXPORTER_OTLP_ENDPOINT=https://HOST/api/v1/tenants/TENANT/otlp` is all that an exporter needs.
 */
export function otlpRoutes(api: Api, deps: OtlpDeps): void {
  acceptOtlp(api);
  for (const signal of ["logs", "traces"] as const) {
    api.post(
      `/tenants/:tenant/otlp/v1/${signal}`,
      {
        bodyLimit: BODY_LIMIT_BYTES,
        // Lines come by the thousand: the audit log is for what people do.
        config: { access: "observations.write", readsOnly: true },
        schema: {
          operationId: signal === "logs" ? "sendLogs" : "sendTraces",
          description: "OTLP/HTTP: JSON or protobuf, plain or gzip",
          tags: ["logs"],
          params: TenantParams,
        },
      },
      async (request, reply) => answer(deps, signal, tenantOf(request), request, reply),
    );
  }
}

/** The same at OTLP's own paths; the key says which tenant, the header does where it has several. */
export function otlpRootRoutes(api: Api, deps: OtlpDeps): void {
  acceptOtlp(api);
  for (const signal of ["logs", "traces"] as const) {
    api.post(
      `/v1/${signal}`,
      {
        bodyLimit: BODY_LIMIT_BYTES,
        config: { access: "signed-in", readsOnly: true },
        schema: { hide: true },
      },
      async (request, reply) => {
        const tenantId = tenantOfKey(principalOf(request), request.headers["x-vautn-tenant"]);
        return answer(deps, signal, tenantId, request, reply);
      },
    );
  }
}

function tenantOfKey(principal: Principal, named: string | string[] | undefined): string {
  const own = Object.keys(principal.rolesByTenant);
  const tenantId = typeof named === "string" ? named : own.length === 1 ? own[0] : undefined;
  if (tenantId === undefined) {
    throw new AppError("invalid-request", "name the tenant in the header x-vautn-tenant");
  }
  if (!holds(principal, tenantId, "observations.write")) {
    throw new AppError("forbidden", "the key may not send observations to this tenant");
  }
  return tenantId;
}

async function answer(
  { logs }: OtlpDeps,
  signal: Signal,
  tenantId: string,
  request: FastifyRequest,
  reply: FastifyReply,
) {
  // Lines name their devices themselves: a key for some of them could write in the others' names.
  if (groupsOf(principalOf(request), tenantId) !== null) {
    throw new AppError("forbidden", "who is confined to groups of devices sends nothing by OTLP");
  }
  const { body } = request;
  const isProto = Buffer.isBuffer(body);
  const { rejected, reason } = await logs.ingestOtlp(tenantId, signal, body);
  if (isProto) {
    reply.serializer((bytes) => bytes as string);
    return reply.type(PROTOBUF).send(encodeOtlpAnswer(rejected, reason));
  }
  const count = signal === "logs" ? "rejectedLogRecords" : "rejectedSpans";
  // OTLP §Partial success: a field that is set says that something was rejected.
  const partialSuccess = rejected > 0 ? { [count]: String(rejected), errorMessage: reason } : {};
  return reply.send({ partialSuccess });
}

function acceptOtlp(api: Api): void {
  api.addContentTypeParser(PROTOBUF, { parseAs: "buffer" }, (_request, body, done) => {
    done(null, body);
  });
  api.addHook("preParsing", async (request, _reply, payload) => {
    const encoding = request.headers["content-encoding"];
    if (encoding === undefined || encoding === "identity") return payload;
    if (encoding !== "gzip") {
      throw new AppError("unsupported-media-type", "the body may be plain or gzip");
    }
    // Fastify holds the announced length against what it reads, and the limit as well: of the unpacked
    // body, which it stops reading there.
    delete request.headers["content-length"];
    const unpacked = createGunzip();
    pipeline(payload, unpacked, () => undefined);
    return unpacked;
  });
}
