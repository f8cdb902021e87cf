import { Type } from "typebox";
import type { DeviceView as Device, Devices } from "../../devices/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { assertIfMatch, etagOf } from "../etag.ts";
import {
  answers,
  DeviceId,
  FleetQueryText,
  NoContent,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
} from "../schemas/common.ts";
import {
  DeviceEventList,
  DevicePage,
  DeviceUpdateList,
  DeviceView,
  UpdateDeviceBody,
} from "../schemas/devices.ts";
import type { Api } from "../types.ts";

/** A device's update as the device's page shows it. */
export interface DeviceUpdate {
  updateId: string;
  rolloutId: string;
  rolloutName: string;
  state: string;
  targetVersion: string;
}

export interface DeviceRouteDeps {
  devices: Pick<Devices, "list" | "get" | "update" | "remove">;
  rollouts: {
    /** Newest first. */
    deviceUpdates(tenantId: string, deviceId: string, limit: number): Promise<DeviceUpdate[]>;
  };
  telemetry: {
    /** Newest first. */
    events(
      tenantId: string,
      options: { deviceId: string; limit: number },
    ): Promise<{ ts: number; type: string; details: Record<string, unknown> }[]>;
  };
}

const tags = ["devices"];
const HISTORY_LENGTH = 100;
export const DeviceParams = strict({ tenant: TenantId, device: DeviceId });
const HistoryQuery = strict({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: HISTORY_LENGTH })),
});

/** What an update can change, and so what its ETag is over: a heartbeat does not touch it. */
function editable({ tags: labels, region, status }: Device) {
  return { labels, region, status };
}

export function deviceRoutes(api: Api, deps: DeviceRouteDeps): void {
  registryRoutes(api, deps);
  historyRoutes(api, deps);
}

function registryRoutes(api: Api, { devices }: DeviceRouteDeps): void {
  api.get(
    "/tenants/:tenant/devices",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listDevices",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          q: Type.Optional(FleetQueryText),
          sort: Type.Optional(
            Type.String({
              pattern: "^-?[A-Za-z][A-Za-z.]{0,63}$",
              description: "id, lastSeen, firmware.version, presence, product, region; - reverses",
            }),
          ),
        }),
        response: answers(200, DevicePage),
      },
    },
    async (request) => {
      const { q, cursor, limit, sort } = request.query;
      const options = { query: q, limit, sort, cursor: decodeCursor("devices", cursor) };
      return wrapPage("devices", await devices.list(tenantOf(request), options));
    },
  );

  api.get(
    "/tenants/:tenant/devices/:device",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getDevice",
        tags,
        params: DeviceParams,
        response: answers(200, DeviceView),
      },
    },
    async (request, reply) => {
      const device = await devices.get(tenantOf(request), request.params.device);
      reply.header("etag", etagOf(editable(device)));
      return device;
    },
  );

  api.patch(
    "/tenants/:tenant/devices/:device",
    {
      config: { access: "devices.write", action: "device.update" },
      schema: {
        operationId: "updateDevice",
        tags,
        params: DeviceParams,
        body: UpdateDeviceBody,
        response: answers(200, DeviceView),
      },
    },
    async (request, reply) => {
      const device = await devices.update(
        tenantOf(request),
        request.params.device,
        request.body,
        actorOf(request),
        (before) => assertIfMatch(request, editable(before)),
      );
      return reply.header("etag", etagOf(editable(device))).send(device);
    },
  );

  api.delete(
    "/tenants/:tenant/devices/:device",
    {
      config: { access: "devices.revoke", action: "device.remove" },
      schema: {
        operationId: "deleteDevice",
        tags,
        params: DeviceParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await devices.remove(tenantOf(request), request.params.device, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function historyRoutes(api: Api, { devices, rollouts, telemetry }: DeviceRouteDeps): void {
  api.get(
    "/tenants/:tenant/devices/:device/updates",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listDeviceUpdates",
        tags,
        params: DeviceParams,
        querystring: HistoryQuery,
        response: answers(200, DeviceUpdateList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      const limit = request.query.limit ?? HISTORY_LENGTH;
      return { items: await rollouts.deviceUpdates(tenantId, device, limit) };
    },
  );

  api.get(
    "/tenants/:tenant/devices/:device/events",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listDeviceEvents",
        tags,
        params: DeviceParams,
        querystring: HistoryQuery,
        response: answers(200, DeviceEventList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      const limit = request.query.limit ?? HISTORY_LENGTH;
      return { items: await telemetry.events(tenantId, { deviceId: device, limit }) };
    },
  );
}
