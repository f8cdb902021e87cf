import { AppError } from "../kernel/index.ts";
import { isTenantId } from "../protocol/index.ts";
import type { DeviceHttpDeps } from "./deps.ts";
import type { FailureLimit } from "./failure-limit.ts";
import type { DeviceServer } from "./server.ts";

const PREFIX = "/.well-known/cmp";
const CONTENT_TYPE = "application/pkixcmp";
/** A request and a few certificates. */
const MAX_MESSAGE_BYTES = 64 * 1024;

/**
 * The Certificate Management Protocol over HTTP (RFC 9811 §3): below `/.well-known/cmp`, with the
 * tenant after `/p/` where the client says it, and with or without the operation's name, which the
 * message says again. What the protocol itself refuses is answered with status 200.
 */
export function cmpRoutes(
  server: DeviceServer,
  { identity }: DeviceHttpDeps,
  failures: FailureLimit,
): void {
  server.register(async (cmp) => {
    cmp.removeAllContentTypeParsers();
    cmp.addContentTypeParser(
      CONTENT_TYPE,
      { parseAs: "buffer", bodyLimit: MAX_MESSAGE_BYTES },
      (_request, body, done) => done(null, body),
    );
    const label = ["", "/p/:tenant"];
    for (const url of label.flatMap((one) => [PREFIX + one, `${PREFIX}${one}/:operation`])) {
      cmp.post<{ Params: { tenant?: string }; Body: unknown }>(url, async (request, reply) => {
        failures.check(request.ip);
        const { tenant: tenantId } = request.params;
        if (tenantId !== undefined && !isTenantId(tenantId)) {
          throw new AppError("not-found", "there is no such tenant");
        }
        const { body } = request;
        if (!Buffer.isBuffer(body) || body.length === 0) {
          throw new AppError("invalid-request", `the body must be a message (${CONTENT_TYPE})`);
        }
        const answer = await identity.cmp.handle(body, { tenantId, address: request.ip });
        if (answer.outcome === "refused") failures.record(request.ip);
        reply.headers({ "content-type": CONTENT_TYPE, "cache-control": "no-store" });
        return reply.send(answer.message);
      });
    }
  });
}
