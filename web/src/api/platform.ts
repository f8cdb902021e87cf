import { queryOptions } from "@tanstack/react-query";
import type { Operations } from "../../../src/client/generated-api.ts";
import { call } from "./call.ts";

type Body<Id extends keyof Operations> = NonNullable<Operations[Id]["body"]>;
type Item<
  Id extends
    | "listSignInProviders"
    | "listServiceAccounts"
    | "listAuditStreams"
    | "listTenants"
    | "listBreakGlass",
> = Operations[Id]["answer"]["items"][number];

export type ProviderView = Item<"listSignInProviders">;
export type ProviderSettings = Body<"replaceSignInProvider">;
export type ProviderCheck = Operations["checkSignInProvider"]["answer"];
export type ServiceAccountView = Item<"listServiceAccounts">;
export type AuditStreamView = Item<"listAuditStreams">;
export type BreakGlassEntry = Item<"listBreakGlass">;
export type SecondFactorPolicy = Operations["getSignInPolicy"]["answer"]["secondFactor"];

/** Of the installation as a whole, and who else may act in a tenant. */
export const platformApi = {
  tenants: () => call("listTenants", {}),
  deleteTenant: (tenant: string, confirm: string, graceHours: number) =>
    call("deleteTenant", { params: { tenant }, query: { confirm, graceHours } }),
  moveTenantStorage: (tenant: string, storageClass: "shared" | "separate") =>
    call("moveTenantStorage", { params: { tenant }, body: { storageClass } }),
  restoreTenant: (tenant: string) => call("restoreTenant", { params: { tenant } }),
  providers: () => call("listSignInProviders", {}),
  createProvider: (body: Body<"createSignInProvider">) => call("createSignInProvider", { body }),
  replaceProvider: (provider: string, body: ProviderSettings) =>
    call("replaceSignInProvider", { params: { provider }, body }),
  deleteProvider: (provider: string) => call("deleteSignInProvider", { params: { provider } }),
  checkProvider: (provider: string) => call("checkSignInProvider", { params: { provider } }),
  signInPolicy: () => call("getSignInPolicy", {}),
  setSignInPolicy: (secondFactor: SecondFactorPolicy) =>
    call("setSignInPolicy", { body: { secondFactor } }),
  serviceAccounts: (tenant: string) => call("listServiceAccounts", { params: { tenant } }),
  createServiceAccount: (tenant: string, body: Body<"createServiceAccount">) =>
    call("createServiceAccount", { params: { tenant }, body }),
  deleteServiceAccount: (tenant: string, serviceAccount: string) =>
    call("deleteServiceAccount", { params: { tenant, serviceAccount } }),
  auditStreams: (tenant: string) => call("listAuditStreams", { params: { tenant } }),
  createAuditStream: (tenant: string, body: Body<"createAuditStream">) =>
    call("createAuditStream", { params: { tenant }, body }),
  deleteAuditStream: (tenant: string, auditStream: string) =>
    call("deleteAuditStream", { params: { tenant, auditStream } }),
  breakGlassEntries: (tenant: string) => call("listBreakGlass", { params: { tenant } }),
};

const FRESH_MS = 10_000;

export const tenantsQuery = queryOptions({
  queryKey: ["platform", "tenants"],
  queryFn: platformApi.tenants,
});

export const providersQuery = queryOptions({
  queryKey: ["platform", "providers"],
  queryFn: platformApi.providers,
});

/** It answers 503 where a part is down, with the same words. */
async function readiness(): Promise<Operations["getReadiness"]["answer"]> {
  const response = await fetch("/readyz", { headers: { accept: "application/json" } });
  return (await response.json()) as Operations["getReadiness"]["answer"];
}

export const readinessQuery = queryOptions({
  queryKey: ["platform", "readiness"],
  queryFn: readiness,
  refetchInterval: FRESH_MS,
});

export const signInPolicyQuery = queryOptions({
  queryKey: ["platform", "sign-in-policy"],
  queryFn: platformApi.signInPolicy,
});

export const serviceAccountsQuery = (t: string) =>
  queryOptions({
    queryKey: ["tenant", t, "service-accounts"],
    queryFn: () => platformApi.serviceAccounts(t),
  });

export const auditStreamsQuery = (t: string) =>
  queryOptions({
    queryKey: ["tenant", t, "audit-streams"],
    queryFn: () => platformApi.auditStreams(t),
    refetchInterval: FRESH_MS,
  });

export const breakGlassQuery = (t: string) =>
  queryOptions({
    queryKey: ["tenant", t, "break-glass"],
    queryFn: () => platformApi.breakGlassEntries(t),
  });
