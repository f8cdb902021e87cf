import { Type } from "typebox";
import type { Database } from "../../db/index.ts";
import { compileFleetQuery, type Devices } from "../../devices/index.ts";
import { MAX_CAMPAIGN_DEVICES, type RotationCampaigns } from "../../identity/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import { answers, PageQuery, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import {
  CampaignDevicePage,
  CampaignPage,
  CampaignStateName,
  CampaignView,
  CreateCampaignBody,
} from "../schemas/radar.ts";
import type { Api } from "../types.ts";

export interface CampaignsDeps {
  db: Pick<Database, "tenant">;
  devices: Pick<Devices, "matching">;
  rotationCampaigns: RotationCampaigns;
}

const tags = ["certificates"];
const CampaignParams = strict({ tenant: TenantId, campaign: Uuid });
const DEFAULTS = { concurrency: 50, deadlineSeconds: 3_600, jitterSeconds: 10 };

/** "Rotate now": waves of rotations, their progress and their steering. */
export function campaignRoutes(api: Api, deps: CampaignsDeps): void {
  creationRoute(api, deps);
  readingRoutes(api, deps);
  for (const verb of ["pause", "resume", "cancel"] as const) {
    api.post(
      `/tenants/:tenant/certificate-rotations/:campaign/${verb}`,
      {
        config: {
          // Pausing is safe, so more people may do it than may start or go on.
          access: verb === "pause" ? "devices.write" : "devices.enroll",
          action: `rotation-campaign.${verb}`,
        },
        schema: {
          operationId: `${verb}RotationCampaign`,
          tags,
          params: CampaignParams,
          response: answers(200, CampaignView),
        },
      },
      async (request) => {
        const { campaign } = request.params;
        return deps.rotationCampaigns[verb](tenantOf(request), campaign, actorOf(request));
      },
    );
  }
}

function creationRoute(api: Api, deps: CampaignsDeps): void {
  api.post(
    "/tenants/:tenant/certificate-rotations",
    {
      config: { access: "devices.enroll", action: "rotation-campaign.create" },
      schema: {
        operationId: "createRotationCampaign",
        tags,
        summary: "Has devices renew their certificates now, so many at a time",
        params: TenantParams,
        body: CreateCampaignBody,
        response: answers(201, CampaignView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { devices, query, ...pace } = request.body;
      const deviceIds = devices ?? (await matching(deps, tenantId, query));
      if (devices && query !== undefined) throw oneOf();
      const campaign = await deps.rotationCampaigns.create(
        tenantId,
        { ...DEFAULTS, ...pace, deviceIds, query: query ?? "" },
        actorOf(request),
      );
      request.auditTargetId = campaign.id;
      return reply.code(201).send(campaign);
    },
  );
}

async function matching(
  { db, devices }: CampaignsDeps,
  tenantId: string,
  text: string | undefined,
): Promise<string[]> {
  if (text === undefined) throw oneOf();
  const query = compileFleetQuery(text);
  const found = await db.tenant(tenantId, (tx) => devices.matching(tx, tenantId, query));
  if (found.length === 0) throw new AppError("not-found", "the query finds no device");
  if (found.length > MAX_CAMPAIGN_DEVICES) {
    const limit = MAX_CAMPAIGN_DEVICES;
    throw new AppError("quota-exceeded", `the query finds more than ${limit} devices`, { limit });
  }
  return found.map((device) => device.id);
}

function oneOf(): AppError {
  return new AppError("invalid-request", "give either devices or query");
}

function readingRoutes(api: Api, { rotationCampaigns }: CampaignsDeps): void {
  api.get(
    "/tenants/:tenant/certificate-rotations",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listRotationCampaigns",
        tags,
        params: TenantParams,
        querystring: strict(PageQuery),
        response: answers(200, CampaignPage),
      },
    },
    async (request) => {
      const { limit } = request.query;
      const cursor = decodeCursor("rotation-campaigns", request.query.cursor);
      const page = await rotationCampaigns.list(tenantOf(request), { limit, cursor });
      return wrapPage("rotation-campaigns", page);
    },
  );

  api.get(
    "/tenants/:tenant/certificate-rotations/:campaign",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getRotationCampaign",
        tags,
        params: CampaignParams,
        response: answers(200, CampaignView),
      },
    },
    async (request) => rotationCampaigns.get(tenantOf(request), request.params.campaign),
  );

  api.get(
    "/tenants/:tenant/certificate-rotations/:campaign/devices",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listRotationCampaignDevices",
        tags,
        params: CampaignParams,
        querystring: strict({ ...PageQuery, state: Type.Optional(CampaignStateName) }),
        response: answers(200, CampaignDevicePage),
      },
    },
    async (request) => {
      const { state, limit } = request.query;
      const cursor = decodeCursor("campaign-devices", request.query.cursor);
      const page = await rotationCampaigns.devices(tenantOf(request), request.params.campaign, {
        ...{ state, limit, cursor },
      });
      return wrapPage("campaign-devices", page);
    },
  );
}
