import { isWithin } from "../kernel/weekly-window.ts";
import { type Labels, type Matcher, matchesAll, parseMatchers } from "./matchers.ts";
import {
  type AlertPolicyDocument,
  DEFAULT_ROUTE,
  DEFAULT_SETTINGS,
  type MaintenanceWindowDocument,
} from "./policy-document.ts";

/** A route with everything that it leaves to the default filled in. */
export interface Route {
  name: string;
  matchers: Matcher[];
  goesOn: boolean;
  groupBy: readonly string[];
  groupWaitMs: number;
  groupIntervalMs: number;
  repeatIntervalMs: number;
  channels: readonly string[];
  escalation: readonly { afterMs: number; channels: readonly string[] }[];
}

/** A policy with its matchers read, ready to be asked. */
export interface Policy {
  routes: readonly Route[];
  fallback: Route;
  inhibitions: readonly { source: Matcher[]; target: Matcher[]; equal: readonly string[] }[];
  maintenance: readonly { matchers: Matcher[]; window: MaintenanceWindowDocument }[];
}

export interface Silence {
  id: string;
  matchers: Matcher[];
  startsAt: number;
  endsAt: number;
}

export function readPolicy(document: AlertPolicyDocument): Policy {
  const fallback = routeOf(DEFAULT_ROUTE, [], false, { ...DEFAULT_SETTINGS, ...document.default });
  return {
    fallback,
    routes: (document.routes ?? []).map((route) =>
      routeOf(route.name, parseMatchers(route.matchers, ""), route.continue ?? false, {
        ...DEFAULT_SETTINGS,
        ...document.default,
        ...route,
      }),
    ),
    inhibitions: (document.inhibitions ?? []).map(({ source, target, equal = [] }) => ({
      source: parseMatchers(source, ""),
      target: parseMatchers(target, ""),
      equal,
    })),
    maintenance: (document.maintenance ?? []).map((window) => ({
      matchers: parseMatchers(window.matchers, ""),
      window,
    })),
  };
}

function routeOf(
  name: string,
  matchers: Matcher[],
  goesOn: boolean,
  given: Required<NonNullable<AlertPolicyDocument["default"]>>,
): Route {
  return {
    name,
    matchers,
    goesOn,
    groupBy: given.groupBy,
    groupWaitMs: given.groupWaitSeconds * 1_000,
    groupIntervalMs: given.groupIntervalSeconds * 1_000,
    repeatIntervalMs: given.repeatIntervalSeconds * 1_000,
    channels: given.channels,
    escalation: given.escalation.map(({ afterSeconds, channels }) => ({
      afterMs: afterSeconds * 1_000,
      channels,
    })),
  };
}

/** The routes that an alert takes: the first that fits, and those after it while they go on. */
export function routesFor(policy: Policy, labels: Labels): Route[] {
  const taken: Route[] = [];
  for (const route of policy.routes) {
    if (!matchesAll(route.matchers, labels)) continue;
    taken.push(route);
    if (!route.goesOn) return taken;
  }
  return taken.length > 0 ? taken : [policy.fallback];
}

/** The labels by which a route puts an alert into a group. */
export function groupLabels(route: Route, labels: Labels): Record<string, string> {
  return Object.fromEntries(
    route.groupBy
      .filter((label) => Object.hasOwn(labels, label))
      .map((label) => [label, labels[label] as string]),
  );
}

export interface Muting {
  by: "silence" | "inhibition" | "maintenance";
  /** The silence's id, the inhibiting alert's, or the window's name. */
  of: string;
}

/** An alert as far as others may be its cause. */
export interface ActiveAlert {
  id: string;
  labels: Labels;
}

/** Why nobody is told of an alert now, or undefined where they are. */
export function mutingOf(
  alert: ActiveAlert,
  context: {
    policy: Policy;
    silences: readonly Silence[];
    /** Alerts that are not resolved. */
    active: readonly ActiveAlert[];
    nowMs: number;
  },
): Muting | undefined {
  const { policy, silences, active, nowMs } = context;
  const silence = silences.find(
    ({ matchers, startsAt, endsAt }) =>
      startsAt <= nowMs && nowMs < endsAt && matchesAll(matchers, alert.labels),
  );
  if (silence) return { by: "silence", of: silence.id };
  const closed = policy.maintenance.find(
    ({ matchers, window }) => isUnder(window, nowMs) && matchesAll(matchers, alert.labels),
  );
  if (closed) return { by: "maintenance", of: closed.window.name };
  for (const { source, target, equal } of policy.inhibitions) {
    if (!matchesAll(target, alert.labels)) continue;
    const cause = active.find(
      (other) =>
        other.id !== alert.id &&
        matchesAll(source, other.labels) &&
        // Alertmanager: an alert that fits both sides inhibits no other that does as well.
        !(matchesAll(target, other.labels) && matchesAll(source, alert.labels)) &&
        equal.every((label) => (other.labels[label] ?? "") === (alert.labels[label] ?? "")),
    );
    if (cause) return { by: "inhibition", of: cause.id };
  }
  return undefined;
}

function isUnder({ startsAt, endsAt, weekly }: MaintenanceWindowDocument, nowMs: number): boolean {
  if (startsAt && Date.parse(startsAt) > nowMs) return false;
  if (endsAt && Date.parse(endsAt) <= nowMs) return false;
  return !weekly || isWithin(weekly, weekly.timeZone ?? "UTC", nowMs);
}
