import type { Devices } from "../../devices/index.ts";
import type { BulkResult, BulkRow, RevocationReason } from "../../identity/index.ts";
import { AppError } from "../../kernel/index.ts";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { CertificateList } from "../schemas/certificates.ts";
import { answers, NoContent, TenantParams } from "../schemas/common.ts";
import {
  DeviceConnection,
  EnrollDeviceBody,
  EnrolledDeviceView,
  RevokeBody,
} from "../schemas/devices.ts";
import { EnrollDevicesBody, EnrolledDevices } from "../schemas/enrolment.ts";
import type { Api } from "../types.ts";
import { DeviceParams } from "./devices.ts";

export interface EnrolmentDeps {
  /** Where devices connect; told to those who enrol one. */
  deviceConnection: { mqttUrl: string; httpsUrl: string };
  devices: Pick<Devices, "get" | "register">;
  identity: {
    enroll(request: {
      tenantId: string;
      csr: string;
      via: string;
      authority: { kind: "operator"; actor: Actor; deviceId: string };
      device?: {
        product: string;
        hardwareRevision: string;
        region?: string;
        tags?: Record<string, string>;
      };
    }): Promise<{ serial: string; certificatePem: string; chainPem: string; rootPem: string }>;
    rootCertificatePem(): Promise<string>;
    certificates(tenantId: string, deviceId: string): Promise<{ serial: string }[]>;
    revoke(
      tenantId: string,
      what: { deviceId: string } | { serial: string },
      reason: RevocationReason,
      actor: Actor,
    ): Promise<unknown>;
    enrollMany(tenantId: string, rows: readonly BulkRow[], actor: Actor): Promise<BulkResult[]>;
  };
}

/** How devices come to have an identity, and lose it. */
export function enrolmentRoutes(api: Api, deps: EnrolmentDeps): void {
  deviceIdentityRoutes(api, deps);
}

function deviceIdentityRoutes(api: Api, deps: EnrolmentDeps): void {
  const { devices, identity } = deps;
  const tags = ["devices"];

  api.post(
    "/tenants/:tenant/devices",
    {
      config: { access: "devices.enroll", action: "device.enroll" },
      schema: {
        operationId: "enrollDevice",
        tags,
        summary: "Registers a device; with a certificate request, issues its certificate too",
        params: TenantParams,
        body: EnrollDeviceBody,
        response: answers(201, EnrolledDeviceView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const actor = actorOf(request);
      const { id, csr, ...description } = request.body;
      request.auditTargetId = id;
      let certificate = null;
      if (csr === undefined) {
        await devices.register(null, tenantId, { id, ...description }, actor);
      } else {
        const issued = await identity.enroll({
          tenantId,
          csr,
          via: "operator",
          authority: { kind: "operator", actor, deviceId: id },
          device: description,
        });
        const { serial, certificatePem, chainPem, rootPem } = issued;
        certificate = { serial, certificatePem, chainPem, rootPem };
      }
      const device = await devices.get(tenantId, id);
      return reply.code(201).send({ device, certificate });
    },
  );

  api.post(
    "/tenants/:tenant/device-enrolments",
    {
      config: { access: "devices.enroll", action: "device.enroll" },
      schema: {
        operationId: "enrollDevices",
        tags,
        summary: "Enrols up to 200 devices, each for itself; refused rows say why",
        params: TenantParams,
        body: EnrollDevicesBody,
        response: answers(200, EnrolledDevices),
      },
    },
    async (request) => {
      const { items } = request.body;
      const results = await identity.enrollMany(tenantOf(request), items, actorOf(request));
      return {
        rootPem: await identity.rootCertificatePem(),
        items: results.map(({ id, enrolment, error }) => {
          if (!enrolment) return { id, certificate: null, error };
          const { serial, certificatePem, chainPem } = enrolment;
          return { id, certificate: { serial, certificatePem, chainPem }, error };
        }),
      };
    },
  );

  api.get(
    "/tenants/:tenant/device-connection",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "getDeviceConnection",
        tags,
        summary: "Where devices connect, and the root certificate that they trust",
        params: TenantParams,
        response: answers(200, DeviceConnection),
      },
    },
    async () => ({ ...deps.deviceConnection, rootPem: await identity.rootCertificatePem() }),
  );

  api.post(
    "/tenants/:tenant/devices/:device/revoke",
    {
      config: { access: "devices.revoke", action: "device.revoke" },
      schema: {
        operationId: "revokeDevice",
        tags,
        params: DeviceParams,
        body: RevokeBody,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      const { serial, reason: comment, code: reason = "unspecified" } = request.body;
      await devices.get(tenantId, device);
      const own = await identity.certificates(tenantId, device);
      if (serial !== undefined && !own.some((certificate) => certificate.serial === serial)) {
        throw new AppError("not-found", "the device has no such certificate", { serial });
      }
      const what = serial === undefined ? { deviceId: device } : { serial };
      await identity.revoke(tenantId, what, { reason, comment }, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.get(
    "/tenants/:tenant/devices/:device/certificates",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listDeviceCertificates",
        tags,
        params: DeviceParams,
        response: answers(200, CertificateList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const { device } = request.params;
      await devices.get(tenantId, device);
      return { items: await identity.certificates(tenantId, device) };
    },
  );
}
