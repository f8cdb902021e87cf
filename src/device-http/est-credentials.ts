import type { TLSSocket } from "node:tls";
import type { FastifyRequest } from "fastify";
import { AppError, isAppError } from "../kernel/index.ts";
import type { DeviceHttpDeps, EnrolmentAuthority } from "./deps.ts";
import { authenticate } from "./peer.ts";

/** By what right somebody asks to enrol, and the tenant that the proof itself names. */
export interface Credential {
  authority: EnrolmentAuthority;
  tenantId?: string;
}

/**
 * RFC 7030 §3.2.3 and §3.3.2: a claim token as HTTP Basic credentials; else the TLS client
 * certificate, which is that of a claim or of a device; else the key of the request itself, which
 * the tenant may have listed.
 */
export async function credentialOf(
  identity: DeviceHttpDeps["identity"],
  request: FastifyRequest,
): Promise<Credential> {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    return { authority: { kind: "claim", token: claimToken(authorization) } };
  }
  const claim = await identity.authenticateClaim(request.raw.socket as TLSSocket);
  if (claim) {
    const { tenantId, claimId } = claim;
    return { authority: { kind: "claim", claimId }, tenantId };
  }
  try {
    const peer = await authenticate(identity, request, { renewal: true });
    return { authority: { kind: "certificate", peer }, tenantId: peer.tenantId };
  } catch (error) {
    const none = isAppError(error, "certificate-refused") && error.details.reason === "missing";
    if (!none) throw error;
    return { authority: { kind: "listed-key" } };
  }
}

/** Basic credentials `claim:<token>` (RFC 7617). */
function claimToken(authorization: string): string {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]{1,1024})$/i.exec(authorization)?.[1];
  const credentials = encoded ? Buffer.from(encoded, "base64").toString("utf8") : "";
  if (!credentials.startsWith("claim:")) {
    throw new AppError("unauthenticated", "enrolment needs Basic credentials claim:<token>");
  }
  return credentials.slice("claim:".length);
}
