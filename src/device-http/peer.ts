import type { TLSSocket } from "node:tls";
import { trace } from "@opentelemetry/api";
import type { FastifyRequest } from "fastify";
import type { DeviceHttpDeps, DevicePeer } from "./deps.ts";

/**
 * The device at the other end. Every route but enrolment calls this: the handshake lets in those
 * without a certificate, and those with a bad one, because enrolment shares the port. With `renewal`
 * a certificate that has lately expired is enough, which is for renewing it and nothing else.
 */
export async function authenticate(
  identity: DeviceHttpDeps["identity"],
  request: FastifyRequest,
  options: { renewal?: boolean } = {},
): Promise<DevicePeer> {
  const peer = await identity.authenticatePeer(request.raw.socket as TLSSocket, options);
  // From here on the request belongs to the tenant's own traces.
  const { tenantId, deviceId } = peer;
  trace.getActiveSpan()?.setAttributes({ "vautn.tenant": tenantId, "vautn.device": deviceId });
  return peer;
}
