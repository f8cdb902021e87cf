import type { TLSSocket } from "node:tls";
import type { FastifyReply, FastifyRequest } from "fastify";
import { readCertificateRequest } from "../identity/index.ts";
import { AppError, isAppError, LIMITS } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { asAppError } from "../kernel/problem.ts";
import { isTenantId } from "../protocol/index.ts";
import type { DeviceHttpDeps } from "./deps.ts";
import {
  sendAuthorities,
  sendBase64,
  sendCertificate,
  sendKeyAndCertificate,
} from "./est-answers.ts";
import { csrAttributes } from "./est-attributes.ts";
import { type Credential, credentialOf } from "./est-credentials.ts";
import type { FailureLimit } from "./failure-limit.ts";
import { authenticate } from "./peer.ts";
import type { DeviceServer } from "./server.ts";

const enrolments = counter("vautn_enrolments_total", "Requests for certificates over EST", [
  "operation",
  "outcome",
]);

export const EST_PREFIX = "/.well-known/est/";

interface Est {
  /** The label of the path (RFC 7030 §3.2.2), which names the tenant; it may be left out. */
  Params: { tenant?: string };
  Body: unknown;
}

type Operation = "simpleenroll" | "simplereenroll" | "serverkeygen";

/**
 * Enrolment over Secure Transport (RFC 7030, clarified by RFC 8951) below
 * `/.well-known/est/<tenant>/`, or without the tenant where the proof or the request names it. Who
 * has no certificate yet proves by a claim that they may have one; who has one renews it.
 */
export function estRoutes(
  server: DeviceServer,
  deps: DeviceHttpDeps,
  failures: FailureLimit,
): void {
  for (const prefix of [`${EST_PREFIX}:tenant`, EST_PREFIX.slice(0, -1)]) {
    server.register(async (est) => routes(est as unknown as DeviceServer, deps, failures), {
      prefix,
    });
  }
}

function routes(est: DeviceServer, { identity }: DeviceHttpDeps, failures: FailureLimit): void {
  est.removeAllContentTypeParsers();
  // RFC 7030 §4.2.1. The body is small and is read whole.
  est.addContentTypeParser(
    "application/pkcs10",
    { parseAs: "string", bodyLimit: LIMITS.certificateRequestBytes },
    (_request, body, done) => done(null, body),
  );

  est.addHook("onError", async (request, _reply, error) => {
    if (asAppError(error).code === "payload-too-large") await noteUnread(request, error);
  });

  est.get<Est>("/cacerts", async (request, reply) => {
    const tenantId = labelOf(request.params);
    const chain =
      tenantId === undefined
        ? [await identity.rootCertificatePem()]
        : await identity.authorityCertificates(tenantId);
    return sendAuthorities(reply, chain);
  });

  est.get<Est>("/csrattrs", async (request, reply) =>
    sendBase64(reply, "application/csrattrs", csrAttributes(labelOf(request.params))),
  );

  est.post<Est>("/simpleenroll", (request, reply) =>
    answer("simpleenroll", request, reply, () => credentialOf(identity, request)),
  );

  est.post<Est>("/serverkeygen", (request, reply) =>
    answer("serverkeygen", request, reply, () => credentialOf(identity, request)),
  );

  est.post<Est>("/simplereenroll", (request, reply) =>
    answer("simplereenroll", request, reply, async () => {
      const peer = await authenticate(identity, request, { renewal: true });
      return { authority: { kind: "certificate", peer }, tenantId: peer.tenantId };
    }),
  );

  /** A body over the limit is not read, so that `enroll` never sees it; its tenant is told all the same. */
  async function noteUnread(request: FastifyRequest, error: unknown): Promise<void> {
    const { tenant: label } = request.params as Est["Params"];
    failures.check(request.ip);
    failures.record(request.ip);
    const { authority, tenantId = label } = await credentialOf(identity, request);
    if (tenantId === undefined || (label ?? tenantId) !== tenantId) return;
    const details = { reason: "too-large", step: "request" };
    const refusal = new AppError("payload-too-large", asAppError(error).message, details);
    await identity.refusals.note({ tenantId, via: "est", authority, address: request.ip }, refusal);
  }

  async function answer(
    operation: Operation,
    request: FastifyRequest<Est>,
    reply: FastifyReply,
    credential: () => Promise<Credential>,
  ): Promise<FastifyReply> {
    failures.check(request.ip);
    try {
      const label = labelOf(request.params);
      const csr = csrOf(request.body);
      const { authority, tenantId: proved } = await credential();
      const tenantId = label ?? proved ?? (await readCertificateRequest(csr)).name.tenantId;
      if (tenantId === undefined) {
        throw new AppError("csr-invalid", "neither the path nor the request names the tenant", {
          reason: "name",
        });
      }
      if (proved !== undefined && proved !== tenantId) {
        throw new AppError("not-found", "there is no such tenant");
      }
      const result = await identity.enroll({
        tenantId,
        csr,
        via: viaOf(operation),
        authority,
        ...(operation === "serverkeygen" ? { serverKey: true, clientKey: keyOf(request) } : {}),
        address: request.ip,
      });
      enrolments.inc({ operation, outcome: "issued" });
      const { privateKey, certificatePem } = result;
      return privateKey
        ? sendKeyAndCertificate(reply, privateKey, certificatePem)
        : sendCertificate(reply, certificatePem);
    } catch (error) {
      await identity.refusals.noteCertificate(error, {
        via: viaOf(operation),
        address: request.ip,
      });
      enrolments.inc({ operation, outcome: noteOutcome(error, request.ip, failures) });
      throw error;
    }
  }
}

function noteOutcome(error: unknown, address: string, failures: FailureLimit): string {
  if (isAppError(error, "enrolment-pending")) return "pending";
  const refused = isAppError(error) && error.status < 500;
  if (refused) failures.record(address);
  return refused ? "refused" : "failed";
}

/** DER of the key of the client's certificate; TLS has seen that the client holds it. */
function keyOf({ raw }: FastifyRequest<Est>): Buffer | undefined {
  const certificate = (raw.socket as TLSSocket).getPeerX509Certificate();
  return certificate?.publicKey.export({ type: "spki", format: "der" });
}

function viaOf(operation: Operation): string {
  return operation === "serverkeygen" ? "est-serverkeygen" : "est";
}

function labelOf({ tenant }: { tenant?: string }): string | undefined {
  if (tenant === undefined || isTenantId(tenant)) return tenant;
  throw new AppError("not-found", "there is no such tenant");
}

function csrOf(body: unknown): string {
  if (typeof body === "string" && body.trim() !== "") return body;
  throw new AppError("csr-invalid", "the body must be a PKCS#10 request in base64");
}
