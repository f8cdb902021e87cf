import { Type } from "typebox";
import type { Clock } from "../../kernel/index.ts";
import { metricsRegistry } from "../../kernel/metrics.ts";
import { view } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface OperationsDeps {
  clock: Clock;
  /** Store name -> a check that resolves when it answers. */
  readiness: Readonly<Record<string, () => Promise<void>>>;
  /** The figures of every process in Prometheus' text format; this one's where absent. */
  metrics?(): Promise<string>;
}

const CHECK_TIMEOUT_MS = 3_000;
/** Answers are kept this long, so that asking often does not load the stores. */
const KEPT_MS = 1_000;

const ReadinessView = view("Readiness", {
  ready: Type.Boolean(),
  checks: Type.Record(Type.String(), Type.Enum(["up", "down"] as const)),
});

interface Readiness {
  ready: boolean;
  checks: Record<string, "up" | "down">;
}

/** Liveness, readiness and figures, for load balancers and Prometheus. */
export function operationsRoutes(api: Api, deps: OperationsDeps): void {
  const { clock, readiness, metrics = () => metricsRegistry.metrics() } = deps;
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

  let latest: { at: number; answer: Promise<Readiness> } | undefined;
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
      if (!latest || clock.now() - latest.at > KEPT_MS) {
        latest = { at: clock.now(), answer: checkAll(readiness) };
      }
      const answer = await latest.answer;
      return reply.code(answer.ready ? 200 : 503).send(answer);
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
      // Text as it is: the serializer would make a JSON string of it.
      reply.serializer((text) => text as string);
      return reply.type(metricsRegistry.contentType).send(await metrics());
    },
  );
}

async function checkAll(readiness: OperationsDeps["readiness"]): Promise<Readiness> {
  const entries = await Promise.all(
    Object.entries(readiness).map(async ([name, check]) => {
      const isUp = await withinTime(check).then(
        () => true,
        () => false, // The check's own error is logged by the store that failed.
      );
      return [name, isUp ? "up" : "down"] as const;
    }),
  );
  return {
    ready: entries.every(([, state]) => state === "up"),
    checks: Object.fromEntries(entries),
  };
}

function withinTime(check: () => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no answer")), CHECK_TIMEOUT_MS);
    check()
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}
