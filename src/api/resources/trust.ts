import type {
  Envelope,
  RootMetadata as Root,
  SigningKey,
  TargetsMetadata,
} from "../../protocol/index.ts";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, TenantParams } from "../schemas/common.ts";
import { OnlineKeysView, RootEnvelope, TargetsEnvelope } from "../schemas/trust.ts";
import type { Api } from "../types.ts";

export interface TrustDeps {
  firmware: {
    trustRoot(tenantId: string): Promise<Envelope<Root>>;
    setTrustRoot(tenantId: string, envelope: unknown, actor: Actor): Promise<Envelope<Root>>;
    targets(tenantId: string): Promise<Envelope<TargetsMetadata>>;
    setTargets(
      tenantId: string,
      envelope: unknown,
      actor: Actor,
    ): Promise<Envelope<TargetsMetadata>>;
    ensureOnlineKeys(tenantId: string): Promise<OnlineKeys>;
    replaceOnlineKeys(tenantId: string, actor: Actor): Promise<OnlineKeys>;
  };
}

interface OnlineKeys {
  director: SigningKey;
  repository: SigningKey;
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

  targetsRoutes(api, firmware);
  keyRoutes(api, firmware);
}

function targetsRoutes(api: Api, firmware: TrustDeps["firmware"]): void {
  api.get(
    "/tenants/:tenant/trust/targets",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "getTargets",
        tags,
        summary: "Whose keys sign the releases of which products",
        params: TenantParams,
        response: answers(200, TargetsEnvelope),
      },
    },
    async (request) => firmware.targets(tenantOf(request)),
  );

  api.put(
    "/tenants/:tenant/trust/targets",
    {
      config: { access: "trust.manage", action: "trust-targets.set" },
      schema: {
        operationId: "setTargets",
        tags,
        params: TenantParams,
        body: TargetsEnvelope,
        response: answers(200, TargetsEnvelope),
      },
    },
    async (request) => {
      request.auditTargetId = String(request.body.signed.version);
      return firmware.setTargets(tenantOf(request), request.body, actorOf(request));
    },
  );
}

function keyRoutes(api: Api, firmware: TrustDeps["firmware"]): void {
  api.get(
    "/tenants/:tenant/trust/online-keys",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "getOnlineKeys",
        tags,
        summary: "The platform's keys that the next trust root has to name",
        params: TenantParams,
        response: answers(200, OnlineKeysView),
      },
    },
    async (request) => firmware.ensureOnlineKeys(tenantOf(request)),
  );

  api.post(
    "/tenants/:tenant/trust/online-keys/replace",
    {
      config: { access: "trust.manage", action: "trust.replace-keys" },
      schema: {
        operationId: "replaceOnlineKeys",
        tags,
        summary: "Makes new online keys; they sign once a trust root names them",
        params: TenantParams,
        response: answers(200, OnlineKeysView),
      },
    },
    async (request) => firmware.replaceOnlineKeys(tenantOf(request), actorOf(request)),
  );
}
