import { Type } from "typebox";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import { answers, PageQuery, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import { AlertPage, AlertState, AlertView } from "../schemas/observing.ts";
import type { Api } from "../types.ts";

export interface AlertsDeps {
  alerts: {
    list(
      tenantId: string,
      options: {
        state?: "open" | "acknowledged" | "resolved" | undefined;
        cursor?: string | undefined;
        limit?: number | undefined;
      },
    ): Promise<ModulePage<object>>;
    acknowledge(tenantId: string, id: string, actor: Actor): Promise<object>;
  };
}

const tags = ["alerts"];

export function alertRoutes(api: Api, { alerts }: AlertsDeps): void {
  api.get(
    "/tenants/:tenant/alerts",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listAlerts",
        tags,
        params: TenantParams,
        querystring: strict({ ...PageQuery, state: Type.Optional(AlertState) }),
        response: answers(200, AlertPage),
      },
    },
    async (request) => {
      const { state, limit, cursor } = request.query;
      const options = { state, limit, cursor: decodeCursor("alerts", cursor) };
      return wrapPage("alerts", await alerts.list(tenantOf(request), options));
    },
  );

  api.post(
    "/tenants/:tenant/alerts/:alert/acknowledge",
    {
      config: { access: "alerts.acknowledge", action: "alert.acknowledge", recordsDone: true },
      schema: {
        operationId: "acknowledgeAlert",
        tags,
        params: strict({ tenant: TenantId, alert: Uuid }),
        response: answers(200, AlertView),
      },
    },
    async (request) =>
      alerts.acknowledge(tenantOf(request), request.params.alert, actorOf(request)),
  );
}
