import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./client.ts";

const USUAL_MS = 10_000;
const SLOW_MS = 60_000;
const key = (tenant: string, ...rest: unknown[]) => ["tenant", tenant, "health", ...rest];

export const fleetMatrixQuery = (t: string, by: string, across: string) =>
  queryOptions({
    queryKey: key(t, "matrix", by, across),
    queryFn: () => api.fleetMatrix(t, { by, across }),
    refetchInterval: USUAL_MS,
    placeholderData: keepPreviousData,
  });

/** How the fleet fared, or each of its parts where `by` names what divides it. */
export const fleetHistoryQuery = (t: string, { by, days }: { by?: string; days: number }) =>
  queryOptions({
    queryKey: key(t, "history", by ?? "", days),
    queryFn: () => {
      const from = String(Date.now() - days * 86_400_000);
      return api.fleetHistory(t, { ...(by ? { by } : {}), from });
    },
    refetchInterval: SLOW_MS,
    placeholderData: keepPreviousData,
  });

export const crashGroupsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "crashes"),
    queryFn: () => api.crashGroups(t),
    refetchInterval: USUAL_MS,
  });

export const restartGroupsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "restarts"),
    queryFn: () => api.restartGroups(t),
    refetchInterval: SLOW_MS,
  });

/** Without a source while the fleet runs fewer than two versions: the page says so. */
export const firmwareComparisonQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "comparison"),
    queryFn: () => api.firmwareComparison(t),
    refetchInterval: SLOW_MS,
  });
