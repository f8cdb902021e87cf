import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, DeviceId, NoContent, strict, TenantId, TenantParams } from "../schemas/common.ts";
import { PenaltyBox, ReasonBody, UpdateStop } from "../schemas/rollouts.ts";
import type { Api } from "../types.ts";

export interface UpdatesDeps {
  rollouts: {
    updateStop(tenantId: string): Promise<object | null>;
    stopUpdates(tenantId: string, actor: Actor, reason: string): Promise<void>;
    allowUpdates(tenantId: string, actor: Actor, reason: string): Promise<void>;
    penalised(tenantId: string): Promise<object[]>;
    pardon(tenantId: string, deviceId: string, actor: Actor): Promise<void>;
  };
}

const tags = ["rollouts"];

/** What holds for a tenant's rollouts together: the kill switch and the penalty box. */
export function updateRoutes(api: Api, { rollouts }: UpdatesDeps): void {
  const stopOf = async (tenantId: string) => ({ stop: await rollouts.updateStop(tenantId) });
  api.get(
    "/tenants/:tenant/updates",
    {
      config: { access: "rollouts.read" },
      schema: {
        operationId: "getUpdateStop",
        tags,
        summary: "Whether the tenant's kill switch is on",
        params: TenantParams,
        response: answers(200, UpdateStop),
      },
    },
    (request) => stopOf(tenantOf(request)),
  );

  // Stopping is safe, so more roles may do it than going on.
  for (const [verb, access, act] of [
    ["stop", "rollouts.pause", "stopUpdates"],
    ["allow", "rollouts.control", "allowUpdates"],
  ] as const) {
    api.post(
      `/tenants/:tenant/updates/${verb}`,
      {
        config: { access, action: `rollout.${verb}-updates` },
        schema: {
          operationId: `${verb}Updates`,
          tags,
          summary:
            verb === "stop"
              ? "Nobody begins an update from now on; those on their way finish"
              : "Updates begin again",
          params: TenantParams,
          body: ReasonBody,
          response: answers(200, UpdateStop),
        },
      },
      async (request) => {
        const tenantId = tenantOf(request);
        await rollouts[act](tenantId, actorOf(request), request.body.reason ?? "");
        return stopOf(tenantId);
      },
    );
  }

  api.get(
    "/tenants/:tenant/penalty-box",
    {
      config: { access: "rollouts.read" },
      schema: {
        operationId: "listPenaltyBox",
        tags,
        summary: "Devices that rollouts leave out since their updates kept failing",
        params: TenantParams,
        response: answers(200, PenaltyBox),
      },
    },
    async (request) => ({ items: await rollouts.penalised(tenantOf(request)) }),
  );

  api.post(
    "/tenants/:tenant/penalty-box/:device/pardon",
    {
      config: { access: "rollouts.control", action: "rollout.pardon" },
      schema: {
        operationId: "pardonDevice",
        tags,
        summary: "Lets a device out of the penalty box",
        params: strict({ tenant: TenantId, device: DeviceId }),
        body: strict({}),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await rollouts.pardon(tenantOf(request), request.params.device, actorOf(request));
      return reply.code(204).send();
    },
  );
}
