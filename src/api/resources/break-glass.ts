import { Type } from "typebox";
import type { Alerts } from "../../alerts/index.ts";
import {
  BREAK_GLASS,
  BREAK_GLASS_ROLES,
  type BreakGlassView,
  type Tenancy,
} from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import {
  answers,
  listOf,
  nullable,
  strict,
  TenantParams,
  Timestamp,
  view,
} from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface BreakGlassDeps {
  tenancy: Pick<Tenancy, "breakGlass">;
  alerts: Pick<Alerts, "raise">;
}

const tags = ["tenants"];
const { minMinutes, maxMinutes, minReason, maxReason } = BREAK_GLASS;
const BreakGlassRole = Type.Enum([...BREAK_GLASS_ROLES]);

const BreakGlassBody = strict({
  role: Type.Optional(BreakGlassRole),
  reason: Type.String({
    minLength: minReason,
    maxLength: maxReason,
    description: "Read by the tenant's administrators and auditors",
  }),
  minutes: Type.Optional(Type.Integer({ minimum: minMinutes, maximum: maxMinutes, default: 60 })),
});

const BreakGlassEntry = view("BreakGlass", {
  id: Type.String({ format: "uuid" }),
  tenantId: Type.String(),
  by: Type.String(),
  role: BreakGlassRole,
  reason: Type.String(),
  openedAt: Timestamp,
  expiresAt: Timestamp,
  endedAt: nullable(Timestamp),
});

/** How an operator of the platform comes to see a tenant's data, and how the tenant sees that. */
export function breakGlassRoutes(api: Api, { tenancy, alerts }: BreakGlassDeps): void {
  api.post(
    "/tenants/:tenant/break-glass",
    {
      config: { access: "platform-operator", action: "break-glass.open" },
      schema: {
        operationId: "breakGlass",
        tags,
        summary: "Enter a tenant for a reason and a while; the tenant is told",
        params: TenantParams,
        body: BreakGlassBody,
        response: answers(201, BreakGlassEntry),
      },
    },
    async (request, reply) => {
      const { tenant } = request.params;
      const { reason, role = "viewer", minutes = 60 } = request.body;
      const opened = await tenancy.breakGlass.open(
        tenant,
        { reason, role, minutes },
        principalOf(request),
        actorOf(request),
        (entry, tx) => alerts.raise(tenant, alertOf(entry), tx),
      );
      return reply.code(201).send(opened);
    },
  );

  api.delete(
    "/tenants/:tenant/break-glass",
    {
      config: { access: "platform-operator", action: "break-glass.end" },
      schema: {
        operationId: "endBreakGlass",
        tags,
        summary: "Leave the tenant before the time is over",
        params: TenantParams,
        response: answers(200, view("BreakGlassEnded", { ended: Type.Array(Type.String()) })),
      },
    },
    async (request) => ({
      ended: await tenancy.breakGlass.end(
        request.params.tenant,
        principalOf(request),
        actorOf(request),
      ),
    }),
  );

  api.get(
    "/tenants/:tenant/break-glass",
    {
      config: { access: "tenancy.read" },
      schema: {
        operationId: "listBreakGlass",
        tags,
        summary: "Which operators of the platform came in, why, and for how long; newest first",
        params: TenantParams,
        response: answers(200, listOf("BreakGlassList", BreakGlassEntry)),
      },
    },
    async (request) => ({ items: await tenancy.breakGlass.list(tenantOf(request)) }),
  );
}

function alertOf({ id, by, role, reason, expiresAt }: BreakGlassView) {
  return {
    key: `break-glass:${id}`,
    kind: "break-glass",
    severity: "info" as const,
    title: `${by} of the platform's operators may see this tenant's data as ${role}: ${reason}`,
    subjectKind: "break-glass",
    subjectId: id,
    details: { by, role, reason, expiresAt: expiresAt.toISOString() },
  };
}
