import type { FastifyRequest } from "fastify";
import { AppError } from "../../kernel/index.ts";
import type { SignIn } from "../../sign-in/index.ts";
import { grantIn, type Principal, type Tenancy, tenantsOf } from "../../tenancy/index.ts";
import { actorOf, principalOf } from "../access.ts";
import {
  BROWSER_COOKIE,
  clearSessionCookie,
  sessionToReplace,
  setBrowserCookie,
  setSessionCookie,
} from "../credentials.ts";
import { answers, NoContent, strict, Uuid } from "../schemas/common.ts";
import { EndedSessionsView, OwnSessionList } from "../schemas/sign-in.ts";
import {
  CreatedKeyView,
  CreatePersonalKeyBody,
  KeyList,
  SessionView,
  SignInBody,
  WhoamiView,
} from "../schemas/tenancy.ts";
import type { Api } from "../types.ts";
import { dateOf } from "../validation.ts";

export interface SessionDeps {
  tenancy: Pick<Tenancy, "tenants" | "keys" | "authenticate">;
  signIn: Pick<SignIn, "sessions" | "withPassword">;
}

const SIGN_INS_PER_MINUTE = 30;
const tags = ["sessions"];

/** Signing in and out, and what the caller is. */
export function sessionRoutes(api: Api, deps: SessionDeps): void {
  const { tenancy, signIn } = deps;
  api.post(
    "/auth/sign-in",
    {
      config: {
        access: "public",
        rateLimit: { max: SIGN_INS_PER_MINUTE, timeWindow: 60_000 },
      },
      schema: {
        operationId: "signIn",
        tags,
        security: [],
        body: SignInBody,
        response: answers(200, SessionView),
      },
    },
    async (request, reply) => {
      const session = await signIn.withPassword({
        ...request.body,
        ...callerOf(request),
        knownBrowser: request.cookies[BROWSER_COOKIE],
      });
      const principal = await tenancy.authenticate(session.token);
      setSessionCookie(request, reply, session);
      setBrowserCookie(request, reply, session.browser);
      const { id, email, name } = session.user;
      return {
        user: { id, email, name },
        platformRole: principal.platformRole,
        tenants: await tenantsSeen(principal, tenancy),
        expiresAt: session.expiresAt,
        mustEnrol: session.mustEnrol,
      };
    },
  );

  api.post(
    "/auth/sign-out",
    {
      config: { access: "signed-in", action: "session.sign-out", whileEnrolling: true },
      schema: { operationId: "signOut", tags, response: answers(204, NoContent) },
    },
    async (request, reply) => {
      if (request.credential?.from === "cookie")
        await signIn.sessions.signOut(request.credential.token);
      clearSessionCookie(request, reply);
      return reply.code(204).send();
    },
  );

  api.get(
    "/auth/whoami",
    {
      config: { access: "signed-in", whileEnrolling: true },
      schema: { operationId: "whoami", tags, response: answers(200, WhoamiView) },
    },
    async (request) => {
      const principal = principalOf(request);
      const { kind, id, name } = principal.actor;
      return {
        actor: { kind, id, name },
        platformRole: principal.platformRole,
        tenants: await tenantsSeen(principal, tenancy),
        mustEnrol: principal.session?.mustEnrol ?? false,
      };
    },
  );

  personalKeyRoutes(api, deps);
  ownSessionRoutes(api, deps);
}

/** Where somebody signs in from. */
export function callerOf(request: FastifyRequest) {
  return {
    address: request.ip,
    userAgent: request.headers["user-agent"]?.slice(0, 256) ?? "",
    replaces: sessionToReplace(request),
  };
}

/** Where a person is signed in, and the end of it. */
function ownSessionRoutes(api: Api, { signIn }: SessionDeps): void {
  api.get(
    "/auth/sessions",
    {
      config: { access: "signed-in" },
      schema: { operationId: "listOwnSessions", tags, response: answers(200, OwnSessionList) },
    },
    async (request) => ({ items: await signIn.sessions.list(principalOf(request)) }),
  );

  api.delete(
    "/auth/sessions/:session",
    {
      config: { access: "signed-in", action: "session.end" },
      schema: {
        operationId: "endOwnSession",
        tags,
        params: strict({ session: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { session: id } = request.params;
      await signIn.sessions.end(principalOf(request), { id }, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.post(
    "/auth/sessions/end-others",
    {
      config: { access: "signed-in", action: "session.end" },
      schema: {
        operationId: "endOtherSessions",
        tags,
        summary: "Ends every session of the caller but the one that asks",
        response: answers(200, EndedSessionsView),
      },
    },
    async (request) => ({
      ended: await signIn.sessions.end(principalOf(request), "others", actorOf(request)),
    }),
  );
}

/** Keys that act as the person who made them. */
function personalKeyRoutes(api: Api, { tenancy }: SessionDeps): void {
  api.get(
    "/auth/keys",
    {
      config: { access: "signed-in" },
      schema: { operationId: "listPersonalKeys", tags, response: answers(200, KeyList) },
    },
    async (request) => ({ items: await tenancy.keys.list({ userId: userIdOf(request) }) }),
  );

  api.post(
    "/auth/keys",
    {
      config: { access: "signed-in", answersSecret: true, action: "key.create" },
      schema: {
        operationId: "createPersonalKey",
        tags,
        body: CreatePersonalKeyBody,
        response: answers(201, CreatedKeyView),
      },
    },
    async (request, reply) => {
      const { name, expiresAt } = request.body;
      const created = await tenancy.keys.createPersonalKey(
        userIdOf(request),
        { name, ...(expiresAt ? { expiresAt: dateOf(expiresAt) } : {}) },
        actorOf(request),
      );
      request.auditTargetId = created.id;
      return reply.code(201).send({ id: created.id, key: created.key });
    },
  );

  api.delete(
    "/auth/keys/:key",
    {
      config: { access: "signed-in", action: "key.revoke" },
      schema: {
        operationId: "revokePersonalKey",
        tags,
        params: strict({ key: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const owner = { userId: userIdOf(request) };
      await tenancy.keys.revoke(owner, request.params.key, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function userIdOf(request: FastifyRequest): string {
  const { actor } = principalOf(request);
  if (actor.kind === "user") return actor.id;
  throw new AppError("forbidden", "a tenant's key is no person: sign in as one");
}

async function tenantsSeen(principal: Principal, tenancy: SessionDeps["tenancy"]) {
  const seesAll = principal.platformRole !== null;
  const mine = tenantsOf(principal);
  const all = await tenancy.tenants.list();
  return all
    .filter(({ id }) => seesAll || mine.includes(id))
    .map(({ id, name }) => {
      const grant = mine.includes(id) ? grantOfMember(principal, id) : undefined;
      return { id, name, role: grant?.role ?? null, ...whatIn(principal, id) };
    });
}

/** What the caller may in a tenant, and of which groups' devices: what the console shows goes by it. */
function whatIn(principal: Principal, tenantId: string) {
  const grant = grantIn(principal, tenantId);
  const { scopes } = principal;
  const permissions = (grant?.permissions ?? []).filter((one) => scopes?.includes(one) ?? true);
  return { permissions: [...permissions], groups: grant?.groups ? [...grant.groups] : null };
}

/** The membership itself: an administrator of the platform who is no member has no role. */
function grantOfMember(principal: Principal, tenantId: string) {
  return grantIn({ ...principal, platformRole: null }, tenantId);
}
