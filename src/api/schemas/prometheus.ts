import { type TProperties, type TSchema, Type } from "typebox";
import { strict, TenantId, view } from "./common.ts";

/** Kinds of refusals, as Prometheus' HTTP API calls them. */
export const PROMETHEUS_ERRORS = [
  "bad_data",
  "execution",
  "unauthorized",
  "forbidden",
  "not_found",
  "too_many_requests",
  "unavailable",
  "internal",
] as const;

const PrometheusErrorView = view("PrometheusError", {
  status: Type.Literal("error"),
  errorType: Type.Enum([...PROMETHEUS_ERRORS]),
  error: Type.String({ description: "What is wrong, and at which character of the expression" }),
});

const moment = (description: string) =>
  Type.String({ description: `${description}: seconds since 1970, or RFC 3339` });
const Query = Type.String({ description: "An expression of PromQL; a subset is served" });
const Matchers = Type.Array(Type.String(), { description: 'Such as `{region="eu"}`; none: all' });
const Limit = Type.Optional(
  Type.Integer({ minimum: 0, description: "0: as many as there may be" }),
);
const Labels = Type.Record(Type.String(), Type.String());
const Names = Type.Array(Type.String());
/** Pairs of a moment in seconds and a value as text, or whole series of them with their labels. */
const Result = Type.Object({
  resultType: Type.Enum(["scalar", "vector", "matrix"]),
  result: Type.Array(Type.Unknown()),
});
const OfMatchers = {
  "match[]": Type.Optional(Matchers),
  limit: Limit,
};

interface PrometheusRoute {
  operationId: string;
  summary: string;
  form: TProperties;
  /** What the answer is called, and what it holds. */
  answer: string;
  data: TSchema;
  /** Prometheus takes a form for these too, for questions that are long. */
  byPost?: boolean;
}

/** Each route below `/prometheus/api/v1`, as Prometheus documents its own. */
export const PROMETHEUS_ROUTES: Record<string, PrometheusRoute> = {
  query: {
    operationId: "prometheusQuery",
    summary: "An expression at one moment",
    form: { query: Query, time: Type.Optional(moment("When; now by default")) },
    answer: "PrometheusResult",
    data: Result,
    byPost: true,
  },
  query_range: {
    operationId: "prometheusQueryRange",
    summary: "An expression over time",
    form: {
      query: Query,
      start: moment("The first moment"),
      end: moment("The last one"),
      step: Type.String({ description: "Seconds, or a duration such as `5m`" }),
    },
    answer: "PrometheusResult",
    data: Result,
    byPost: true,
  },
  series: {
    operationId: "prometheusSeries",
    summary: "The labels of each series that a matcher finds",
    form: { "match[]": Matchers, limit: Limit },
    answer: "PrometheusSeries",
    data: Type.Array(Labels),
    byPost: true,
  },
  labels: {
    operationId: "prometheusLabels",
    summary: "Names of labels",
    form: OfMatchers,
    answer: "PrometheusNames",
    data: Names,
    byPost: true,
  },
  "label/:label/values": {
    operationId: "prometheusLabelValues",
    summary: "Values of one label",
    form: OfMatchers,
    answer: "PrometheusNames",
    data: Names,
  },
  metadata: {
    operationId: "prometheusMetadata",
    summary: "Types, units and descriptions of metrics",
    form: { metric: Type.Optional(Type.String()), limit: Limit },
    answer: "PrometheusMetadata",
    data: Type.Record(
      Type.String(),
      Type.Array(Type.Object({ type: Type.String(), help: Type.String(), unit: Type.String() })),
    ),
  },
};

/** What openapi.json says of a route; the parameters are read by the route itself. */
export function prometheusSchema(path: string, method: "GET" | "POST"): object {
  const route = PROMETHEUS_ROUTES[path];
  // What a reader asks to learn whom it speaks with: Prometheus' answers, always the same here.
  if (route === undefined || (method === "POST" && !route.byPost)) return { hide: true };
  const { operationId, summary, form, data } = route;
  const answer = view(route.answer, { status: Type.Literal("success"), data });
  const label: TProperties = path.includes(":label") ? { label: Type.String() } : {};
  return {
    operationId: method === "GET" ? operationId : `${operationId}ByForm`,
    summary,
    tags: ["prometheus"],
    params: strict({ tenant: TenantId, ...label }),
    ...(method === "GET"
      ? { querystring: Type.Object(form) }
      : { body: Type.Object(form), consumes: ["application/x-www-form-urlencoded"] }),
    response: { 200: answer, "4xx": PrometheusErrorView, "5xx": PrometheusErrorView },
  };
}
