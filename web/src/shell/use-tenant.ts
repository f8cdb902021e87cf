import { useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type Membership, sessionQuery, type TenantRole } from "../api/index.ts";

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
  const tenant = useTenantId();
  const session = useSession();
  const membership = session.tenants.find(({ id }) => id === tenant);
  const role = roleOf(membership, session.platformRole);
  return (need) => NEEDS[need].includes(role);
}

type Need = "operate" | "engineer" | "administer" | "oversee";

const NEEDS: Record<Need, readonly TenantRole[]> = {
  operate: ["operator", "fleet-engineer", "administrator"],
  engineer: ["fleet-engineer", "administrator"],
  administer: ["administrator"],
  oversee: ["auditor", "administrator"],
};

function roleOf(membership: Membership | undefined, platformRole: string | null): TenantRole {
  if (platformRole === "platform-administrator") return "administrator";
  return membership?.role ?? "viewer";
}
