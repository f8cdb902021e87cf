import { AppError } from "../../kernel/index.ts";
import type { NewServiceAccount, SignIn } from "../../sign-in/index.ts";
import { assertMayGrant } from "../../tenancy/index.ts";
import { actorOf, principalOf, tenantOf } from "../access.ts";
import { answers, NoContent, strict, TenantId, TenantParams, Uuid } from "../schemas/common.ts";
import {
  CreateServiceAccountBody,
  ExchangeBody,
  ExchangedTokenView,
  ServiceAccountList,
  ServiceAccountView,
} from "../schemas/service-accounts.ts";
import type { Api } from "../types.ts";

export interface ServiceAccountDeps {
  signIn: Pick<SignIn, "serviceAccounts">;
}

const EXCHANGES_PER_MINUTE = 60;
const FORM_BYTES = 32 * 1024;
const tags = ["service accounts"];

/** Programs elsewhere, as a tenant's administrators name them, and the keys that they get. */
export function serviceAccountRoutes(api: Api, { signIn }: ServiceAccountDeps): void {
  api.get(
    "/tenants/:tenant/service-accounts",
    {
      config: { access: "tenancy.read" },
      schema: {
        operationId: "listServiceAccounts",
        tags,
        params: TenantParams,
        response: answers(200, ServiceAccountList),
      },
    },
    async (request) => ({ items: await signIn.serviceAccounts.list(tenantOf(request)) }),
  );

  api.post(
    "/tenants/:tenant/service-accounts",
    {
      config: { access: "tenancy.manage", action: "service-account.create" },
      schema: {
        operationId: "createServiceAccount",
        tags,
        summary: "Lets tokens of an issuer that fit the conditions have keys of this role",
        params: TenantParams,
        body: CreateServiceAccountBody,
        response: answers(201, ServiceAccountView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const account = request.body as NewServiceAccount;
      assertMayGrant(principalOf(request), tenantId, account.role, account.scopes);
      const made = await signIn.serviceAccounts.create(tenantId, account, actorOf(request));
      request.auditTargetId = made.id;
      return reply.code(201).send(made);
    },
  );

  api.delete(
    "/tenants/:tenant/service-accounts/:serviceAccount",
    {
      config: { access: "tenancy.manage", action: "service-account.delete" },
      schema: {
        operationId: "deleteServiceAccount",
        tags,
        summary: "With the keys that it has been given",
        params: strict({ tenant: TenantId, serviceAccount: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { serviceAccount } = request.params;
      await signIn.serviceAccounts.remove(tenantOf(request), serviceAccount, actorOf(request));
      return reply.code(204).send();
    },
  );
}

/**
 * RFC 8693 §2: a form as that standard has it, or the same as JSON. Within a scope of its own, so
 * that no other route takes forms.
 */
export async function tokenRoutes(api: Api, { signIn }: ServiceAccountDeps): Promise<void> {
  api.addContentTypeParser(
    "application/x-www-form-urlencoded",
    { parseAs: "string", bodyLimit: FORM_BYTES },
    (_request, body, done) => {
      const form = new URLSearchParams(String(body));
      const names = [...form.keys()];
      // RFC 6749 §3.2: no parameter more than once
      if (new Set(names).size < names.length) {
        done(new AppError("invalid-request", "a parameter stands there more than once"));
      } else done(null, Object.fromEntries(form));
    },
  );
  api.post(
    "/token",
    {
      config: {
        access: "public",
        answersSecret: true,
        rateLimit: { max: EXCHANGES_PER_MINUTE, timeWindow: 60_000 },
      },
      bodyLimit: FORM_BYTES,
      schema: {
        operationId: "exchangeToken",
        tags,
        summary: "A key that is soon over, for a token of an issuer that the tenant has named",
        security: [],
        body: ExchangeBody,
        response: answers(200, ExchangedTokenView),
      },
    },
    async (request) => {
      const { subject_token: token, audience } = request.body;
      const [tenantId = "", name = ""] = audience.split("/");
      const target = { token, tenantId, name };
      const made = await signIn.serviceAccounts.exchange(target, request.ip);
      // RFC 8693 §2.2.1
      return {
        access_token: made.key,
        issued_token_type: "urn:ietf:params:oauth:token-type:access_token" as const,
        token_type: "Bearer" as const,
        expires_in: made.lifetimeSeconds,
        ...(made.scopes ? { scope: made.scopes.join(" ") } : {}),
      };
    },
  );
}
