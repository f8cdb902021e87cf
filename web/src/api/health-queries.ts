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

export const fleetHistoryQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "history"),
    queryFn: () => api.fleetHistory(t),
    refetchInterval: SLOW_MS,
  });

export const crashGroupsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "crashes"),
    queryFn: () => api.crashGroups(t),
    refetchInterval: USUAL_MS,
  });

/** Refused while the fleet runs fewer than two versions: the page says so. */
export const firmwareComparisonQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "comparison"),
    queryFn: () => api.firmwareComparison(t),
    refetchInterval: SLOW_MS,
    retry: false,
  });
