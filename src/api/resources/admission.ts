import type { PendingEnrolments, Preauthorised } from "../../identity/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import {
  answers,
  NoContent,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Uuid,
} from "../schemas/common.ts";
import {
  AddedPreauthorised,
  AddPreauthorisedBody,
  PendingEnrolmentList,
  PendingEnrolmentView,
  PendingQuery,
  PreauthorisedPage,
  RejectBody,
} from "../schemas/enrolment.ts";
import type { Api } from "../types.ts";
import { DeviceParams } from "./devices.ts";

export interface AdmissionDeps {
  identity: { pendingEnrolments: PendingEnrolments; preauthorised: Preauthorised };
}

const tags = ["enrolment"];
const PendingParams = strict({ tenant: TenantId, enrolment: Uuid });
const DEFAULT_PAGE = 50;

/** Who is expected, and who waits for a person. */
export function admissionRoutes(api: Api, deps: AdmissionDeps): void {
  pendingRoutes(api, deps);
  preauthorisedRoutes(api, deps);
}

function pendingRoutes(api: Api, { identity }: AdmissionDeps): void {
  api.get(
    "/tenants/:tenant/pending-enrolments",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listPendingEnrolments",
        tags,
        summary: "Enrolments that a person has to accept, or has decided, newest first",
        params: TenantParams,
        querystring: PendingQuery,
        response: answers(200, PendingEnrolmentList),
      },
    },
    async (request) => {
      const { status = "pending" } = request.query;
      return { items: await identity.pendingEnrolments.list(tenantOf(request), status) };
    },
  );

  api.post(
    "/tenants/:tenant/pending-enrolments/:enrolment/accept",
    {
      config: { access: "devices.enroll", action: "enrolment.accept" },
      schema: {
        operationId: "acceptEnrolment",
        tags,
        summary: "The device gets its certificate when it asks again",
        params: PendingParams,
        response: answers(200, PendingEnrolmentView),
      },
    },
    async (request) => {
      const { enrolment } = request.params;
      return identity.pendingEnrolments.accept(tenantOf(request), enrolment, actorOf(request));
    },
  );

  api.post(
    "/tenants/:tenant/pending-enrolments/:enrolment/reject",
    {
      config: { access: "devices.enroll", action: "enrolment.reject" },
      schema: {
        operationId: "rejectEnrolment",
        tags,
        params: PendingParams,
        body: RejectBody,
        response: answers(200, PendingEnrolmentView),
      },
    },
    async (request) => {
      const { enrolment } = request.params;
      const { reason } = request.body;
      const { pendingEnrolments } = identity;
      return pendingEnrolments.reject(tenantOf(request), enrolment, reason, actorOf(request));
    },
  );
}

function preauthorisedRoutes(api: Api, { identity }: AdmissionDeps): void {
  api.get(
    "/tenants/:tenant/preauthorised-devices",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listPreauthorisedDevices",
        tags,
        summary: "Devices that are expected, in the order of their ids",
        params: TenantParams,
        querystring: strict(PageQuery),
        response: answers(200, PreauthorisedPage),
      },
    },
    async (request) => {
      const { cursor, limit = DEFAULT_PAGE } = request.query;
      const after = decodeCursor("preauthorised", cursor);
      const page = { after, limit };
      const items = await identity.preauthorised.list(tenantOf(request), page);
      const nextCursor = items.length === limit ? items.at(-1)?.deviceId : null;
      return wrapPage("preauthorised", { items, nextCursor });
    },
  );

  api.post(
    "/tenants/:tenant/preauthorised-devices",
    {
      config: { access: "devices.enroll", action: "preauthorised.add" },
      schema: {
        operationId: "addPreauthorisedDevices",
        tags,
        summary: "Puts devices on the list, or changes what it says of them; each row for itself",
        params: TenantParams,
        body: AddPreauthorisedBody,
        response: answers(200, AddedPreauthorised),
      },
    },
    async (request) => {
      const { items } = request.body;
      const { preauthorised } = identity;
      return { items: await preauthorised.add(tenantOf(request), items, actorOf(request)) };
    },
  );

  api.delete(
    "/tenants/:tenant/preauthorised-devices/:device",
    {
      config: { access: "devices.enroll", action: "preauthorised.remove" },
      schema: {
        operationId: "removePreauthorisedDevice",
        tags,
        params: DeviceParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { device } = request.params;
      await identity.preauthorised.remove(tenantOf(request), device, actorOf(request));
      return reply.code(204).send();
    },
  );
}
