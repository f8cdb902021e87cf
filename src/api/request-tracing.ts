import { AsyncResource } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { type Span, SpanKind } from "@opentelemetry/api";
import type { FastifyRequest } from "fastify";
import { histogram } from "../kernel/metrics.ts";
import { formatTraceparent, parseTraceparent, withSpan } from "../kernel/tracing.ts";
import type { Api } from "./types.ts";

const requestSeconds = histogram(
  "vautn_http_request_seconds",
  "Time from a request's arrival to the end of its answer",
  [0.005, 0.025, 0.1, 0.5, 2, 10],
  ["method", "route", "status"],
);

interface Running {
  span: Span;
  scope: AsyncResource;
  startedAt: number;
}

/**
 * Each request runs in a span of its own, under the caller's `traceparent` where one came (W3C
 * Trace Context §3.2). The answer names the trace; the tenant is told once the caller is let in, so
 * that a stranger's request does not show in the trace store of the tenant that it names.
 */
export function traceRequests(api: Api): void {
  const running = new WeakMap<FastifyRequest, Running>();

  api.addHook("onRequest", (request, reply, done) => {
    const route = request.routeOptions.url ?? "(none)";
    const parent = request.headers.traceparent;
    void withSpan(
      `${request.method} ${route}`,
      { "http.request.method": request.method, "http.route": route },
      (span) =>
        new Promise<void>((resolve) => {
          running.set(request, {
            span,
            scope: new AsyncResource("vautn-request"),
            startedAt: performance.now(),
          });
          const traceparent = traceparentOf(span, parent);
          request.traceparent = traceparent;
          request.traceId = parseTraceparent(traceparent)?.traceId ?? "";
          reply.header("traceparent", traceparent).header("x-trace-id", request.traceId);
          // The span ends when the answer has left, or when the caller has gone away.
          reply.raw.once("close", resolve);
          done();
        }),
      { parent: typeof parent === "string" ? parent : null, kind: SpanKind.SERVER },
    );
  });

  // Reading a body continues in the socket's context; what follows belongs to the request again.
  api.addHook("preValidation", (request, _reply, done) => {
    const scope = running.get(request)?.scope;
    if (scope) scope.runInAsyncScope(done);
    else done();
  });

  api.addHook("preHandler", (request, _reply, done) => {
    const { span } = running.get(request) ?? {};
    if (request.tenantId) span?.setAttribute("vautn.tenant", request.tenantId);
    if (request.principal) span?.setAttribute("vautn.actor", request.principal.actor.id);
    done();
  });

  api.addHook("onResponse", (request, reply, done) => {
    const entry = running.get(request);
    entry?.span.setAttribute("http.response.status_code", reply.statusCode);
    requestSeconds.observe(
      {
        method: request.method,
        route: request.routeOptions.url ?? "(none)",
        status: String(reply.statusCode),
      },
      (performance.now() - (entry?.startedAt ?? performance.now())) / 1000,
    );
    done();
  });
}

/** The span's own; where nothing records spans, the caller's trace goes on or a new one starts. */
function traceparentOf(span: Span, parent: unknown): string {
  const { traceId, spanId } = span.spanContext();
  if (!/^0+$/.test(traceId)) return formatTraceparent(traceId, spanId);
  const incoming = parseTraceparent(parent);
  return formatTraceparent(
    incoming?.traceId ?? randomBytes(16).toString("hex"),
    randomBytes(8).toString("hex"),
  );
}
