import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./client.ts";
import type { CertificateView } from "./types.ts";

const FRESH_MS = { quick: 3_000, usual: 10_000 } as const;

const key = (tenant: string, ...rest: unknown[]) => ["tenant", tenant, "certificates", ...rest];

export const radarQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "radar"),
    queryFn: () => api.radar(t),
    refetchInterval: FRESH_MS.usual,
  });

export const failingRotationsQuery = (
  t: string,
  input: { step?: string | undefined; cursor?: string | undefined },
) =>
  queryOptions({
    queryKey: key(t, "failing", input),
    queryFn: () => api.failingRotations(t, { ...input, limit: 50 }),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
  });

export const knocksQuery = (t: string, cursor: string | undefined) =>
  queryOptions({
    queryKey: key(t, "knocks", cursor ?? ""),
    queryFn: () => api.knocks(t, { cursor, limit: 50 }),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
  });

export type PendingStatus = "pending" | "accepted" | "rejected";

export const pendingEnrolmentsQuery = (t: string, status: PendingStatus) =>
  queryOptions({
    queryKey: key(t, "pending", status),
    queryFn: () => api.pendingEnrolments(t, status),
    refetchInterval: FRESH_MS.usual,
    placeholderData: keepPreviousData,
  });

export const preauthorisedQuery = (t: string, cursor: string | undefined) =>
  queryOptions({
    queryKey: key(t, "preauthorised", cursor ?? ""),
    queryFn: () => api.preauthorised(t, { cursor, limit: 50 }),
    placeholderData: keepPreviousData,
  });

export const registeredAuthoritiesQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "registered"),
    queryFn: () => api.registeredAuthorities(t),
  });

export interface CertificateListInput {
  status?: CertificateView["status"] | undefined;
  algorithm?: string | undefined;
  expiresAfter?: string | undefined;
  expiresBefore?: string | undefined;
  cursor?: string | undefined;
}

export const allCertificatesQuery = (t: string, input: CertificateListInput) =>
  queryOptions({
    queryKey: key(t, "all", input),
    queryFn: () => api.allCertificates(t, { ...input, limit: 50 }),
    placeholderData: keepPreviousData,
  });

export const campaignsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "campaigns"),
    queryFn: () => api.campaigns(t),
    refetchInterval: FRESH_MS.quick,
  });

export const campaignDevicesQuery = (t: string, campaign: string, state: "failed" | "rotating") =>
  queryOptions({
    queryKey: key(t, "campaign", campaign, state),
    queryFn: () => api.campaignDevices(t, campaign, { state, limit: 100 }),
    refetchInterval: FRESH_MS.quick,
  });

export const groupsQuery = (t: string) =>
  queryOptions({ queryKey: ["tenant", t, "groups"], queryFn: () => api.groups(t) });

export const deviceRotationQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: ["tenant", t, "device", d, "rotation"],
    queryFn: () => api.deviceRotation(t, d),
    refetchInterval: FRESH_MS.usual,
  });

export const quarantinesQuery = (t: string, d: string) =>
  queryOptions({
    queryKey: ["tenant", t, "device", d, "quarantines"],
    queryFn: () => api.quarantines(t, d),
  });
