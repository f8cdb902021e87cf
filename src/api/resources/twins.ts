import type { TwinChange, Twins, TwinView as View } from "../../devices/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { assertIfMatch, etagOf } from "../etag.ts";
import { answers, TenantParams } from "../schemas/common.ts";
import {
  PatchedTwins,
  PatchTwinBody,
  PatchTwinsBody,
  ReplaceTwinBody,
  TwinView,
} from "../schemas/twins.ts";
import type { Api } from "../types.ts";
import { DeviceParams } from "./devices.ts";

export interface TwinRouteDeps {
  devices: { twins: Pick<Twins, "get" | "change" | "changeMany"> };
}

const tags = ["devices"];
const TWIN = "/tenants/:tenant/devices/:device/twin";

/** What a change can change: what the device reports does not touch it. */
function editable({ desiredVersion }: View) {
  return { desiredVersion };
}

export function twinRoutes(api: Api, deps: TwinRouteDeps): void {
  api.get(
    TWIN,
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getTwin",
        description: "What the device ought to be, and what it says that it is",
        tags,
        params: DeviceParams,
        response: answers(200, TwinView),
      },
    },
    async (request, reply) => {
      const twin = await deps.devices.twins.get(tenantOf(request), request.params.device);
      reply.header("etag", etagOf(editable(twin)));
      return twin;
    },
  );
  writingRoutes(api, deps);
}

function writingRoutes(api: Api, { devices }: TwinRouteDeps): void {
  const config = { access: "devices.write" as const, action: "device.twin" };
  const shared = { tags, params: DeviceParams, response: answers(200, TwinView) };
  const change = async (request: Parameters<typeof actorOf>[0], what: TwinChange) => {
    const { device } = request.params as { device: string };
    const precondition = (twin: View) => assertIfMatch(request, editable(twin));
    const tenantId = tenantOf(request);
    return devices.twins.change(tenantId, device, what, actorOf(request), precondition);
  };
  api.patch(
    TWIN,
    {
      config,
      schema: { operationId: "patchTwin", ...shared, body: PatchTwinBody },
    },
    async (request, reply) => {
      const twin = await change(request, { patch: request.body.desired });
      return reply.header("etag", etagOf(editable(twin))).send(twin);
    },
  );
  api.put(
    TWIN,
    {
      config,
      schema: { operationId: "replaceTwin", ...shared, body: ReplaceTwinBody },
    },
    async (request, reply) => {
      const twin = await change(request, { replacement: request.body.desired });
      return reply.header("etag", etagOf(editable(twin))).send(twin);
    },
  );
  api.post(
    "/tenants/:tenant/twins",
    {
      config,
      schema: {
        operationId: "patchTwins",
        description: "The same patch for many devices: those named, or those that a query finds",
        tags,
        params: TenantParams,
        body: PatchTwinsBody,
        response: answers(200, PatchedTwins),
      },
    },
    async (request) => {
      const { devices: named, query, desired } = request.body;
      if ((named === undefined) === (query === undefined)) {
        throw new AppError("invalid-request", "give one of devices and query");
      }
      const which = named ? { devices: named } : { query: query ?? "" };
      return devices.twins.changeMany(tenantOf(request), which, desired, actorOf(request));
    },
  );
}
