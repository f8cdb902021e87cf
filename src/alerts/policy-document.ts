import { type Static, Type } from "typebox";
import { AppError } from "../kernel/index.ts";
import { isTimeZone, WEEKDAYS } from "../kernel/weekly-window.ts";
import { MAX_MATCHERS, parseMatchers } from "./matchers.ts";

const strict = { additionalProperties: false };
const Matchers = Type.Array(Type.String({ minLength: 1, maxLength: 700 }), {
  maxItems: MAX_MATCHERS,
  description: 'As Alertmanager writes them: `severity="critical"`, `device=~"hub-.*"`',
});
const Label = Type.String({ pattern: "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$" });
const Name = Type.String({ pattern: "^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$" });
const ChannelNames = Type.Array(Type.Union([Name, Type.Literal("*")]), {
  maxItems: 20,
  description: "Names of channels; `*` stands for every one",
});
const TimeOfDay = Type.String({ pattern: "^([01][0-9]|2[0-3]):[0-5][0-9]$" });

export const EscalationStep = Type.Object(
  {
    afterSeconds: Type.Integer({ minimum: 10, maximum: 604_800 }),
    channels: ChannelNames,
  },
  { ...strict, title: "EscalationStep" },
);

const settings = {
  groupBy: Type.Optional(
    Type.Array(Label, {
      maxItems: 10,
      description: "Alerts that agree in these labels are told together; `[]` makes one group",
    }),
  ),
  groupWaitSeconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 3_600, description: "Before a new group is told first" }),
  ),
  groupIntervalSeconds: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 86_400, description: "Before a changed group is told" }),
  ),
  repeatIntervalSeconds: Type.Optional(
    Type.Integer({ minimum: 60, maximum: 2_592_000, description: "Before the same is said again" }),
  ),
  channels: Type.Optional(ChannelNames),
  escalation: Type.Optional(Type.Array(EscalationStep, { maxItems: 10 })),
};

export const AlertRoute = Type.Object(
  {
    name: Name,
    matchers: Matchers,
    /** Alertmanager's `continue`: the routes after it are asked as well. */
    continue: Type.Optional(Type.Boolean()),
    ...settings,
  },
  { ...strict, title: "AlertRoute" },
);

export const MaintenanceWindow = Type.Object(
  {
    name: Name,
    matchers: Matchers,
    startsAt: Type.Optional(Type.String({ format: "date-time" })),
    endsAt: Type.Optional(Type.String({ format: "date-time" })),
    weekly: Type.Optional(
      Type.Object(
        {
          from: TimeOfDay,
          to: TimeOfDay,
          days: Type.Optional(
            Type.Array(Type.Enum(WEEKDAYS), { minItems: 1, maxItems: 7, uniqueItems: true }),
          ),
          timeZone: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
        },
        strict,
      ),
    ),
    comment: Type.Optional(Type.String({ maxLength: 512 })),
  },
  { ...strict, title: "MaintenanceWindow" },
);

export const Inhibition = Type.Object(
  {
    source: Matchers,
    target: Matchers,
    equal: Type.Optional(Type.Array(Label, { maxItems: 10 })),
  },
  { ...strict, title: "Inhibition" },
);

export const AlertPolicy = Type.Object(
  {
    default: Type.Optional(Type.Object(settings, { ...strict, title: "AlertDefaultRoute" })),
    routes: Type.Optional(Type.Array(AlertRoute, { maxItems: 50 })),
    inhibitions: Type.Optional(Type.Array(Inhibition, { maxItems: 50 })),
    maintenance: Type.Optional(Type.Array(MaintenanceWindow, { maxItems: 50 })),
  },
  { ...strict, title: "AlertPolicy" },
);

export type AlertPolicyDocument = Static<typeof AlertPolicy>;
export type MaintenanceWindowDocument = Static<typeof MaintenanceWindow>;

/** The default route's name; no other route may have it. */
export const DEFAULT_ROUTE = "default";

/** What holds where a tenant has said nothing: Alertmanager's intervals, every channel. */
export const DEFAULT_SETTINGS = {
  groupBy: ["kind", "rule"],
  groupWaitSeconds: 30,
  groupIntervalSeconds: 300,
  repeatIntervalSeconds: 14_400,
  channels: ["*"],
  escalation: [],
} satisfies AlertPolicyDocument["default"];

/**
 * While the platform itself is in trouble, or a whole fleet is silent, single devices' alerts of silence
 * are its consequences.
 */
export const DEFAULT_POLICY: AlertPolicyDocument = {
  default: {},
  routes: [],
  inhibitions: [
    {
      source: ['kind=~"devices-offline|platform-.*"'],
      target: ['kind="device-offline"'],
      equal: [],
    },
    {
      source: ['kind="fleet-anomaly"'],
      target: ['kind="anomaly"'],
      equal: ["metric"],
    },
  ],
  maintenance: [],
};

/** What the schema cannot say; every fault with its place. `channels` are the names that exist. */
export function checkPolicy(policy: AlertPolicyDocument, channels: readonly string[]): void {
  const errors: { path: string; message: string }[] = [];
  const known = new Set(["*", ...channels]);
  const readable = (matchers: readonly string[], path: string) => {
    try {
      parseMatchers(matchers, path);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      errors.push(...(error.details.errors as typeof errors));
    }
  };
  const reachable = (names: readonly string[] | undefined, path: string) => {
    for (const [index, name] of (names ?? []).entries()) {
      if (known.has(name)) continue;
      errors.push({ path: `${path}/${index}`, message: `there is no channel "${name}"` });
    }
  };
  const settle = (part: NonNullable<AlertPolicyDocument["default"]>, path: string) => {
    reachable(part.channels, `${path}/channels`);
    let last = 0;
    for (const [index, step] of (part.escalation ?? []).entries()) {
      const place = `${path}/escalation/${index}`;
      reachable(step.channels, `${place}/channels`);
      if (step.afterSeconds <= last) {
        errors.push({
          path: `${place}/afterSeconds`,
          message: "must be later than the step before",
        });
      }
      last = step.afterSeconds;
    }
  };
  settle(policy.default ?? {}, "/default");
  const names = new Set<string>([DEFAULT_ROUTE]);
  for (const [index, route] of (policy.routes ?? []).entries()) {
    const path = `/routes/${index}`;
    if (names.has(route.name)) {
      errors.push({ path: `${path}/name`, message: `"${route.name}" is taken by another route` });
    }
    names.add(route.name);
    readable(route.matchers, `${path}/matchers`);
    settle(route, path);
  }
  for (const [index, rule] of (policy.inhibitions ?? []).entries()) {
    readable(rule.source, `/inhibitions/${index}/source`);
    readable(rule.target, `/inhibitions/${index}/target`);
  }
  for (const [index, window] of (policy.maintenance ?? []).entries()) {
    readable(window.matchers, `/maintenance/${index}/matchers`);
    errors.push(...faultsOfWindow(window, `/maintenance/${index}`));
  }
  const [first] = errors;
  if (!first) return;
  throw new AppError("invalid-request", `${first.path}: ${first.message}`, {
    errors: errors.slice(0, 20),
  });
}

function faultsOfWindow(
  { startsAt, endsAt, weekly }: MaintenanceWindowDocument,
  path: string,
): { path: string; message: string }[] {
  if (!weekly && !(startsAt && endsAt)) {
    return [{ path, message: "needs startsAt and endsAt, or weekly" }];
  }
  if (startsAt && endsAt && !(Date.parse(endsAt) > Date.parse(startsAt))) {
    return [{ path: `${path}/endsAt`, message: "must come after startsAt" }];
  }
  if (weekly?.timeZone !== undefined && !isTimeZone(weekly.timeZone)) {
    return [
      { path: `${path}/weekly/timeZone`, message: `"${weekly.timeZone}" is no zone of the IANA's` },
    ];
  }
  return [];
}
