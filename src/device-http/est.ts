import { certsOnlyPkcs7 } from "../identity/index.ts";
import { AppError, isAppError, LIMITS } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { isTenantId } from "../protocol/index.ts";
import type { DeviceHttpDeps } from "./deps.ts";
import type { FailureLimit } from "./failure-limit.ts";
import { authenticate } from "./peer.ts";
import type { DeviceServer } from "./server.ts";

const enrolments = counter("vautn_enrolments_total", "Requests for certificates over EST", [
  "operation",
  "outcome",
]);

export const EST_PREFIX = "/.well-known/est/";
const BASE64_LINE = 76;

/**
 * Enrolment over Secure Transport (RFC 7030, clarified by RFC 8951) below
 * `/.well-known/est/<tenant>/`. Who has no certificate yet proves by a claim token that they may
 * have one; who has one renews it.
 */
export function estRoutes(
  server: DeviceServer,
  deps: DeviceHttpDeps,
  failures: FailureLimit,
): void {
  const { identity } = deps;

  server.register(
    async (est) => {
      est.removeAllContentTypeParsers();
      // RFC 7030 §4.2.1. The body is small and is read whole.
      est.addContentTypeParser(
        "application/pkcs10",
        { parseAs: "string", bodyLimit: LIMITS.certificateRequestBytes },
        (_request, body, done) => done(null, body),
      );

      est.get<Tenant>("/cacerts", async (request, reply) => {
        const chain = await identity.authorityCertificates(tenantOf(request.params));
        // RFC 7030 §4.1.3
        reply.header("content-type", "application/pkcs7-mime");
        reply.header("content-transfer-encoding", "base64");
        return base64Lines(certsOnlyPkcs7(chain));
      });

      // RFC 7030 §4.5.2: no attributes are asked for.
      est.get<Tenant>("/csrattrs", async (request, reply) => {
        tenantOf(request.params);
        return reply.code(204).send();
      });

      est.post<Tenant & Csr>("/simpleenroll", async (request, reply) => {
        failures.check(request.ip);
        const tenantId = tenantOf(request.params);
        const token = claimToken(request.headers.authorization);
        return issue("simpleenroll", request.ip, reply, () =>
          identity.enroll({
            tenantId,
            csr: csrOf(request.body),
            via: "est",
            authority: { kind: "claim", token },
          }),
        );
      });

      est.post<Tenant & Csr>("/simplereenroll", async (request, reply) => {
        failures.check(request.ip);
        const tenantId = tenantOf(request.params);
        return issue("simplereenroll", request.ip, reply, async () => {
          const peer = await authenticate(identity, request, { renewal: true });
          if (peer.tenantId !== tenantId)
            throw new AppError("not-found", "there is no such tenant");
          return identity.enroll({
            tenantId,
            csr: csrOf(request.body),
            via: "est",
            authority: { kind: "certificate", peer },
          });
        });
      });
    },
    { prefix: `${EST_PREFIX}:tenant` },
  );

  async function issue(
    operation: string,
    address: string,
    reply: { header(name: string, value: string): unknown },
    enroll: () => Promise<{ certificatePem: string }>,
  ): Promise<string> {
    try {
      const { certificatePem } = await enroll();
      enrolments.inc({ operation, outcome: "issued" });
      // RFC 7030 §4.2.3: the certificate that was issued and no other.
      reply.header("content-type", "application/pkcs7-mime; smime-type=certs-only");
      reply.header("content-transfer-encoding", "base64");
      return base64Lines(certsOnlyPkcs7([certificatePem]));
    } catch (error) {
      const refused = isAppError(error) && error.status < 500;
      enrolments.inc({ operation, outcome: refused ? "refused" : "failed" });
      if (refused) failures.record(address);
      throw error;
    }
  }
}

interface Tenant {
  Params: { tenant: string };
}

interface Csr {
  Body: unknown;
}

function tenantOf(params: { tenant: string }): string {
  if (!isTenantId(params.tenant)) throw new AppError("not-found", "there is no such tenant");
  return params.tenant;
}

/** Basic credentials `claim:<token>` (RFC 7617). */
function claimToken(authorization: string | undefined): string {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]{1,1024})$/i.exec(authorization ?? "")?.[1];
  const credentials = encoded ? Buffer.from(encoded, "base64").toString("utf8") : "";
  if (!credentials.startsWith("claim:")) {
    throw new AppError("unauthenticated", "enrolment needs Basic credentials claim:<token>");
  }
  return credentials.slice("claim:".length);
}

function csrOf(body: unknown): string {
  if (typeof body === "string" && body.trim() !== "") return body;
  throw new AppError("csr-invalid", "the body must be a PKCS#10 request in base64");
}

/** RFC 8951 §3.1 allows line breaks; many clients decode with tools that need them. */
function base64Lines(bytes: Buffer): string {
  const text = bytes.toString("base64");
  return `${text.match(new RegExp(`.{1,${BASE64_LINE}}`, "g"))?.join("\r\n") ?? ""}\r\n`;
}
