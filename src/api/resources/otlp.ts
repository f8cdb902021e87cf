import { pipeline, type Readable, Transform } from "node:stream";
import { createGunzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Devices } from "../../devices/index.ts";
import { AppError, type Clock, isAppError, LIMITS } from "../../kernel/index.ts";
import { type DeviceSamples, encodeOtlpAnswer, type Logs, type Refused } from "../../logs/index.ts";
import type { DeviceIdentity } from "../../protocol/index.ts";
import type { Telemetry } from "../../telemetry/index.ts";
import { groupsOf, holds, type Principal, type Tenancy } from "../../tenancy/index.ts";
import { principalOf, tenantOf } from "../access.ts";
import { TenantParams } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface OtlpDeps {
  logs: Pick<Logs, "ingestOtlp" | "ingestOtlpMetrics">;
  telemetry: Pick<Telemetry, "ingestTelemetry">;
  devices: { metrics: Pick<Devices["metrics"], "productByDevice"> };
  tenancy: Pick<Tenancy, "usage">;
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
  const { usage } = deps.tenancy;
  usage.assertWithin(tenantId, "messages", "bytes");
  // As a device's message is: a request is one, whatever it holds, and its bytes are the unpacked ones.
  usage.count(tenantId, "messages");
  usage.count(tenantId, "bytes", BYTES_READ.get(request)?.bytes ?? 0);
  const { body } = request;
  const isProto = Buffer.isBuffer(body);
  const { rejected, reason } =
    signal === "metrics"
      ? await deps.logs.ingestOtlpMetrics(tenantId, body, (devices) =>
          keepAsTelemetry(deps, tenantId, devices),
        )
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

/** No message of a device holds more points. */
const SAMPLES_AT_ONCE = LIMITS.telemetryPointsPerMessage / LIMITS.telemetryMetricsPerSample;

/** Data points become the telemetry of the devices that they name, as if those had sent it. */
async function keepAsTelemetry(
  deps: OtlpDeps,
  tenantId: string,
  devices: ReadonlyMap<string, DeviceSamples>,
): Promise<Refused> {
  deps.tenancy.usage.assertWithin(tenantId, "points");
  const known = await deps.devices.metrics.productByDevice(tenantId, [...devices.keys()]);
  // At once: they share the batches that are written, and wait for the same write.
  const outcomes = await Promise.all(
    [...devices].map(([deviceId, { samples, points }]) =>
      known.has(deviceId)
        ? keepOfDevice(deps, { tenantId, deviceId }, samples, points)
        : { rejected: points, reason: `there is no device ${deviceId}` },
    ),
  );
  return {
    rejected: outcomes.reduce((total, one) => total + one.rejected, 0),
    reason: outcomes.find((one) => one.reason)?.reason ?? "",
  };
}

async function keepOfDevice(
  { telemetry, tenancy, clock }: OtlpDeps,
  peer: DeviceIdentity,
  samples: DeviceSamples["samples"],
  points: number,
): Promise<Refused> {
  let rejected = 0;
  let reason = "";
  for (let start = 0; start < samples.length; start += SAMPLES_AT_ONCE) {
    const part = samples.slice(start, start + SAMPLES_AT_ONCE);
    try {
      const taken = await telemetry.ingestTelemetry(peer, part, clock.now());
      tenancy.usage.count(peer.tenantId, "points", taken.accepted);
      const [first] = taken.rejected;
      rejected += taken.rejectedCount;
      if (first) reason ||= `${first.metric}: ${first.reason}`;
    } catch (error) {
      if (!isAppError(error, "message-invalid")) throw error;
      rejected += part.reduce((total, { values }) => total + Object.keys(values).length, 0);
      reason ||= error.message;
    }
  }
  // A histogram is one data point and several values.
  return { rejected: Math.min(rejected, points), reason };
}

/** How much of a request's body was read, unpacked. */
const BYTES_READ = new WeakMap<FastifyRequest, { bytes: number }>();

/** Hands the body on, and counts it. */
function counting(request: FastifyRequest, payload: Readable): Readable {
  const read = { bytes: 0 };
  BYTES_READ.set(request, read);
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      read.bytes += chunk.length;
      done(null, chunk);
    },
  });
  pipeline(payload, counter, () => undefined);
  return counter;
}

function acceptOtlp(api: Api): void {
  api.addContentTypeParser(PROTOBUF, { parseAs: "buffer" }, (_request, body, done) => {
    done(null, body);
  });
  api.addHook("preParsing", async (request, _reply, payload) => {
    const encoding = request.headers["content-encoding"];
    if (encoding === undefined || encoding === "identity") return counting(request, payload);
    if (encoding !== "gzip") {
      throw new AppError("unsupported-media-type", "the body may be plain or gzip");
    }
    // Fastify holds the announced length against what it reads, and the limit as well: of the unpacked
    // body, which it stops reading there.
    delete request.headers["content-length"];
    const unpacked = createGunzip();
    pipeline(payload, unpacked, () => undefined);
    return counting(request, unpacked);
  });
}
