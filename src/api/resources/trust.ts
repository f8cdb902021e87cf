import {
  type Envelope,
  type RootMetadata as Root,
  type SigningKey,
  signingKeyId,
} from "../../protocol/index.ts";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, TenantParams } from "../schemas/common.ts";
import { DirectorKeyView, RootEnvelope } from "../schemas/firmware.ts";
import type { Api } from "../types.ts";

export interface TrustDeps {
  firmware: {
    trustRoot(tenantId: string): Promise<Envelope<Root>>;
    setTrustRoot(tenantId: string, envelope: unknown, actor: Actor): Promise<Envelope<Root>>;
    ensureDirectorKey(tenantId: string): Promise<SigningKey>;
  };
}

const tags = ["trust"];

/** The root of a tenant's trust: which offline keys sign releases, and the online director's key. */
export function trustRoutes(api: Api, { firmware }: TrustDeps): void {
  api.get(
    "/tenants/:tenant/trust-root",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "getTrustRoot",
        tags,
        params: TenantParams,
        response: answers(200, RootEnvelope),
      },
    },
    async (request) => firmware.trustRoot(tenantOf(request)),
  );

  api.put(
    "/tenants/:tenant/trust-root",
    {
      config: { access: "trust.manage", action: "trust-root.set" },
      schema: {
        operationId: "setTrustRoot",
        tags,
        params: TenantParams,
        body: RootEnvelope,
        response: answers(200, RootEnvelope),
      },
    },
    async (request) => {
      request.auditTargetId = String(request.body.signed.version);
      return firmware.setTrustRoot(tenantOf(request), request.body, actorOf(request));
    },
  );

  api.get(
    "/tenants/:tenant/trust/director-key",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "getDirectorKey",
        tags,
        params: TenantParams,
        response: answers(200, DirectorKeyView),
      },
    },
    async (request) => {
      const key = await firmware.ensureDirectorKey(tenantOf(request));
      return { keyId: signingKeyId(key), key };
    },
  );
}
