import { Type } from "typebox";
import { type Bus, subjects } from "../../bus/index.ts";
import { type LastingAccessDeps, stillMay, tenantOf } from "../access.ts";
import type { EventStreams } from "../event-stream.ts";
import type { Api } from "../types.ts";
import { RolloutParams } from "./rollouts.ts";

export interface WatchDeps extends LastingAccessDeps {
  bus: Pick<Bus, "subscribe">;
  rollouts: { get(tenantId: string, id: string): Promise<unknown> };
  streams: EventStreams;
  /** How often a live view shows that it lives and asks whether the caller may still see it. */
  streamHeartbeatMs?: number;
}

/** Live views, as server-sent events. */
export function watchRoutes(api: Api, deps: WatchDeps): void {
  api.get(
    "/tenants/:tenant/rollouts/:rollout/events",
    {
      config: { access: "rollouts.read" },
      schema: {
        operationId: "watchRollout",
        tags: ["rollouts"],
        summary: "Server-sent events named `rollout`, each with the rollout as GET gives it",
        produces: ["text/event-stream"],
        params: RolloutParams,
        response: { 200: Type.String() },
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { rollout } = request.params;
      await deps.streams.open(request, reply, {
        event: "rollout",
        read: () => deps.rollouts.get(tenantId, rollout),
        subscribe: (changed) => deps.bus.subscribe(subjects.rollout(tenantId, rollout), changed),
        stillMay: () => stillMay(request, deps),
        ...(deps.streamHeartbeatMs ? { heartbeatMs: deps.streamHeartbeatMs } : {}),
      });
      return reply;
    },
  );
}
