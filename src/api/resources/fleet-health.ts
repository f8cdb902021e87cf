import { Type } from "typebox";
import { type Devices, HISTORY_DIMENSION } from "../../devices/index.ts";
import { AppError, type Clock, LIMITS } from "../../kernel/index.ts";
import { MAX_DEVICES as MAX_NAMED_DEVICES } from "../../logs/index.ts";
import type { Telemetry } from "../../telemetry/index.ts";
import { tenantOf } from "../access.ts";
import { answers, FleetQueryText, Moment, strict, TenantParams, Word } from "../schemas/common.ts";
import {
  CrashGroupList,
  FleetHistory,
  FleetMatrix,
  ReleaseComparisonView,
  RestartGroupList,
} from "../schemas/fleet-health.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";
import { devicesOf, type FilterDevices } from "./log-filter.ts";

export interface FleetHealthDeps {
  clock: Clock;
  devices: Pick<Devices, "fleet"> & FilterDevices;
  telemetry: Pick<Telemetry, "restarts">;
}

const tags = ["fleet"];
const access = "devices.read" as const;
const DAY_MS = 86_400_000;
/** Incidents are kept for so long. */
const LONGEST_MS = 90 * DAY_MS;
const DimensionName = Type.String({
  pattern:
    "^(firmware|hardware|product|region|presence|health|group|tags\\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})$",
  description: "firmware, hardware, product, region, presence, health, group or tags.<name>",
});

const HistoryDimension = Type.String({
  pattern: HISTORY_DIMENSION.source,
  description: "firmware, hardware, product, region, group or tags.<name>",
});

/** How the fleet fares: crossed, over time, its crashes, and one version against another. */
export function fleetHealthRoutes(api: Api, deps: FleetHealthDeps): void {
  matrixRoute(api, deps);
  historyRoute(api, deps);
  crashRoute(api, deps);
  restartRoute(api, deps);
  comparisonRoute(api, deps);
}

function matrixRoute(api: Api, { devices }: FleetHealthDeps): void {
  api.get(
    "/tenants/:tenant/fleet/matrix",
    {
      config: { access },
      schema: {
        operationId: "getFleetMatrix",
        tags,
        params: TenantParams,
        querystring: strict({
          by: DimensionName,
          across: DimensionName,
          q: Type.Optional(FleetQueryText),
        }),
        response: answers(200, FleetMatrix),
      },
    },
    async (request) => {
      const { by, across, q } = request.query;
      return { items: await devices.fleet.matrix(tenantOf(request), [by, across], q) };
    },
  );
}

function historyRoute(api: Api, { clock, devices }: FleetHealthDeps): void {
  api.get(
    "/tenants/:tenant/fleet/history",
    {
      config: { access },
      schema: {
        operationId: "getFleetHistory",
        tags,
        params: TenantParams,
        querystring: strict({
          by: Type.Optional(HistoryDimension),
          from: Type.Optional(Moment),
          to: Type.Optional(Moment),
        }),
        response: answers(200, FleetHistory),
      },
    },
    async (request) => {
      const to = momentMs(request.query.to) ?? clock.now();
      const from = momentMs(request.query.from) ?? to - DAY_MS;
      const by = request.query.by ?? null;
      const span = { from: Math.min(from, to), to };
      return { items: await devices.fleet.history(tenantOf(request), by, span) };
    },
  );
}

function crashRoute(api: Api, { clock, devices }: FleetHealthDeps): void {
  api.get(
    "/tenants/:tenant/fleet/crashes",
    {
      config: { access },
      schema: {
        operationId: "listCrashGroups",
        tags,
        params: TenantParams,
        querystring: strict({ q: Type.Optional(FleetQueryText), from: Type.Optional(Moment) }),
        response: answers(200, CrashGroupList),
      },
    },
    async (request) => {
      const { q } = request.query;
      const from = sinceOf(request.query.from, clock);
      const options = { from, ...(q === undefined ? {} : { query: q }) };
      return { items: await devices.fleet.crashes(tenantOf(request), options) };
    },
  );
}

function restartRoute(api: Api, { clock, devices, telemetry }: FleetHealthDeps): void {
  api.get(
    "/tenants/:tenant/fleet/restarts",
    {
      config: { access },
      schema: {
        operationId: "listRestartGroups",
        description: "Restarts by why devices were started, crashes among them or not",
        tags,
        params: TenantParams,
        querystring: strict({ q: Type.Optional(FleetQueryText), from: Type.Optional(Moment) }),
        response: answers(200, RestartGroupList),
      },
    },
    async (request) => {
      const { q } = request.query;
      const tenantId = tenantOf(request);
      const from = sinceOf(request.query.from, clock);
      const deviceIds = await devicesOf(devices, tenantId, q === undefined ? {} : { q });
      if (deviceIds && deviceIds.length > MAX_NAMED_DEVICES) {
        throw new AppError(
          "invalid-request",
          `more than ${MAX_NAMED_DEVICES} devices: narrow the query`,
          { limit: MAX_NAMED_DEVICES },
        );
      }
      const span = { from, to: clock.now() + LIMITS.futureToleranceMs };
      const items = await telemetry.restarts(tenantId, {
        ...span,
        ...(deviceIds ? { deviceIds } : {}),
      });
      return { items };
    },
  );
}

function comparisonRoute(api: Api, { clock, devices }: FleetHealthDeps): void {
  api.get(
    "/tenants/:tenant/fleet/comparison",
    {
      config: { access },
      schema: {
        operationId: "compareFirmware",
        tags,
        params: TenantParams,
        querystring: strict({
          target: Type.Optional(Word),
          source: Type.Optional(Word),
          from: Type.Optional(Moment),
        }),
        response: answers(200, ReleaseComparisonView),
      },
    },
    async (request) => {
      const { target, source } = request.query;
      return devices.fleet.compare(tenantOf(request), {
        ...(target === undefined ? {} : { target }),
        ...(source === undefined ? {} : { source }),
        from: sinceOf(request.query.from, clock),
      });
    },
  );
}

/** Seven days where nothing is asked for, no more than is kept, and nothing that is still to come. */
function sinceOf(from: string | undefined, clock: Clock): number {
  const now = clock.now();
  return Math.min(now, Math.max(momentMs(from) ?? now - 7 * DAY_MS, now - LONGEST_MS));
}
