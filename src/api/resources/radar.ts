import { Type } from "typebox";
import type { Devices } from "../../devices/index.ts";
import type { Identity } from "../../identity/index.ts";
import { tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { answers, PageQuery, strict, TenantParams, Word } from "../schemas/common.ts";
import {
  DeviceRotationView,
  KnockPage,
  RadarView,
  TroubledRotationPage,
} from "../schemas/radar.ts";
import type { Api } from "../types.ts";
import { DeviceParams } from "./devices.ts";

export interface RadarDeps {
  devices: Pick<Devices, "get">;
  identity: Pick<Identity, "radar" | "rotation">;
}

const tags = ["certificates"];

/** What is coming and what goes wrong with certificates. */
export function radarRoutes(api: Api, deps: RadarDeps): void {
  pictureRoutes(api, deps);
  knockRoutes(api, deps);
}

function pictureRoutes(api: Api, { devices, identity }: RadarDeps): void {
  api.get(
    "/tenants/:tenant/certificate-radar",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getCertificateRadar",
        tags,
        summary: "When certificates end, with which keys, and whose rotation is in trouble",
        params: TenantParams,
        response: answers(200, RadarView),
      },
    },
    async (request) => identity.radar.picture(tenantOf(request)),
  );

  api.get(
    "/tenants/:tenant/certificate-radar/failing",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listFailingRotations",
        tags,
        summary: "Devices whose rotation is in trouble, the latest trouble first",
        params: TenantParams,
        querystring: strict({ ...PageQuery, step: Type.Optional(Word) }),
        response: answers(200, TroubledRotationPage),
      },
    },
    async (request) => {
      const { step, limit, cursor } = request.query;
      const filter = { step, limit, cursor: decodeCursor("failing-rotations", cursor) };
      return wrapPage("failing-rotations", await identity.radar.failing(tenantOf(request), filter));
    },
  );

  api.get(
    "/tenants/:tenant/devices/:device/rotation",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getDeviceRotation",
        tags: ["devices"],
        summary: "How far the device's last rotation is, and the last failures",
        params: DeviceParams,
        response: answers(200, DeviceRotationView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      const [state, failures] = await Promise.all([
        identity.rotation.state(tenantId, device),
        identity.radar.failures(tenantId, device),
      ]);
      return { state: state ?? null, failures };
    },
  );
}

function knockRoutes(api: Api, { identity }: RadarDeps): void {
  const querystring = strict({ ...PageQuery, reason: Type.Optional(Word) });

  api.get(
    "/tenants/:tenant/certificate-radar/knocks",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listKnocks",
        tags,
        summary: "Certificates in the tenant's name that were refused, the latest first",
        params: TenantParams,
        querystring,
        response: answers(200, KnockPage),
      },
    },
    async (request) => {
      const { reason, limit, cursor } = request.query;
      const filter = { reason, limit, cursor: decodeCursor("knocks", cursor) };
      return wrapPage("knocks", await identity.radar.knocks(tenantOf(request), filter));
    },
  );

  api.get(
    "/platform/knocks",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "listPlatformKnocks",
        tags,
        summary: "Refused certificates that name no tenant of this installation",
        querystring,
        response: answers(200, KnockPage),
      },
    },
    async (request) => {
      const { reason, limit, cursor } = request.query;
      const filter = { reason, limit, cursor: decodeCursor("knocks", cursor) };
      return wrapPage("knocks", await identity.radar.knocks(null, filter));
    },
  );
}
