import { Type } from "typebox";
import type { Database } from "../../db/index.ts";
import { compileFleetQuery, type Devices } from "../../devices/index.ts";
import type { Identity, RevocationSelection } from "../../identity/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, wrapPage } from "../cursor.ts";
import {
  CertificatePage,
  CertificateStatus,
  CertificateView,
  QuarantineBody,
  QuarantineList,
  RevocationOutcomeView,
  RevokeCertificatesBody,
  Serial,
  UnholdCertificatesBody,
} from "../schemas/certificates.ts";
import {
  answers,
  DeviceId,
  Moment,
  NoContent,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Uuid,
  Word,
} from "../schemas/common.ts";
import type { Api } from "../types.ts";
import { momentMs } from "../validation.ts";
import { DeviceParams } from "./devices.ts";

export interface CertificatesDeps {
  db: Pick<Database, "tenant">;
  devices: Pick<Devices, "get" | "matching">;
  identity: Pick<Identity, "listCertificates" | "certificate" | "revocations" | "quarantines">;
}

const tags = ["certificates"];
/** Devices that one call may revoke by a query: as many as it may name. */
const MAX_MATCHES = 10_000;

/** A tenant's certificates: looking, revoking, holding; and the quarantine of devices. */
export function certificateRoutes(api: Api, deps: CertificatesDeps): void {
  readingRoutes(api, deps);
  revocationRoutes(api, deps);
  quarantineRoutes(api, deps);
}

function readingRoutes(api: Api, { identity }: CertificatesDeps): void {
  api.get(
    "/tenants/:tenant/certificates",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listCertificates",
        tags,
        summary: "Certificates of the tenant's devices, those that end first before the others",
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          status: Type.Optional(CertificateStatus),
          device: Type.Optional(DeviceId),
          algorithm: Type.Optional(Word),
          authority: Type.Optional(Uuid),
          expiresBefore: Type.Optional(Moment),
          expiresAfter: Type.Optional(Moment),
        }),
        response: answers(200, CertificatePage),
      },
    },
    async (request) => {
      const { status, device, algorithm, authority, limit, cursor } = request.query;
      const { expiresBefore, expiresAfter } = request.query;
      const page = await identity.listCertificates(tenantOf(request), {
        ...{ status, deviceId: device, algorithm, authorityId: authority, limit },
        expiresBefore: expiresBefore === undefined ? undefined : new Date(momentMs(expiresBefore)),
        expiresAfter: expiresAfter === undefined ? undefined : new Date(momentMs(expiresAfter)),
        cursor: decodeCursor("certificates", cursor),
      });
      return wrapPage("certificates", page);
    },
  );

  api.get(
    "/tenants/:tenant/certificates/:serial",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getCertificate",
        tags,
        params: strict({ tenant: TenantId, serial: Serial }),
        response: answers(200, CertificateView),
      },
    },
    async (request) => identity.certificate(tenantOf(request), request.params.serial),
  );
}

function revocationRoutes(api: Api, deps: CertificatesDeps): void {
  const { identity } = deps;
  api.post(
    "/tenants/:tenant/certificates/revoke",
    {
      config: { access: "devices.revoke", action: "certificate.revoke" },
      schema: {
        operationId: "revokeCertificates",
        tags,
        summary: "Revokes or holds certificates, or devices with all of theirs",
        params: TenantParams,
        body: RevokeCertificatesBody,
        response: answers(200, RevocationOutcomeView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { reason, comment } = request.body;
      const selection = await selectionOf(deps, tenantId, request.body);
      return identity.revocations.revoke(
        tenantId,
        selection,
        { reason, comment },
        actorOf(request),
      );
    },
  );

  api.post(
    "/tenants/:tenant/certificates/unhold",
    {
      config: { access: "devices.revoke", action: "certificate.unhold" },
      schema: {
        operationId: "unholdCertificates",
        tags,
        summary: "Lifts holds; what is revoked for another reason stays revoked",
        params: TenantParams,
        body: UnholdCertificatesBody,
        response: answers(200, RevocationOutcomeView),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const selection = await selectionOf(deps, tenantId, request.body);
      const { comment = "" } = request.body;
      return identity.revocations.restore(tenantId, selection, comment, actorOf(request));
    },
  );
}

/** What the body names; `invalid-request` unless it does so in exactly one way. */
async function selectionOf(
  { db, devices }: CertificatesDeps,
  tenantId: string,
  body: {
    serials?: string[] | undefined;
    devices?: string[] | undefined;
    query?: string | undefined;
  },
): Promise<RevocationSelection> {
  const given = [body.serials, body.devices, body.query].filter((one) => one !== undefined);
  if (given.length !== 1) {
    throw new AppError("invalid-request", "give one of serials, devices and query");
  }
  if (body.serials) return { serials: body.serials };
  if (body.devices) return { deviceIds: body.devices };
  const query = compileFleetQuery(body.query ?? "");
  const found = await db.tenant(tenantId, (tx) => devices.matching(tx, tenantId, query));
  if (found.length === 0) throw new AppError("not-found", "the query finds no device");
  if (found.length > MAX_MATCHES) {
    throw new AppError("quota-exceeded", `the query finds more than ${MAX_MATCHES} devices`);
  }
  return { deviceIds: found.map((device) => device.id) };
}

const STATUS_CHANGES = [
  ["quarantine", "quarantineDevice", "devices.write", "From now on only renewal and updates"],
  ["release", "releaseDevice", "devices.write", "Lifts the quarantine"],
  ["reinstate", "reinstateDevice", "devices.revoke", "A revoked device may enrol again"],
] as const;

function quarantineRoutes(api: Api, { devices, identity }: CertificatesDeps): void {
  api.get(
    "/tenants/:tenant/devices/:device/quarantines",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listQuarantines",
        tags: ["devices"],
        summary: "When and why the device was in quarantine, newest first",
        params: DeviceParams,
        response: answers(200, QuarantineList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      return { items: await identity.quarantines.list(tenantId, device) };
    },
  );

  for (const [verb, operationId, access, summary] of STATUS_CHANGES) {
    api.post(
      `/tenants/:tenant/devices/:device/${verb}`,
      {
        config: { access, action: `device.${verb}` },
        schema: {
          operationId,
          tags: ["devices"],
          summary,
          params: DeviceParams,
          body: QuarantineBody,
          response: answers(204, NoContent),
        },
      },
      async (request, reply) => {
        const { set, lift, reinstate } = identity.quarantines;
        const change = { quarantine: set, release: lift, reinstate }[verb];
        const { reason } = request.body;
        await change(tenantOf(request), request.params.device, reason, actorOf(request));
        return reply.code(204).send();
      },
    );
  }
}
