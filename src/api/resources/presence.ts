import type { Devices } from "../../devices/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, encodeCursor } from "../cursor.ts";
import {
  answers,
  NoContent,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Word,
} from "../schemas/common.ts";
import { PresenceRuleBody, PresenceRuleList, TimelinePage } from "../schemas/devices.ts";
import type { Api } from "../types.ts";
import { DeviceParams } from "./devices.ts";

export interface PresenceDeps {
  devices: Pick<Devices, "get" | "timeline" | "presence">;
}

const tags = ["fleet"];

/** When silence counts, product by product, and what has happened to a device. */
export function presenceRoutes(api: Api, deps: PresenceDeps): void {
  timelineRoute(api, deps);
  ruleRoutes(api, deps);
}

function timelineRoute(api: Api, { devices }: PresenceDeps): void {
  api.get(
    "/tenants/:tenant/devices/:device/timeline",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getDeviceTimeline",
        tags: ["devices"],
        params: DeviceParams,
        querystring: strict(PageQuery),
        response: answers(200, TimelinePage),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      const limit = request.query.limit ?? 50;
      const before = positionOf(decodeCursor("timeline", request.query.cursor));
      const entries = await devices.timeline(tenantId, device, { before, limit: limit + 1 });
      const items = entries.slice(0, limit);
      const last = entries.length > limit ? items.at(-1) : undefined;
      return {
        items,
        nextCursor: last ? encodeCursor("timeline", `${last.at} ${last.id}`) : null,
      };
    },
  );
}

/** What a cursor says is checked: anyone can make one. */
function positionOf(cursor: string | undefined): { at: string; id: string } | undefined {
  if (cursor === undefined) return undefined;
  const [, at = "", id = ""] =
    /^(\d{4}-\d\d-\d\dT[\d:.]{8,12}Z) ([\x20-\x7e]{1,600})$/.exec(cursor) ?? [];
  if (!id || Number.isNaN(Date.parse(at))) {
    throw new AppError("invalid-cursor", "the cursor was not made by this list; start over");
  }
  return { at, id };
}

function ruleRoutes(api: Api, { devices }: PresenceDeps): void {
  api.get(
    "/tenants/:tenant/presence-rules",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listPresenceRules",
        tags,
        params: TenantParams,
        response: answers(200, PresenceRuleList),
      },
    },
    async (request) => ({ items: await devices.presence.list(tenantOf(request)) }),
  );

  api.put(
    "/tenants/:tenant/presence-rules",
    {
      config: { access: "devices.write", action: "presence.set" },
      schema: {
        operationId: "setPresenceRule",
        tags,
        params: TenantParams,
        body: PresenceRuleBody,
        response: answers(200, PresenceRuleList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { product, sleep = [], ...rule } = request.body;
      request.auditTargetId = product;
      await devices.presence.put(tenantId, product, { ...rule, sleep }, actorOf(request));
      return { items: await devices.presence.list(tenantId) };
    },
  );

  api.delete(
    "/tenants/:tenant/presence-rules/:product",
    {
      config: { access: "devices.write", action: "presence.reset" },
      schema: {
        operationId: "deletePresenceRule",
        tags,
        params: strict({ tenant: TenantId, product: Word }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await devices.presence.remove(tenantOf(request), request.params.product, actorOf(request));
      return reply.code(204).send();
    },
  );
}
