import type { FastifyRequest } from "fastify";
import type { SignIn } from "../../sign-in/index.ts";
import { actorOf, principalOf } from "../access.ts";
import { setSessionCookie } from "../credentials.ts";
import { answers, NoContent, strict, Uuid } from "../schemas/common.ts";
import {
  CodeBody,
  FactorsView,
  PasskeyChallengeView,
  PasskeyCreatedView,
  PasskeySignInBody,
  PolicyBody,
  PolicyView,
  RecoveryCodesView,
  RegisterPasskeyBody,
  RequireFactorBody,
  SignedInView,
  TotpSecretView,
} from "../schemas/sign-in.ts";
import type { Api } from "../types.ts";
import { callerOf } from "./sessions.ts";

export interface FactorDeps {
  signIn: Pick<SignIn, "factors" | "passkeys">;
  publicOrigins?: readonly string[];
}

const GUESSES_PER_MINUTE = 10;
const SIGN_INS_PER_MINUTE = 30;
const tags = ["second factors"];

/** Second factors of the caller, passkeys to sign in with, and who must have one. */
export function factorRoutes(api: Api, deps: FactorDeps): void {
  codeRoutes(api, deps);
  passkeyRoutes(api, deps);
  passkeySignInRoutes(api, deps);
  policyRoutes(api, deps);
}

function codeRoutes(api: Api, { signIn }: FactorDeps): void {
  const access = "signed-in";
  const own = { access, whileEnrolling: true } as const;
  const rateLimit = { max: GUESSES_PER_MINUTE, timeWindow: 60_000 };
  api.get(
    "/auth/factors",
    {
      config: own,
      schema: { operationId: "getOwnFactors", tags, response: answers(200, FactorsView) },
    },
    async (request) => signIn.factors.view(principalOf(request)),
  );

  api.post(
    "/auth/totp",
    {
      config: { ...own, action: "factor.begin", answersSecret: true },
      schema: {
        operationId: "beginTotp",
        tags,
        summary: "A secret for an authenticator app; it counts once a code of it was shown",
        response: answers(200, TotpSecretView),
      },
    },
    async (request) => signIn.factors.begin(principalOf(request), actorOf(request)),
  );

  api.post(
    "/auth/totp/confirm",
    {
      config: { ...own, action: "factor.add", answersSecret: true, rateLimit },
      schema: {
        operationId: "confirmTotp",
        tags,
        body: CodeBody,
        response: answers(200, RecoveryCodesView),
      },
    },
    async (request) => {
      const { code } = request.body;
      const codes = await signIn.factors.confirm(principalOf(request), code, actorOf(request));
      return { recoveryCodes: codes };
    },
  );

  api.post(
    "/auth/totp/remove",
    {
      config: { access, action: "factor.remove", rateLimit },
      schema: {
        operationId: "removeTotp",
        tags,
        body: CodeBody,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await signIn.factors.remove(principalOf(request), request.body.code, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.post(
    "/auth/recovery-codes",
    {
      config: { access, action: "factor.renew-codes", answersSecret: true, rateLimit },
      schema: {
        operationId: "renewRecoveryCodes",
        tags,
        body: CodeBody,
        response: answers(200, RecoveryCodesView),
      },
    },
    async (request) => {
      const { code } = request.body;
      const codes = await signIn.factors.renewCodes(principalOf(request), code, actorOf(request));
      return { recoveryCodes: codes };
    },
  );
}

function passkeyRoutes(api: Api, { signIn, publicOrigins = [] }: FactorDeps): void {
  const own = { access: "signed-in", whileEnrolling: true } as const;
  api.post(
    "/auth/passkeys/challenge",
    {
      config: { ...own, readsOnly: true },
      schema: {
        operationId: "beginPasskey",
        tags,
        summary: "What the browser makes a passkey from",
        response: answers(200, PasskeyChallengeView),
      },
    },
    async (request) =>
      signIn.passkeys.beginRegistration(principalOf(request), partyOf(request, publicOrigins)),
  );

  api.post(
    "/auth/passkeys",
    {
      config: { ...own, action: "factor.add" },
      schema: {
        operationId: "addPasskey",
        tags,
        body: RegisterPasskeyBody,
        response: answers(201, PasskeyCreatedView),
      },
    },
    async (request, reply) => {
      const party = partyOf(request, publicOrigins);
      const answer = request.body as Parameters<typeof signIn.passkeys.register>[1];
      const actor = actorOf(request);
      const made = await signIn.passkeys.register(principalOf(request), answer, party, actor);
      return reply.code(201).send(made);
    },
  );

  api.delete(
    "/auth/passkeys/:passkey",
    {
      config: { access: "signed-in", action: "factor.remove" },
      schema: {
        operationId: "removePasskey",
        tags,
        params: strict({ passkey: Uuid }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { passkey } = request.params;
      await signIn.passkeys.remove(principalOf(request), passkey, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function passkeySignInRoutes(api: Api, { signIn, publicOrigins = [] }: FactorDeps): void {
  const config = {
    access: "public",
    rateLimit: { max: SIGN_INS_PER_MINUTE, timeWindow: 60_000 },
  } as const;
  api.post(
    "/auth/passkey-sign-in/challenge",
    {
      config: { ...config, readsOnly: true },
      schema: {
        operationId: "beginPasskeySignIn",
        tags,
        security: [],
        response: answers(200, PasskeyChallengeView),
      },
    },
    async (request) => signIn.passkeys.beginSignIn(partyOf(request, publicOrigins)),
  );

  api.post(
    "/auth/passkey-sign-in",
    {
      config,
      schema: {
        operationId: "signInWithPasskey",
        tags,
        security: [],
        body: PasskeySignInBody,
        response: answers(200, SignedInView),
      },
    },
    async (request, reply) => {
      const party = partyOf(request, publicOrigins);
      const answer = request.body as Parameters<typeof signIn.passkeys.signIn>[0];
      const session = await signIn.passkeys.signIn(answer, party, callerOf(request));
      setSessionCookie(request, reply, session);
      const { id, email, name } = session.user;
      return { user: { id, email, name }, expiresAt: session.expiresAt };
    },
  );
}

function policyRoutes(api: Api, { signIn }: FactorDeps): void {
  const access = "platform-administrator";
  const params = strict({ user: Uuid });
  api.get(
    "/sign-in-policy",
    {
      config: { access },
      schema: { operationId: "getSignInPolicy", tags, response: answers(200, PolicyView) },
    },
    async () => ({ secondFactor: await signIn.factors.policy() }),
  );

  api.put(
    "/sign-in-policy",
    {
      config: { access, action: "factor.require" },
      schema: {
        operationId: "setSignInPolicy",
        tags,
        summary: "Who needs a second factor when they sign in with a password",
        body: PolicyBody,
        response: answers(200, PolicyView),
      },
    },
    async (request) => {
      const { secondFactor } = request.body;
      await signIn.factors.setPolicy(secondFactor, actorOf(request));
      return { secondFactor };
    },
  );

  api.put(
    "/users/:user/second-factor",
    {
      config: { access, action: "factor.require" },
      schema: {
        operationId: "requireSecondFactor",
        tags,
        params,
        body: RequireFactorBody,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { isRequired } = request.body;
      await signIn.factors.setRequired(request.params.user, isRequired, actorOf(request));
      return reply.code(204).send();
    },
  );

  api.delete(
    "/users/:user/factors",
    {
      config: { access, action: "factor.reset" },
      schema: {
        operationId: "resetUserFactors",
        tags,
        summary: "For who has lost everything: the password alone counts, every session ends",
        params,
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await signIn.factors.reset(request.params.user, actorOf(request));
      return reply.code(204).send();
    },
  );
}

/** Where the console is: passkeys are bound to its host name. */
function partyOf(request: FastifyRequest, publicOrigins: readonly string[]) {
  return { origin: publicOrigins[0] ?? `${request.protocol}://${request.host}` };
}
