import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import { CreatedWebhookView, CreateWebhookBody, WebhookList } from "../schemas/observing.ts";
import type { Api } from "../types.ts";

export interface WebhooksDeps {
  alerts: {
    webhooks: {
      list(tenantId: string): Promise<object[]>;
      create(
        tenantId: string,
        webhook: { url: string; eventTypes: string[] },
        actor: Actor,
      ): Promise<{ id: string; secret: string }>;
      delete(tenantId: string, id: string): Promise<unknown>;
    };
  };
}

const tags = ["webhooks"];

/** Where a tenant's alerts are sent: Standard Webhooks with CloudEvents bodies. */
export function webhookRoutes(api: Api, { alerts }: WebhooksDeps): void {
  api.get(
    "/tenants/:tenant/webhooks",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listWebhooks",
        tags,
        params: TenantParams,
        response: answers(200, WebhookList),
      },
    },
    async (request) => ({ items: await alerts.webhooks.list(tenantOf(request)) }),
  );

  api.post(
    "/tenants/:tenant/webhooks",
    {
      config: {
        access: "webhooks.manage",
        action: "webhook.create",
        recordsDone: true,
        answersSecret: true,
      },
      schema: {
        operationId: "createWebhook",
        tags,
        params: TenantParams,
        body: CreateWebhookBody,
        response: answers(201, CreatedWebhookView),
      },
    },
    async (request, reply) => {
      const { url, eventTypes = ["*"] } = request.body;
      const created = await alerts.webhooks.create(
        tenantOf(request),
        { url, eventTypes },
        actorOf(request),
      );
      request.auditTargetId = created.id;
      return reply.code(201).send({ id: created.id, secret: created.secret });
    },
  );

  api.delete(
    "/tenants/:tenant/webhooks/:webhook",
    {
      config: { access: "webhooks.manage", action: "webhook.delete", recordsDone: true },
      schema: {
        operationId: "deleteWebhook",
        tags,
        params: strict({ tenant: TenantId, webhook: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { webhook } = request.params;
      await alerts.webhooks.delete(tenantOf(request), webhook);
      return reply.code(204).send();
    },
  );
}
