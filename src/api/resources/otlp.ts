import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Devices } from "../../devices/index.ts";
import { AppError, type Clock, isAppError, LIMITS } from "../../kernel/index.ts";
import { encodeOtlpAnswer, type Logs } from "../../logs/index.ts";
import type { Telemetry } from "../../telemetry/index.ts";
import { groupsOf, holds, type Principal } from "../../tenancy/index.ts";
import { principalOf, tenantOf } from "../access.ts";
import { TenantParams } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface OtlpDeps {
  logs: Pick<Logs, "ingestOtlp" | "readOtlpMetrics">;
  telemetry: Pick<Telemetry, "ingestTelemetry">;
  devices: { metrics: Pick<Devices["metrics"], "productByDevice"> };
  clock: Clock;
}

/** Signal -> the operation of its route, and OTLP's word for what was rejected. */
const SIGNALS = {
  logs: { operationId: "sendLogs", rejected: "rejectedLogRecords" },
  traces: { operationId: "sendTraces", rejected: "rejectedSpans" },
  metrics: { operationId: "sendMetrics", rejected: "rejectedDataPoints" },
} as const;
type Signal = keyof typeof SIGNALS;
const ALL = Object.keys(SIGNALS) as Signal[];

/** After unpacking: a few bytes of gzip can stand for gigabytes. */
const BODY_LIMIT_BYTES = 8 * 1024 * 1024;
const PROTOBUF = "application/x-protobuf";

/**
 * OpenTelemetry's way in (OTLP/HTTP 1.x): JSON and protobuf, plain or gzip. Below a tenant, so that
 * `OTEL_EXPORTER_OTLP_ENDPOINT=https://HOST/api/v1/tenants/TENANT/otlp` is all that an exporter needs.
 */
export function otlpRoutes(api: Api, deps: OtlpDeps): void {
  acceptOtlp(api);
  for (const signal of ALL) {
    api.post(
      `/tenants/:tenant/otlp/v1/${signal}`,
      {
        bodyLimit: BODY_LIMIT_BYTES,
        // Lines come by the thousand: the audit log is for what people do.
        config: { access: "observations.write", readsOnly: true },
        schema: {
          operationId: SIGNALS[signal].operationId,
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
  for (const signal of ALL) {
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
  deps: OtlpDeps,
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
  const { rejected, reason } =
    signal === "metrics"
      ? await takeMetrics(deps, tenantId, body)
      : await deps.logs.ingestOtlp(tenantId, signal, body);
  if (isProto) {
    reply.serializer((bytes) => bytes as string);
    return reply.type(PROTOBUF).send(encodeOtlpAnswer(rejected, reason));
  }
  const count = SIGNALS[signal].rejected;
  // OTLP §Partial success: a field that is set says that something was rejected.
  const partialSuccess = rejected > 0 ? { [count]: String(rejected), errorMessage: reason } : {};
  return reply.send({ partialSuccess });
}

/** Data points become the telemetry of the devices that they name, as if those had sent it. */
async function takeMetrics(
  { logs, telemetry, devices, clock }: OtlpDeps,
  tenantId: string,
  body: unknown,
): Promise<{ rejected: number; reason: string }> {
  const { samples, ...result } = logs.readOtlpMetrics(tenantId, body);
  const known = await devices.metrics.productByDevice(tenantId, [...samples.keys()]);
  const reject = (points: number, reason: string) => {
    result.rejected += points;
    result.reason ||= reason;
  };
  for (const [deviceId, all] of samples) {
    if (!known.has(deviceId)) {
      reject(valuesIn(all), `there is no device ${deviceId}`);
      continue;
    }
    for (let start = 0; start < all.length; start += SAMPLES_AT_ONCE) {
      const part = all.slice(start, start + SAMPLES_AT_ONCE);
      try {
        const taken = await telemetry.ingestTelemetry({ tenantId, deviceId }, part, clock.now());
        const [first] = taken.rejected;
        if (first) reject(taken.rejectedCount, `${first.metric}: ${first.reason}`);
      } catch (error) {
        if (!isAppError(error, "message-invalid")) throw error;
        reject(valuesIn(part), error.message);
      }
    }
  }
  return result;
}

/** No message of a device holds more points. */
const SAMPLES_AT_ONCE = LIMITS.telemetryPointsPerMessage / LIMITS.telemetryMetricsPerSample;

function valuesIn(samples: readonly { values: object }[]): number {
  return samples.reduce((total, { values }) => total + Object.keys(values).length, 0);
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
