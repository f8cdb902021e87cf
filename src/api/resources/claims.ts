import type {
  ClaimTokenView as Claim,
  ClaimCertificates,
  ClaimTokens,
  CreatedClaimCertificate,
} from "../../identity/index.ts";
import { AppError } from "../../kernel/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import {
  ClaimTokenList,
  CreateClaimCertificateBody,
  CreateClaimTokenBody,
  CreatedClaimCertificateView,
  CreatedClaimSecretView,
  CreatedClaimTokenView,
} from "../schemas/enrolment.ts";
import type { Api } from "../types.ts";
import { dateOf } from "../validation.ts";

export interface ClaimDeps {
  identity: { claimTokens: ClaimTokens; claimCertificates: ClaimCertificates };
}

const tags = ["claim-tokens"];

/** Bounded rights by which devices enrol themselves, whatever proves them. */
export function claimRoutes(api: Api, deps: ClaimDeps): void {
  listAndRevoke(api, deps);
  creation(api, deps);
}

function listAndRevoke(api: Api, { identity }: ClaimDeps): void {
  api.get(
    "/tenants/:tenant/claim-tokens",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listClaimTokens",
        tags,
        summary: "Claims of every kind, newest first",
        params: TenantParams,
        response: answers(200, ClaimTokenList),
      },
    },
    async (request): Promise<{ items: Claim[] }> => ({
      items: await identity.claimTokens.list(tenantOf(request)),
    }),
  );

  api.delete(
    "/tenants/:tenant/claim-tokens/:claimToken",
    {
      config: { access: "devices.enroll", action: "claim-token.revoke" },
      schema: {
        operationId: "revokeClaimToken",
        tags,
        summary: "Ends a claim of any kind",
        params: strict({ tenant: TenantId, claimToken: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { claimToken } = request.params;
      await identity.claimTokens.revoke(tenantOf(request), claimToken, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function creation(api: Api, { identity }: ClaimDeps): void {
  const config = {
    access: "devices.enroll",
    action: "claim-token.create",
    answersSecret: true,
  } as const;

  api.post(
    "/tenants/:tenant/claim-tokens",
    {
      config,
      schema: {
        operationId: "createClaimToken",
        tags,
        summary: "A token for EST (HTTP Basic)",
        params: TenantParams,
        body: CreateClaimTokenBody,
        response: answers(201, CreatedClaimTokenView),
      },
    },
    async (request, reply) => {
      const claim = { ...request.body, expiresAt: dateOf(request.body.expiresAt) };
      const created = await identity.claimTokens.create(tenantOf(request), claim, actorOf(request));
      return reply.code(201).send(created);
    },
  );

  api.post(
    "/tenants/:tenant/claim-secrets",
    {
      config,
      schema: {
        operationId: "createClaimSecret",
        tags,
        summary: "Reference and secret for CMP (protection by a MAC)",
        params: TenantParams,
        body: CreateClaimTokenBody,
        response: answers(201, CreatedClaimSecretView),
      },
    },
    async (request, reply) => {
      const claim = { ...request.body, expiresAt: dateOf(request.body.expiresAt) };
      const { claimTokens } = identity;
      const tenantId = tenantOf(request);
      const created = await claimTokens.createSharedSecret(tenantId, claim, actorOf(request));
      return reply.code(201).send(created);
    },
  );

  api.post(
    "/tenants/:tenant/claim-certificates",
    {
      config,
      schema: {
        operationId: "createClaimCertificate",
        tags,
        summary: "A certificate for EST and CMP, or one for all of an authority's certificates",
        params: TenantParams,
        body: CreateClaimCertificateBody,
        response: answers(201, CreatedClaimCertificateView),
      },
    },
    async (request, reply) => {
      const { csr, authorityId, ...rest } = request.body;
      const claim = { ...rest, expiresAt: dateOf(rest.expiresAt) };
      const [tenantId, actor] = [tenantOf(request), actorOf(request)];
      if (csr !== undefined && authorityId !== undefined) {
        throw new AppError("invalid-request", "a request and an authority exclude each other");
      }
      const { claimCertificates } = identity;
      const created: Partial<CreatedClaimCertificate> & { id: string } =
        authorityId === undefined
          ? await claimCertificates.create(tenantId, { ...claim, csr }, actor)
          : await claimCertificates.createForAuthority(tenantId, { ...claim, authorityId }, actor);
      const { certificatePem = null, chainPem = null, keyPem = null, ...more } = created;
      return reply.code(201).send({ ...more, certificatePem, chainPem, keyPem });
    },
  );
}
