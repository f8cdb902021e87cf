import { Type } from "typebox";
import type { CheckResult } from "../../kernel/health-checks.ts";
import { gauge, metricsRegistry } from "../../kernel/metrics.ts";
import { view } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface OperationsDeps {
  /** How each part stands that the platform depends on. */
  health(): Promise<CheckResult[]>;
  /** The figures of every process in Prometheus' text format; this one's where absent. */
  metrics?(): Promise<string>;
}

const ReadinessView = view("Readiness", {
  ready: Type.Boolean(),
  state: Type.Enum(["ok", "degraded", "failed"] as const, {
    description: "The worst of all checks; degraded is ready all the same",
  }),
  checks: Type.Record(Type.String(), Type.Enum(["up", "degraded", "down"] as const)),
  reasons: Type.Record(Type.String(), Type.String(), {
    description: "Why a check is not up",
  }),
});

const WORDS = { ok: "up", degraded: "degraded", failed: "down" } as const;
const HEALTH_GAUGE = gauge(
  "vautn_health",
  "Whether a part works: 1 up, 0.5 degraded, 0 down",
  ["check"],
  "max",
);
const HEALTH_VALUES = { ok: 1, degraded: 0.5, failed: 0 } as const;

/** Liveness, readiness and figures, for load balancers and Prometheus. */
export function operationsRoutes(api: Api, deps: OperationsDeps): void {
  const { metrics = () => metricsRegistry.metrics() } = deps;
  api.get(
    "/healthz",
    {
      config: { access: "public" },
      schema: {
        operationId: "getHealth",
        tags: ["operations"],
        security: [],
        response: { 200: view("Health", { status: Type.Literal("ok") }) },
      },
    },
    async () => ({ status: "ok" as const }),
  );

  api.get(
    "/readyz",
    {
      config: { access: "public" },
      schema: {
        operationId: "getReadiness",
        tags: ["operations"],
        security: [],
        response: { 200: ReadinessView, 503: ReadinessView },
      },
    },
    async (_request, reply) => {
      const results = await deps.health();
      const worst = (state: CheckResult["state"]) => results.some((one) => one.state === state);
      const state = worst("failed") ? "failed" : worst("degraded") ? "degraded" : "ok";
      const ready = state !== "failed";
      return reply.code(ready ? 200 : 503).send({
        ...{ ready, state },
        checks: Object.fromEntries(results.map((one) => [one.name, WORDS[one.state]])),
        reasons: Object.fromEntries(
          results.flatMap(({ name, reason }) => (reason ? [[name, reason]] : [])),
        ),
      });
    },
  );

  api.get(
    "/metrics",
    {
      config: { access: "public" },
      schema: {
        operationId: "getMetrics",
        tags: ["operations"],
        security: [],
        response: { 200: Type.String({ description: "Prometheus text format" }) },
      },
    },
    async (_request, reply) => {
      for (const { name, state } of await deps.health()) {
        HEALTH_GAUGE.set({ check: name }, HEALTH_VALUES[state]);
      }
      // Text as it is: the serializer would make a JSON string of it.
      reply.serializer((text) => text as string);
      return reply.type(metricsRegistry.contentType).send(await metrics());
    },
  );
}
