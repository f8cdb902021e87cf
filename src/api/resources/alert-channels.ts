import {
  AlertPolicy,
  type Alerts,
  type ChannelView as Channel,
  type PolicyView,
} from "../../alerts/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answerWithEtag, assertIfMatch, etagOf } from "../etag.ts";
import {
  AlertPolicyView,
  ChannelBody,
  ChannelList,
  ChannelView,
  CreatedChannelView,
  NewChannelBody,
  NotificationList,
  NotificationView,
} from "../schemas/alerting.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import type { Api } from "../types.ts";

export interface AlertChannelDeps {
  alerts: Pick<Alerts, "channels" | "policy">;
}

const tags = ["alerts"];
const ChannelParams = strict({ tenant: TenantId, channel: Uuid });
const CHANNELS = "/tenants/:tenant/alert-channels";
const CHANNEL = `${CHANNELS}/:channel` as const;

const editable = ({ name, settings, enabled }: Channel) => ({ name, settings, enabled });
const policyState = ({ document }: PolicyView) => ({ document });

/** Where people are told of alerts, and who is told of what. */
export function alertChannelRoutes(api: Api, deps: AlertChannelDeps): void {
  policyRoutes(api, deps);
  readingRoutes(api, deps);
  writingRoutes(api, deps);
  testRoute(api, deps);
}

function policyRoutes(api: Api, { alerts }: AlertChannelDeps): void {
  const shared = { tags, params: TenantParams, response: answers(200, AlertPolicyView) };
  api.get(
    "/tenants/:tenant/alert-policy",
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "getAlertPolicy",
        description: "Routes, grouping, inhibition, maintenance and escalation: one document",
        ...shared,
      },
    },
    async (request, reply) => {
      const policy = await alerts.policy.get(tenantOf(request));
      return answerWithEtag(request, reply, policyState(policy), policy);
    },
  );

  api.put(
    "/tenants/:tenant/alert-policy",
    {
      config: { access: "alerts.manage", action: "alert-policy.update", recordsDone: true },
      schema: { operationId: "replaceAlertPolicy", ...shared, body: AlertPolicy },
    },
    async (request, reply) => {
      const policy = await alerts.policy.replace(
        tenantOf(request),
        request.body,
        actorOf(request),
        (current) => assertIfMatch(request, policyState(current)),
      );
      return reply.header("etag", etagOf(policyState(policy))).send(policy);
    },
  );
}

function readingRoutes(api: Api, { alerts }: AlertChannelDeps): void {
  api.get(
    CHANNELS,
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listAlertChannels",
        tags,
        params: TenantParams,
        response: answers(200, ChannelList),
      },
    },
    async (request) => ({ items: await alerts.channels.list(tenantOf(request)) }),
  );

  api.get(
    CHANNEL,
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "getAlertChannel",
        tags,
        params: ChannelParams,
        response: answers(200, ChannelView),
      },
    },
    async (request, reply) => {
      const channel = await alerts.channels.get(tenantOf(request), request.params.channel);
      return answerWithEtag(request, reply, editable(channel), channel);
    },
  );

  api.get(
    `${CHANNEL}/deliveries`,
    {
      config: { access: "alerts.read" },
      schema: {
        operationId: "listAlertDeliveries",
        description: "What was said there or is to be said, newest first; kept for 30 days",
        tags,
        params: ChannelParams,
        response: answers(200, NotificationList),
      },
    },
    async (request) => ({
      items: await alerts.channels.deliveries(tenantOf(request), request.params.channel),
    }),
  );
}

function writingRoutes(api: Api, { alerts }: AlertChannelDeps): void {
  const access = "webhooks.manage" as const;
  api.post(
    CHANNELS,
    {
      config: { access, action: "alert-channel.create", recordsDone: true, answersSecret: true },
      schema: {
        operationId: "createAlertChannel",
        tags,
        params: TenantParams,
        body: NewChannelBody,
        response: answers(201, CreatedChannelView),
      },
    },
    async (request, reply) => {
      const made = await alerts.channels.create(tenantOf(request), request.body, actorOf(request));
      request.auditTargetId = made.id;
      return reply
        .code(201)
        .header("etag", etagOf(editable(made)))
        .send(made);
    },
  );

  api.put(
    CHANNEL,
    {
      config: { access, action: "alert-channel.update", recordsDone: true },
      schema: {
        operationId: "replaceAlertChannel",
        description: "Without a secret the one that there is stays",
        tags,
        params: ChannelParams,
        body: ChannelBody,
        response: answers(200, ChannelView),
      },
    },
    async (request, reply) => {
      const channel = await alerts.channels.update(
        tenantOf(request),
        request.params.channel,
        request.body,
        (current) => assertIfMatch(request, editable(current)),
      );
      return reply.header("etag", etagOf(editable(channel))).send(channel);
    },
  );

  api.delete(
    CHANNEL,
    {
      config: { access, action: "alert-channel.delete", recordsDone: true },
      schema: {
        operationId: "deleteAlertChannel",
        tags,
        params: ChannelParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await alerts.channels.delete(tenantOf(request), request.params.channel);
      return reply.code(204).send();
    },
  );
}

function testRoute(api: Api, { alerts }: AlertChannelDeps): void {
  api.post(
    `${CHANNEL}/test`,
    {
      config: { access: "webhooks.manage", action: "alert-channel.test", recordsDone: true },
      schema: {
        operationId: "testAlertChannel",
        description: "Sends a test at once; the answer says what came of it",
        tags,
        params: ChannelParams,
        response: answers(200, NotificationView),
      },
    },
    async (request) =>
      alerts.channels.test(tenantOf(request), request.params.channel, actorOf(request)),
  );
}
