import { AppError, isAppError, messageOf } from "../kernel/index.ts";
import {
  CertificateConfirm,
  CertificateRequestMessage,
  type CertificateResponse,
  checkMessage,
  type DeviceEvent,
  type DeviceIdentity,
  RotationReport,
} from "../protocol/index.ts";
import type { GatewayDeps } from "./deps.ts";
import type { InboundMessage } from "./message-router.ts";

type Rotation = GatewayDeps["identity"]["rotation"];

/**
 * Issues the next certificate and sends it in return. Refusals are answers too: the request was
 * taken, and the device is told why. What cannot be decided now is thrown, and not acknowledged.
 */
export async function renewCertificate(
  rotation: Rotation,
  { peer, reply }: InboundMessage,
  body: unknown,
): Promise<void> {
  checkMessage(CertificateRequestMessage, body);
  const { requestId, csr, generateKey } = body as CertificateRequestMessage;
  let answer: CertificateResponse;
  try {
    if ((csr !== undefined) === (generateKey === true)) {
      throw new AppError("message-invalid", "either csr or generateKey is needed");
    }
    const wanted = csr !== undefined ? { csr } : { generateKey: true as const };
    answer = { requestId, ...(await rotation.renew(peer, wanted)) };
  } catch (error) {
    if (!isAppError(error) || error.status >= 500) throw error;
    answer = { requestId, error: { code: error.code, message: messageOf(error) } };
  }
  reply("certificate/response", answer);
}

export async function confirmCertificate(
  rotation: Rotation,
  { peer }: InboundMessage,
  body: unknown,
): Promise<void> {
  checkMessage(CertificateConfirm, body);
  await rotation.confirm(peer, (body as CertificateConfirm).serial);
}

/** What a device says of its rotation is kept beside what the platform knows of it. */
export async function recordRotation(
  rotation: Rotation,
  peer: DeviceIdentity,
  events: readonly DeviceEvent[],
): Promise<void> {
  // Only the last of a message: it says where the rotation stands.
  const last = events.findLast((event) => event.type === "certificate" && isReport(event));
  if (last) await rotation.record(peer, last as unknown as RotationReport);
}

function isReport(event: DeviceEvent): boolean {
  try {
    checkMessage(RotationReport, event);
    return true;
  } catch (error) {
    if (isAppError(error, "message-invalid")) return false;
    throw error;
  }
}
