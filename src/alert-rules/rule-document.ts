import { type Static, Type } from "typebox";
import { AppError, LIMITS } from "../kernel/index.ts";

const strict = { additionalProperties: false };
const LABEL = "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$";

export const SOURCE_KINDS = [
  "devices",
  "metric",
  "anomalies",
  "logs",
  "rollouts",
  "certificates",
  "quota",
  "platform",
] as const;
export type SourceKind = (typeof SOURCE_KINDS)[number];

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export const PLATFORM_CHECKS = [
  "postgresql",
  "clickhouse",
  "blobs",
  "disk",
  "writes",
  "journal",
  "bus",
  "any",
] as const;

/** Where a rule's figures come from; which parts it has depends on its kind. */
export const RuleSource = Type.Object(
  {
    kind: Type.Enum(SOURCE_KINDS),
    query: Type.Optional(
      Type.String({
        maxLength: LIMITS.queryLength,
        description: "Fleet query: of these devices. For `devices` it is the condition itself",
      }),
    ),
    within: Type.Optional(
      Type.String({
        maxLength: LIMITS.queryLength,
        description: "devices, measure share: the fleet query of what counts as the whole",
      }),
    ),
    per: Type.Optional(
      Type.Enum(["device", "fleet"] as const, {
        description: "One figure for each device, which is the default, or one for all",
      }),
    ),
    measure: Type.Optional(
      Type.Enum(["count", "share"] as const, {
        description: "devices per fleet: how many, or which share of the whole (0 to 1)",
      }),
    ),
    metric: Type.Optional(Type.String({ minLength: 1, maxLength: LIMITS.metricNameLength })),
    aggregate: Type.Optional(Type.Enum(["mean", "min", "max", "p50", "p95"] as const)),
    windowSeconds: Type.Optional(Type.Integer({ minimum: 10, maximum: 7 * 86_400 })),
    words: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
    level: Type.Optional(Type.Enum(LEVELS, { description: "This and what is more severe" })),
    states: Type.Optional(
      Type.Array(Type.String({ maxLength: 32 }), { minItems: 1, maxItems: 10 }),
    ),
    resource: Type.Optional(Type.Enum(["devices"] as const)),
    check: Type.Optional(Type.Enum(PLATFORM_CHECKS)),
  },
  { ...strict, title: "AlertRuleSource" },
);
export type RuleSourceDocument = Static<typeof RuleSource>;

const OPERATORS = [">", ">=", "<", "<=", "==", "!="] as const;

const Labels = (value: number) =>
  Type.Record(Type.String({ pattern: LABEL }), Type.String({ maxLength: value }), {
    maxProperties: 20,
  });

export const AlertRuleSpec = Type.Object(
  {
    name: Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$" }),
    description: Type.Optional(Type.String({ maxLength: 1_024 })),
    enabled: Type.Optional(Type.Boolean()),
    severity: Type.Enum(["info", "warning", "critical"] as const),
    source: RuleSource,
    condition: Type.Optional(
      Type.Object(
        {
          operator: Type.Enum(OPERATORS),
          threshold: Type.Number(),
          clearThreshold: Type.Optional(
            Type.Number({
              description: "Hysteresis: once it fires, the condition holds until this is passed",
            }),
          ),
        },
        strict,
      ),
    ),
    forSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 7 * 86_400, description: "Prometheus's `for`" }),
    ),
    keepFiringForSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 7 * 86_400,
        description: "Prometheus's `keep_firing_for`",
      }),
    ),
    everySeconds: Type.Optional(Type.Integer({ minimum: 5, maximum: 86_400 })),
    noData: Type.Optional(
      Type.Enum(["resolve", "keep"] as const, {
        description: "What becomes of an alert whose figure is missing",
      }),
    ),
    collapseAbove: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000,
        description: "From more devices on, one alert speaks for all of them",
      }),
    ),
    labels: Type.Optional(Labels(256)),
    annotations: Type.Optional(Labels(1_024)),
  },
  { ...strict, title: "AlertRuleSpec" },
);
export type AlertRuleDocument = Static<typeof AlertRuleSpec>;
export type Condition = NonNullable<AlertRuleDocument["condition"]>;

/** What a kind takes besides `kind`; those with a mark must be there. */
const PARTS: Record<SourceKind, readonly string[]> = {
  devices: ["query!", "per", "measure", "within"],
  metric: ["metric!", "aggregate", "windowSeconds", "query", "per"],
  anomalies: ["metric", "per"],
  logs: ["words", "level", "windowSeconds", "per"],
  rollouts: ["states"],
  certificates: ["query"],
  quota: ["resource!"],
  platform: ["check!"],
};

const DEFAULT_CONDITIONS: Partial<Record<SourceKind, Condition>> = {
  devices: { operator: ">", threshold: 0 },
  anomalies: { operator: ">", threshold: 0 },
  logs: { operator: ">", threshold: 0 },
  rollouts: { operator: ">=", threshold: 0 },
  platform: { operator: ">", threshold: 0 },
};

export const DEFAULTS = {
  everySeconds: 30,
  forSeconds: 0,
  keepFiringForSeconds: 0,
  collapseAbove: 20,
  windowSeconds: 300,
} as const;

export function conditionOf({ condition, source }: AlertRuleDocument): Condition {
  return condition ?? DEFAULT_CONDITIONS[source.kind] ?? { operator: ">", threshold: 0 };
}

/** What the schema cannot say; every fault with its place. `parseQuery` throws what is wrong. */
export function checkRule(spec: AlertRuleDocument, parseQuery: (text: string) => unknown): void {
  const { source, condition } = spec;
  const errors: { path: string; message: string }[] = [];
  const parts = PARTS[source.kind];
  for (const key of Object.keys(source)) {
    if (key !== "kind" && !parts.includes(key) && !parts.includes(`${key}!`)) {
      errors.push({ path: `/source/${key}`, message: `a rule on ${source.kind} has none` });
    }
  }
  for (const part of parts) {
    const name = part.slice(0, -1) as keyof RuleSourceDocument;
    if (part.endsWith("!") && source[name] === undefined) {
      errors.push({ path: `/source/${name}`, message: "is missing" });
    }
  }
  for (const key of ["query", "within"] as const) {
    const text = source[key];
    if (text === undefined) continue;
    try {
      parseQuery(text);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      errors.push({ path: `/source/${key}`, message: error.message });
    }
  }
  if (!condition && !DEFAULT_CONDITIONS[source.kind]) {
    errors.push({ path: "/condition", message: `a rule on ${source.kind} needs one` });
  }
  if (condition?.clearThreshold !== undefined && !clearsLater(condition)) {
    errors.push({
      path: "/condition/clearThreshold",
      message: `must lie on the quiet side of the threshold ${condition.threshold}`,
    });
  }
  const isPerDevice = (source.per ?? "device") === "device";
  if (source.kind === "devices" && isPerDevice && (source.measure || source.within)) {
    errors.push({ path: "/source/measure", message: "needs per: fleet" });
  }
  if (source.within !== undefined && source.measure !== "share") {
    errors.push({ path: "/source/within", message: "needs measure: share" });
  }
  const [first] = errors;
  if (!first) return;
  throw new AppError("invalid-request", `${first.path}: ${first.message}`, { errors });
}

function clearsLater({ operator, threshold, clearThreshold = threshold }: Condition): boolean {
  if (operator.startsWith(">")) return clearThreshold <= threshold;
  if (operator.startsWith("<")) return clearThreshold >= threshold;
  return clearThreshold === threshold;
}
