import { notFound } from "@tanstack/react-router";
import { ApiError, type Membership, type Session } from "./api/index.ts";

/** Pages that can be named without their tenant. */
export const PLACES = [
  "fleet",
  "rollouts",
  "commands",
  "releases",
  "certificates",
  "alerts",
  "logs",
  "audit",
  "settings",
  "account",
  "platform",
];

const TENANTS_ASKED = 20;

/** The tenant that was looked at last, or the first. */
export function homeTenant(session: Session): Membership | undefined {
  const remembered = localStorage.getItem("vautn-tenant");
  return session.tenants.find(({ id }) => id === remembered) ?? session.tenants[0];
}

/** The tenant in which something is found; the one that was looked at last is asked first. */
export async function tenantWith(
  session: Session,
  find: (tenantId: string) => Promise<unknown>,
): Promise<string> {
  const first = homeTenant(session);
  const others = session.tenants.filter((tenant) => tenant !== first);
  for (const tenant of [...(first ? [first] : []), ...others].slice(0, TENANTS_ASKED)) {
    try {
      await find(tenant.id);
      return tenant.id;
    } catch (error) {
      if (!(error instanceof ApiError) || ![400, 403, 404].includes(error.status)) throw error;
    }
  }
  throw notFound();
}
