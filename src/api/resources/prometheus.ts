import type { FastifyReply, FastifyRequest } from "fastify";
import type { AppError, Clock } from "../../kernel/index.ts";
import { asAppError } from "../../kernel/problem.ts";
import { durationOf, PromqlError, type TelemetryQueries } from "../../telemetry-queries/index.ts";
import { tenantOf } from "../access.ts";
import { type PROMETHEUS_ERRORS, prometheusSchema } from "../schemas/prometheus.ts";
import type { Api } from "../types.ts";

export interface PrometheusDeps {
  clock: Clock;
  telemetryQueries: Pick<TelemetryQueries, "prometheus">;
}

const PREFIX = "/tenants/:tenant/prometheus/api/v1";
const MAX_FORM_BYTES = 64 * 1024;
const DEFAULT_SERIES = 10_000;
const MAX_VALUES = 100_000;
/** Who reads a chart of a year does not want the end of the year 9999. */
const MAX_MOMENT_S = 253_402_300_799;

type Answer = (
  tenantId: string,
  form: URLSearchParams,
  request: FastifyRequest,
) => Promise<unknown>;

/**
 * The reading half of Prometheus' HTTP API (prometheus.io/docs/prometheus/latest/querying/api), for
 * Grafana and others that speak it. Refusals have Prometheus' shape, also in openapi.json.
 */
export function prometheusRoutes(api: Api, deps: PrometheusDeps): void {
  api.addContentTypeParser(
    "application/x-www-form-urlencoded",
    { parseAs: "string", bodyLimit: MAX_FORM_BYTES },
    (_request, body, done) => done(null, body),
  );
  api.setErrorHandler((thrown, request, reply) => refuse(thrown, request, reply));
  const prometheus = () => deps.telemetryQueries.prometheus;
  const now = () => deps.clock.now() / 1000;

  read(api, "query", (tenantId, form) =>
    prometheus().query(tenantId, need(form, "query"), secondsOf(form, "time", now()) * 1000),
  );
  read(api, "query_range", (tenantId, form) => {
    const steps = {
      start: Math.round(secondsOf(form, "start") * 1000),
      end: Math.round(secondsOf(form, "end") * 1000),
      stepMs: stepOf(need(form, "step")),
    };
    return prometheus().queryRange(tenantId, need(form, "query"), steps);
  });
  read(api, "series", (tenantId, form) =>
    prometheus().series(tenantId, form.getAll("match[]"), limitOf(form)),
  );
  read(api, "labels", async (tenantId, form) => {
    const names = await prometheus().labelNames(tenantId, form.getAll("match[]"));
    return names.slice(0, limitOf(form));
  });
  read(api, "label/:label/values", async (tenantId, form, request) => {
    const { label } = request.params as { label: string };
    const values = await prometheus().labelValues(tenantId, label, form.getAll("match[]"));
    return values.slice(0, limitOf(form, MAX_VALUES));
  });
  read(api, "metadata", async (tenantId, form) => {
    const all = await prometheus().metadata(tenantId, form.get("metric") ?? undefined);
    return Object.fromEntries(Object.entries(all).slice(0, limitOf(form)));
  });
  // What Grafana asks to learn whom it speaks with, and for what there is none of here.
  read(api, "status/buildinfo", async () => BUILD);
  read(api, "query_exemplars", async () => []);
  read(api, "rules", async () => ({ groups: [] }));
  read(api, "alerts", async () => ({ alerts: [] }));
}

/** The version of the API that is spoken; features are found by it. */
const BUILD = {
  version: "2.55.0",
  revision: "",
  branch: "",
  buildUser: "",
  buildDate: "",
  goVersion: "",
};

/** The schemas are for openapi.json: what is asked is read here, and refused in Prometheus' words. */
const AS_IT_IS = {
  validatorCompiler: () => () => true,
  serializerCompiler: () => (answer: unknown) => JSON.stringify(answer),
};

/** GET with a query and POST with a form say the same. */
function read(api: Api, path: string, answer: Answer): void {
  const config = { access: "telemetry.read", readsOnly: true } as const;
  const handler = async (request: FastifyRequest) => {
    const url = request.raw.url ?? "";
    const query = url.includes("?") ? url.slice(url.indexOf("?") + 1) : "";
    const body = typeof request.body === "string" ? request.body : "";
    const form = new URLSearchParams(body === "" ? query : `${body}&${query}`);
    for (const value of form.values()) {
      if (value.includes("\0") || !value.isWellFormed()) throw new PromqlError("no text", 0);
    }
    return { status: "success", data: await answer(tenantOf(request), form, request) };
  };
  for (const method of ["GET", "POST"] as const) {
    const schema = prometheusSchema(path, method);
    api.route({ method, url: `${PREFIX}/${path}`, config, schema, handler, ...AS_IT_IS });
  }
}

function need(form: URLSearchParams, name: string): string {
  const text = form.get(name);
  if (!text) throw new PromqlError(`invalid parameter "${name}": it is missing`, 0);
  return text;
}

/** Unix seconds or RFC 3339. */
function secondsOf(form: URLSearchParams, name: string, otherwise?: number): number {
  const text = form.get(name) ?? "";
  if (text === "" && otherwise !== undefined) return otherwise;
  const value = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : Date.parse(text) / 1000;
  if (!(value >= 0 && value <= MAX_MOMENT_S)) {
    throw new PromqlError(`invalid parameter "${name}": cannot parse "${text.slice(0, 40)}"`, 0);
  }
  return value;
}

function stepOf(text: string): number {
  if (/^-|^0+(\.0+)?$/.test(text))
    throw new PromqlError("zero or negative step is not accepted", 0);
  return durationOf(text, 0);
}

/** As in Prometheus, 0 is as many as there may be. */
function limitOf(form: URLSearchParams, most = DEFAULT_SERIES): number {
  const limit = Number(form.get("limit") ?? most);
  return limit >= 1 ? Math.min(Math.floor(limit), most) : most;
}

type ErrorType = (typeof PROMETHEUS_ERRORS)[number];

const TYPES: Record<number, ErrorType> = {
  400: "bad_data",
  401: "unauthorized",
  403: "forbidden",
  404: "not_found",
  413: "bad_data",
  422: "execution",
  429: "too_many_requests",
  503: "unavailable",
};

function refuse(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (thrown instanceof PromqlError) {
    const place = thrown.position > 0 ? ` (at character ${thrown.position + 1})` : "";
    return reply.code(400).send(problem("bad_data", `${thrown.message}${place}`));
  }
  const error = asAppError(thrown);
  request.refusal = error;
  // Prometheus answers 422 where an expression is well-formed and cannot be executed.
  const status = isExpensive(error) ? 422 : error.status;
  return reply.code(status).send(problem(TYPES[status] ?? "internal", error.message));
}

const isExpensive = (error: AppError) => error.code === "query-too-expensive";

function problem(errorType: ErrorType, error: string) {
  return { status: "error", errorType, error };
}
