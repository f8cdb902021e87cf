import { useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type Membership, sessionQuery } from "../api/index.ts";

/** The id of the tenant whose pages are open. */
export function useTenantId(): string {
  return useParams({ from: "/signed-in/t/$tenant" }).tenant;
}

export function useSession() {
  return useSuspenseQuery(sessionQuery).data;
}

export function useIsPlatformAdministrator(): boolean {
  return useSession().platformRole === "platform-administrator";
}

/** What the person may do here. The server decides; this only leaves out what it would refuse. */
export function useMay(): (need: Need) => boolean {
  const permissions = useMembership()?.permissions ?? [];
  return (need) => permissions.includes(NEEDS[need]);
}

/** Names of the groups whose devices the person sees; null for all. */
export function useGroups(): readonly string[] | null {
  return useMembership()?.groups ?? null;
}

function useMembership(): Membership | undefined {
  const tenant = useTenantId();
  return useSession().tenants.find(({ id }) => id === tenant);
}

type Need = "operate" | "engineer" | "administer" | "oversee" | "audit";

const NEEDS: Record<Need, string> = {
  operate: "commands.send",
  engineer: "rollouts.control",
  administer: "tenancy.manage",
  oversee: "tenancy.read",
  audit: "audit.read",
};
