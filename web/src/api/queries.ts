import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./client.ts";
import type { AlertView, Channel, LogRecord, ReleaseView } from "./types.ts";

/** How often a page asks again while it is looked at. */
const FRESH_MS = { quick: 3_000, usual: 10_000, slow: 60_000 } as const;

/** Everything of a tenant lies below one key, so that it can be dropped or refreshed as a whole. */
const key = (tenant: string, ...rest: unknown[]) => ["tenant", tenant, ...rest];

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: () => api.whoami(),
  staleTime: 60_000,
  retry: false,
});

export const offeredProvidersQuery = queryOptions({
  queryKey: ["offered-providers"],
  queryFn: () => api.offeredProviders(),
  staleTime: 60_000,
});

export const ownSessionsQuery = queryOptions({
  queryKey: ["account", "sessions"],
  queryFn: () => api.ownSessions(),
  refetchInterval: FRESH_MS.slow,
});

export const ownFactorsQuery = queryOptions({
  queryKey: ["account", "factors"],
  queryFn: () => api.ownFactors(),
});

export const fleetSummaryQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "fleet-summary"),
    queryFn: () => api.fleetSummary(t),
    refetchInterval: FRESH_MS.usual,
  });

export const fleetHealthQuery = (t: string, by: string, q: string) =>
  queryOptions({
    queryKey: key(t, "fleet-health", by, q),
    queryFn: () => api.fleetHealth(t, { by, q: q || undefined }),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
    retry: false,
  });

export interface DeviceListInput {
  q?: string | undefined;
  sort?: string | undefined;
  cursor?: string | undefined;
  limit: number;
}

export const devicesQuery = (t: string, input: DeviceListInput) =>
  queryOptions({
    queryKey: key(t, "devices", input),
    queryFn: ({ signal }) => api.devices(t, { ...input }, { signal }),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
    retry: false,
  });

export const deviceQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: key(t, "device", d),
    queryFn: () => api.device(t, d),
    refetchInterval: FRESH_MS.usual,
  });

export const twinQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: [...key(t, "device", d), "twin"],
    queryFn: () => api.twin(t, d),
    refetchInterval: FRESH_MS.usual,
  });

/** Measured by the application; not by the agent about itself, nor by the platform about the device. */
export function isOfApplication(metric: string): boolean {
  return !metric.startsWith("heartbeat.") && !metric.startsWith("_platform.");
}

export const metricsQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: key(t, "device", d, "metrics"),
    queryFn: () => api.metrics(t, d),
    refetchInterval: FRESH_MS.usual,
  });

export interface SeriesInput {
  metric: string;
  rangeMs: number;
  points: number;
}

export const seriesQuery = (t: string, d: string, input: SeriesInput) =>
  queryOptions({
    queryKey: key(t, "device", d, "series", input),
    queryFn: async ({ signal }) => {
      const to = Date.now();
      const from = to - input.rangeMs;
      const { points, source, stepMs, kept } = await api.series(
        t,
        d,
        { metric: input.metric, from: String(from), to: String(to), points: input.points },
        { signal },
      );
      return { from, to, points, source, stepMs, kept };
    },
    refetchInterval: input.rangeMs <= 3_600_000 ? FRESH_MS.usual : FRESH_MS.slow,
    placeholderData: keepPreviousData,
  });

export const updatesQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: key(t, "device", d, "updates"),
    queryFn: () => api.updates(t, d),
    refetchInterval: FRESH_MS.quick,
  });

export const deviceEventsQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: key(t, "device", d, "events"),
    queryFn: () => api.events(t, d),
    refetchInterval: FRESH_MS.usual,
  });

export const timelineQuery = (t: string, d: string, cursor: string | undefined) =>
  queryOptions({
    queryKey: key(t, "device", d, "timeline", cursor),
    queryFn: () => api.timeline(t, d, { cursor, limit: 30 }),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
  });

export const certificatesQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: key(t, "device", d, "certificates"),
    queryFn: () => api.certificates(t, d),
  });

export const deviceCommandsQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: key(t, "device", d, "commands"),
    queryFn: () => api.commands(t, { device: d, limit: 50 }),
    refetchInterval: FRESH_MS.quick,
  });

export interface LogInput {
  words?: string | undefined;
  level?: LogRecord["level"] | undefined;
  device?: string | undefined;
  q?: string | undefined;
  trace?: string | undefined;
  group?: string | undefined;
  logger?: string | undefined;
  field?: string | undefined;
  limit: number;
  /** How far back; without it any time. */
  rangeMs?: number | undefined;
}

/** `tail`: ask again every few seconds. */
export const logsQuery = (t: string, input: LogInput, tail: boolean) =>
  queryOptions({
    queryKey: key(t, "logs", input),
    queryFn: ({ signal }) => {
      const { rangeMs, ...query } = input;
      const from = rangeMs ? String(Date.now() - rangeMs) : undefined;
      return api.logs(t, { ...query, from }, { signal });
    },
    refetchInterval: tail ? FRESH_MS.quick : false,
    placeholderData: keepPreviousData,
  });

export const logSearchesQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "log-searches"), queryFn: () => api.logSearches(t) });

export const logContextQuery = (t: string, { deviceId, ts, seq }: LogRecord) =>
  queryOptions({
    queryKey: key(t, "log-context", { deviceId, ts, seq }),
    queryFn: () => api.logContext(t, { ...(deviceId ? { device: deviceId } : {}), ts, seq }),
  });

export const traceQuery = (t: string, id: string) =>
  queryOptions({ queryKey: key(t, "trace", id), queryFn: () => api.trace(t, id) });

export interface ReleaseListInput {
  product?: string | undefined;
  channel?: Channel | undefined;
  status?: ReleaseView["status"] | undefined;
  cursor?: string | undefined;
  limit?: number;
}

export const releasesQuery = (t: string, input: ReleaseListInput = { limit: 100 }) =>
  queryOptions({
    queryKey: key(t, "releases", "list", input),
    queryFn: () => api.releases(t, { ...input }),
    placeholderData: keepPreviousData,
  });

export const releaseQuery = (t: string, r: string) =>
  queryOptions({ queryKey: key(t, "releases", r), queryFn: () => api.release(t, r) });

export interface ComponentListInput {
  q?: string | undefined;
  release?: string | undefined;
  status?: ReleaseView["status"] | undefined;
  cursor?: string | undefined;
  limit: number;
}

/** What is inside releases does not change, but for releases that come and go. */
export const componentsQuery = (t: string, input: ComponentListInput) =>
  queryOptions({
    queryKey: key(t, "releases", "components", input),
    queryFn: ({ signal }) => api.components(t, { ...input }, { signal }),
    placeholderData: keepPreviousData,
    retry: false,
  });

export const deltasQuery = (t: string, id: string) =>
  queryOptions({
    queryKey: key(t, "deltas", id),
    queryFn: () => api.deltas(t, id),
    refetchInterval: FRESH_MS.usual,
  });

export const rolloutsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "rollouts"),
    queryFn: () => api.rollouts(t),
    refetchInterval: FRESH_MS.quick,
  });

export interface RolloutDevicesInput {
  state?: string | undefined;
  stage?: number | undefined;
  cursor?: string | undefined;
  limit: number;
}

export const rolloutDevicesQuery = (t: string, id: string, input: RolloutDevicesInput) =>
  queryOptions({
    queryKey: key(t, "rollout", id, "devices", input),
    queryFn: () => api.rolloutDevices(t, id, { ...input }),
    refetchInterval: FRESH_MS.quick,
    placeholderData: keepPreviousData,
  });

/** Whether the tenant's kill switch is on. */
export const updateStopQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "update-stop"),
    queryFn: () => api.updateStop(t),
    refetchInterval: FRESH_MS.usual,
  });

/** Devices that rollouts leave out since their updates kept failing. */
export const penaltyBoxQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "penalty-box"),
    queryFn: () => api.penaltyBox(t),
    refetchInterval: FRESH_MS.usual,
  });

/** `latest`: the time of the newest verdict, so that the list follows it. */
export const verdictsQuery = (t: string, id: string, latest: string) =>
  queryOptions({
    queryKey: key(t, "rollout", id, "verdicts", latest),
    queryFn: () => api.verdicts(t, id),
    placeholderData: keepPreviousData,
  });

export const alertsQuery = (
  t: string,
  state: AlertView["state"],
  severity?: AlertView["severity"],
) =>
  queryOptions({
    queryKey: key(t, "alerts", state, severity ?? ""),
    queryFn: () => api.alerts(t, { state, severity, limit: 100 }),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
  });

export const auditQuery = (t: string, cursor: string | undefined) =>
  queryOptions({
    queryKey: key(t, "audit", cursor ?? ""),
    queryFn: () => api.audit(t, { cursor, limit: 50 }),
    placeholderData: keepPreviousData,
  });

export const tenantQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "tenant"), queryFn: () => api.tenant(t) });

export const membersQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "members"), queryFn: () => api.members(t) });

export const usageQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "usage"),
    queryFn: () => api.usage(t),
    refetchInterval: 10_000,
  });

/** The same for who runs the platform, and is no member of the tenant. */
export const figuresQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "figures"),
    queryFn: () => api.figures(t),
    refetchInterval: 10_000,
  });

export const rolesQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "roles"), queryFn: () => api.roles(t) });

export const keysQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "keys"), queryFn: () => api.keys(t) });

export const applicationsQuery = (t: string, cursor?: string) =>
  queryOptions({
    queryKey: key(t, "applications", cursor ?? ""),
    queryFn: () => api.applications(t, { cursor, limit: 50 }),
    placeholderData: keepPreviousData,
  });

export const claimTokensQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "claim-tokens"), queryFn: () => api.claimTokens(t) });

export const webhooksQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "webhooks"), queryFn: () => api.webhooks(t) });
