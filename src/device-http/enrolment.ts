import { AppError } from "../kernel/index.ts";
import { isTenantId } from "../protocol/index.ts";
import type { DeviceHttpDeps, DeviceHttpOptions } from "./deps.ts";
import type { DeviceServer } from "./server.ts";

/**
 * What a device must know before it has a certificate, all of it public: the tenant's trust root,
 * the platform's root certificate, and where to connect. `?after=<version>` adds the roots above a
 * version that the device holds, so that it can follow the chain.
 */
export function enrolmentRoutes(
  server: DeviceServer,
  { identity, firmware }: DeviceHttpDeps,
  { mqttUrl, httpsUrl }: DeviceHttpOptions,
): void {
  server.get<{ Params: { tenant: string }; Querystring: { after?: string } }>(
    "/enrolment/:tenant/trust",
    async (request) => {
      const { tenant } = request.params;
      if (!isTenantId(tenant)) throw new AppError("not-found", "there is no such tenant");
      const { after } = request.query;
      if (after !== undefined && !/^\d{1,9}$/.test(after)) {
        throw new AppError("invalid-request", "after is the version of a trust root");
      }
      const trustRoot = await firmware.trustRoot(tenant);
      const rootPem = await identity.rootCertificatePem();
      const chain =
        after === undefined
          ? {}
          : { trustRoots: await firmware.trustRootsAfter(tenant, Number(after)) };
      return { tenant, trustRoot, ...chain, rootPem, mqttUrl, httpsUrl };
    },
  );
}
