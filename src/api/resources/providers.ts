import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { isAppError } from "../../kernel/index.ts";
import type { SignIn } from "../../sign-in/index.ts";
import { actorOf, principalOf } from "../access.ts";
import { clearFlowCookie, FLOW_COOKIE, setFlowCookie, setSessionCookie } from "../credentials.ts";
import { answers, NoContent, strict, Uuid } from "../schemas/common.ts";
import {
  CreateProviderBody,
  IdentityList,
  LeaveView,
  OfferedProviderList,
  ProviderCheckView,
  ProviderList,
  ProviderParams,
  ProviderView,
  ReplaceProviderBody,
  SetIdentityBody,
} from "../schemas/sign-in.ts";
import type { Api } from "../types.ts";
import { callerOf } from "./sessions.ts";

export interface ProviderDeps {
  signIn: Pick<SignIn, "providers" | "identities" | "withProvider" | "sessions">;
  /** Origins other than the server's own that the console is reached by; the first one counts. */
  publicOrigins?: readonly string[];
}

const FLOWS_PER_MINUTE = 30;
const rateLimit = { max: FLOWS_PER_MINUTE, timeWindow: 60_000 };
const tags = ["sign-in providers"];
const Empty = Type.Null({ description: "The answer is where it leads to" });

/** Signing in at an OpenID provider, and the providers that there are. */
export function providerRoutes(api: Api, deps: ProviderDeps): void {
  flowRoutes(api, deps);
  administrationRoutes(api, deps);
  identityRoutes(api, deps);
}

function flowRoutes(api: Api, { signIn, publicOrigins = [] }: ProviderDeps): void {
  const originOf = (request: FastifyRequest) =>
    publicOrigins[0] ?? `${request.protocol}://${request.host}`;

  api.get(
    "/auth/providers",
    {
      config: { access: "public", rateLimit: { max: 300, timeWindow: 60_000 } },
      schema: {
        operationId: "listOfferedProviders",
        tags,
        security: [],
        response: answers(200, OfferedProviderList),
      },
    },
    async () => ({ items: await signIn.providers.offered() }),
  );

  api.get(
    "/auth/providers/:provider/start",
    {
      config: { access: "public", rateLimit },
      schema: {
        operationId: "startProviderSignIn",
        tags,
        summary: "Sends the browser to the provider",
        security: [],
        params: ProviderParams,
        querystring: strict({
          next: Type.Optional(
            Type.String({ maxLength: 1024, description: "Path to come back to" }),
          ),
        }),
        response: answers(302, Empty),
      },
    },
    async (request, reply) => {
      const { provider } = request.params;
      const redirectUri = `${originOf(request)}/api/v1/auth/providers/${provider}/callback`;
      try {
        const { next } = request.query;
        const started = await signIn.withProvider.start(provider, { redirectUri, next });
        setFlowCookie(request, reply, started);
        return reply.redirect(started.url, 302);
      } catch (error) {
        return backToSignIn(reply, error);
      }
    },
  );

  api.get(
    "/auth/providers/:provider/callback",
    {
      config: { access: "public", rateLimit },
      schema: {
        operationId: "finishProviderSignIn",
        tags,
        summary: "Where the provider sends the browser back to",
        security: [],
        params: ProviderParams,
        // Providers add parameters of their own.
        querystring: Type.Object({}, { additionalProperties: Type.Unknown(), maxProperties: 20 }),
        response: answers(302, Empty),
      },
    },
    async (request, reply) => {
      const { provider } = request.params;
      const query = request.url.slice(request.url.indexOf("?") + 1 || request.url.length);
      clearFlowCookie(request, reply);
      try {
        const answer = { flow: request.cookies[FLOW_COOKIE], query };
        const session = await signIn.withProvider.finish(provider, answer, callerOf(request));
        setSessionCookie(request, reply, session);
        return reply.redirect(session.next, 302);
      } catch (error) {
        return backToSignIn(reply, error);
      }
    },
  );

  api.get(
    "/auth/provider-sign-out",
    {
      config: { access: "signed-in", whileEnrolling: true },
      schema: {
        operationId: "getProviderSignOut",
        tags,
        summary: "Where to go to leave the provider too, before the session here is ended",
        response: answers(200, LeaveView),
      },
    },
    async (request) => {
      const origin = await signIn.sessions.origin(principalOf(request).session);
      if (!origin) return { url: null };
      const returnTo = `${originOf(request)}/sign-in`;
      return { url: await signIn.withProvider.leaveUrl(origin, returnTo) };
    },
  );
}

/** A browser shows a page, not a problem document: the sign-in page says what was wrong. */
function backToSignIn(reply: FastifyReply, error: unknown) {
  if (!isAppError(error)) throw error;
  const { reason } = error.details;
  const problem = error.code === "sign-in-refused" ? String(reason) : error.code;
  return reply.redirect(`/sign-in?problem=${encodeURIComponent(problem)}`, 302);
}

function administrationRoutes(api: Api, { signIn, publicOrigins = [] }: ProviderDeps): void {
  const access = "platform-administrator";
  api.get(
    "/sign-in-providers",
    {
      config: { access },
      schema: { operationId: "listSignInProviders", tags, response: answers(200, ProviderList) },
    },
    async () => ({ items: await signIn.providers.list() }),
  );

  api.post(
    "/sign-in-providers",
    {
      config: { access, action: "provider.create" },
      schema: {
        operationId: "createSignInProvider",
        tags,
        body: CreateProviderBody,
        response: answers(201, ProviderView),
      },
    },
    async (request, reply) => {
      const { id, ...settings } = request.body;
      return reply.code(201).send(await signIn.providers.create(id, settings, actorOf(request)));
    },
  );

  api.put(
    "/sign-in-providers/:provider",
    {
      config: { access, action: "provider.update" },
      schema: {
        operationId: "replaceSignInProvider",
        tags,
        summary: "Replaces the settings; the secret stays where none is given",
        params: ProviderParams,
        body: ReplaceProviderBody,
        response: answers(200, ProviderView),
      },
    },
    async (request) =>
      signIn.providers.replace(request.params.provider, request.body, actorOf(request)),
  );

  api.delete(
    "/sign-in-providers/:provider",
    {
      config: { access, action: "provider.delete" },
      schema: {
        operationId: "deleteSignInProvider",
        tags,
        summary: "With its identities, its sessions and the memberships that it has granted",
        params: ProviderParams,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await signIn.providers.remove(request.params.provider, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.post(
    "/sign-in-providers/:provider/check",
    {
      config: { access, readsOnly: true },
      schema: {
        operationId: "checkSignInProvider",
        tags,
        summary: "Reads the provider's description, and tells what to register there",
        params: ProviderParams,
        response: answers(200, ProviderCheckView),
      },
    },
    async (request) => {
      const { provider } = request.params;
      const origin = publicOrigins[0] ?? `${request.protocol}://${request.host}`;
      return {
        ...(await signIn.providers.check(provider)),
        redirectUri: `${origin}/api/v1/auth/providers/${provider}/callback`,
        signOutUri: `${origin}/sign-in`,
      };
    },
  );
}

function identityRoutes(api: Api, { signIn }: ProviderDeps): void {
  const access = "platform-administrator";
  const params = strict({ user: Uuid, provider: ProviderParams.properties.provider });
  api.get(
    "/users/:user/identities",
    {
      config: { access },
      schema: {
        operationId: "listUserIdentities",
        tags,
        params: strict({ user: Uuid }),
        response: answers(200, IdentityList),
      },
    },
    async (request) => ({ items: await signIn.identities.list(request.params.user) }),
  );

  api.put(
    "/users/:user/identities/:provider",
    {
      config: { access, action: "identity.link" },
      schema: {
        operationId: "setUserIdentity",
        tags,
        summary: "Names the subject that the user is at the provider",
        params,
        body: SetIdentityBody,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { user, provider } = request.params;
      await signIn.identities.set(user, provider, request.body.subject, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.delete(
    "/users/:user/identities/:provider",
    {
      config: { access, action: "identity.unlink" },
      schema: {
        operationId: "removeUserIdentity",
        tags,
        summary: "The user signs in there no longer; their sessions from there end",
        params,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { user, provider } = request.params;
      await signIn.identities.remove(user, provider, actorOf(request));
      return reply.code(204).send();
    },
  );
}
