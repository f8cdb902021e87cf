import { Type } from "typebox";
import type { Devices, HealthDimension } from "../../devices/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import {
  answers,
  FleetQueryText,
  Name,
  NoContent,
  strict,
  TenantId,
  TenantParams,
} from "../schemas/common.ts";
import {
  CreateGroupBody,
  FleetHealth,
  FleetSummary,
  GroupList,
  GroupView,
} from "../schemas/devices.ts";
import type { Api } from "../types.ts";

export interface FleetDeps {
  devices: Pick<Devices, "fleetHealth" | "groups">;
  alerts: { countOpen(tenantId: string): Promise<number> };
  rollouts: { countRunning(tenantId: string): Promise<number> };
}

const tags = ["fleet"];

/** The fleet as a whole, and named parts of it. */
export function fleetRoutes(api: Api, deps: FleetDeps): void {
  healthRoutes(api, deps);
  groupRoutes(api, deps);
}

function healthRoutes(api: Api, { devices, alerts, rollouts }: FleetDeps): void {
  api.get(
    "/tenants/:tenant/fleet/health",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getFleetHealth",
        tags,
        params: TenantParams,
        querystring: strict({
          by: Type.String({
            pattern:
              "^(firmware|hardware|product|region|presence|health|group|tags\\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})$",
            description:
              "firmware, hardware, product, region, presence, health, group, tags.<name>",
          }),
          q: Type.Optional(FleetQueryText),
        }),
        response: answers(200, FleetHealth),
      },
    },
    async (request) => {
      const { by, q } = request.query;
      const items = await devices.fleetHealth(tenantOf(request), by as HealthDimension, q);
      return { items };
    },
  );

  api.get(
    "/tenants/:tenant/fleet/summary",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getFleetSummary",
        tags,
        params: TenantParams,
        response: answers(200, FleetSummary),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const [rows, openAlerts, runningRollouts] = await Promise.all([
        devices.fleetHealth(tenantId, "presence"),
        alerts.countOpen(tenantId),
        rollouts.countRunning(tenantId),
      ]);
      const sum = (field: Exclude<keyof (typeof rows)[number], "key">) =>
        rows.reduce((total, row) => total + row[field], 0);
      return {
        total: sum("total"),
        online: sum("online"),
        late: sum("late"),
        offline: sum("offline"),
        never: sum("never"),
        healthy: sum("healthy"),
        degraded: sum("degraded"),
        failing: sum("failing"),
        crashes24h: sum("crashes24h"),
        openAlerts,
        runningRollouts,
      };
    },
  );
}

function groupRoutes(api: Api, { devices }: FleetDeps): void {
  api.get(
    "/tenants/:tenant/groups",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listGroups",
        tags,
        params: TenantParams,
        response: answers(200, GroupList),
      },
    },
    async (request) => ({ items: await devices.groups.list(tenantOf(request)) }),
  );

  api.post(
    "/tenants/:tenant/groups",
    {
      config: { access: "devices.write", action: "group.create" },
      schema: {
        operationId: "createGroup",
        tags,
        params: TenantParams,
        body: CreateGroupBody,
        response: answers(201, GroupView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      request.auditTargetId = request.body.name;
      await devices.groups.create(tenantId, request.body, actorOf(request));
      const groups = await devices.groups.list(tenantId);
      return reply.code(201).send(groups.find(({ name }) => name === request.body.name));
    },
  );

  api.delete(
    "/tenants/:tenant/groups/:group",
    {
      config: { access: "devices.write", action: "group.delete" },
      schema: {
        operationId: "deleteGroup",
        tags,
        params: strict({ tenant: TenantId, group: Name }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await devices.groups.delete(tenantOf(request), request.params.group, actorOf(request));
      return reply.code(204).send();
    },
  );
}
