import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { Confinement } from "../kernel/confinement.ts";
import type { AppError } from "../kernel/index.ts";
import type { Principal } from "../tenancy/index.ts";
import type { Access } from "./access.ts";

/** The server with types that come from the routes' schemas. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may call the route; a route without it does not start. */
    access?: Access;
    /** A POST that changes nothing: neither audited nor remembered by its idempotency key. */
    readsOnly?: boolean;
    /** The answer holds a secret: it is not kept for replays of an idempotency key. */
    answersSecret?: boolean;
    /** The answer lives in its headers, so that there is nothing to replay. */
    keepsNoAnswer?: boolean;
    /** Open to who has to set up a second factor first. */
    whileEnrolling?: boolean;
    /** `<kind>.<verb>`, as the audit log names a write; every route that writes has one. */
    action?: string;
    /** What was done is recorded here; otherwise the module does it in its own transaction. */
    recordsDone?: boolean;
    /** `<kind>.read`: a read that the audit log names, once an hour for each who does it. */
    sensitiveRead?: `${string}.read`;
  }
  interface FastifyRequest {
    principal: Principal | null;
    /** What the caller signed in with; read again by long-lived answers. */
    credential: { token: string; from: "bearer" | "cookie" } | null;
    /** Set once the caller is known to be a member. */
    tenantId: string | null;
    /** What the caller is confined to in this tenant, where it is. */
    confinement: Confinement | null;
    traceId: string;
    traceparent: string;
    /** Id of the thing that a write made, for the audit log. */
    auditTargetId: string | null;
    /** The refusal that is being answered. */
    refusal: AppError | null;
  }
}
