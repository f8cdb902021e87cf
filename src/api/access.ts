import type { FastifyRequest, RouteOptions } from "fastify";
import type { Devices } from "../devices/index.ts";
import { unconfined } from "../kernel/confinement.ts";
import { AppError } from "../kernel/index.ts";
import {
  groupsOf,
  PERMISSIONS,
  type Permission,
  type Principal,
  roleIn,
  type Tenancy,
} from "../tenancy/index.ts";

/**
 * Who may call a route: anyone; anyone signed in; the platform's operators and administrators, or
 * these alone; or the members of the tenant in the path whose role holds the permission.
 */
export type Access = GeneralAccess | Permission;
type GeneralAccess = "public" | "signed-in" | "platform-operator" | "platform-administrator";

/** Of the platform: operators may what needs no more, administrators everything. */
const PLATFORM: readonly string[] = ["platform-operator", "platform-administrator"];
const GENERAL: readonly string[] = ["public", "signed-in", ...PLATFORM];

/** Refuses, at the start, a route that does not say who may call it, or how it is recorded. */
export function assertAccessDeclared(route: RouteOptions): void {
  const access = route.config?.access;
  const name = `${route.method} ${route.url}`;
  if (access === undefined) throw new Error(`${name} declares no access`);
  const isPermission = Object.hasOwn(PERMISSIONS, access);
  if (!isPermission && !GENERAL.includes(access)) {
    throw new Error(`${name} declares an unknown access "${access}"`);
  }
  const { action, readsOnly } = route.config ?? {};
  const writes = [route.method].flat().some((method) => !/^(GET|HEAD|OPTIONS)$/i.test(method));
  if (writes && access !== "public" && !readsOnly && !/^[a-z-]+\.[a-z-]+$/.test(action ?? "")) {
    throw new Error(`${name} writes and has no action for the audit log`);
  }
  const hasTenant = route.url.includes("/:tenant");
  if (isPermission && !hasTenant) throw new Error(`${name} has a permission and no tenant`);
  if (hasTenant && !isPermission && !PLATFORM.includes(access)) {
    throw new Error(`${name} has a tenant and no permission`);
  }
}

export interface AccessDeps {
  tenancy: Pick<Tenancy, "authenticate" | "authorize">;
  devices: Pick<Devices, "confinementTo">;
}

export interface LastingAccessDeps extends Pick<AccessDeps, "devices"> {
  tenancy: Pick<Tenancy, "reauthenticate" | "authorize">;
}

/**
 * The one place where a request is let in or refused, and where it is found out which devices
 * somebody is confined to. Runs before the body is read.
 */
export async function admit(
  request: FastifyRequest,
  { tenancy, devices }: AccessDeps,
): Promise<void> {
  const { access } = request.routeOptions.config;
  if (access === "public") return;
  if (!request.credential) {
    throw new AppError("unauthenticated", "send an API key as a bearer token, or sign in");
  }
  const principal = await tenancy.authenticate(request.credential.token);
  request.principal = principal;
  if (principal.session?.mustEnrol && !request.routeOptions.config.whileEnrolling) {
    throw new AppError("second-factor-required", "set up a second factor first, then go on");
  }
  assertMay(request, principal, access, tenancy);
  await confine(request, principal, devices);
}

/** What is read and written in the name of the request stays within these devices. */
async function confine(
  request: FastifyRequest,
  principal: Principal,
  devices: AccessDeps["devices"],
): Promise<void> {
  const { tenantId } = request;
  const groups = tenantId === null ? null : groupsOf(principal, tenantId);
  request.confinement =
    tenantId !== null && groups !== null ? await devices.confinementTo(tenantId, groups) : null;
}

/** Whether a caller who was let in still would be; for answers that last. */
export async function stillMay(
  request: FastifyRequest,
  { tenancy, devices }: LastingAccessDeps,
): Promise<boolean> {
  const { principal, credential } = request;
  if (!principal || !credential) return false;
  try {
    const now = await tenancy.reauthenticate(principal, credential.token);
    assertMay(request, now, request.routeOptions.config.access, tenancy);
    await unconfined(() => confine(request, now, devices));
    return true;
  } catch {
    return false; // Whatever the reason: without a yes the answer ends.
  }
}

function assertMay(
  request: FastifyRequest,
  principal: Principal,
  access: Access | undefined,
  tenancy: Pick<Tenancy, "authorize">,
): void {
  if (access === "signed-in" || access === "public") return;
  const tenantId = (request.params as { tenant?: string }).tenant;
  if (access === "platform-administrator") {
    if (principal.platformRole !== "platform-administrator") {
      throw new AppError("forbidden", "only an administrator of the platform may do this");
    }
    return;
  }
  if (access === "platform-operator") {
    if (principal.platformRole !== null) return;
    // Strangers do not learn which tenants there are.
    if (tenantId && !roleIn(principal, tenantId)) {
      throw new AppError("not-found", "there is no such tenant", { tenant: tenantId });
    }
    throw new AppError("forbidden", "only operators of the platform may do this");
  }
  if (!access || !tenantId) throw new AppError("forbidden", "the route declares no access");
  // A member who lacks the right is refused in the tenant's own name, and in its audit log.
  if (roleIn(principal, tenantId)) request.tenantId = tenantId;
  tenancy.authorize(principal, tenantId, access);
}

export function principalOf(request: FastifyRequest): Principal {
  if (!request.principal) throw new AppError("unauthenticated", "sign in first");
  return request.principal;
}

/** The caller with the address that the request came from: what the audit log records. */
export function actorOf(request: FastifyRequest): Principal["actor"] {
  return { ...principalOf(request).actor, address: request.ip };
}

/** The tenant of the path, whose member the caller is known to be. */
export function tenantOf(request: FastifyRequest): string {
  if (!request.tenantId) throw new AppError("not-found", "there is no such tenant");
  return request.tenantId;
}
