import { X509Certificate } from "node:crypto";
import type tls from "node:tls";
import { type DeviceIdentity, parseDeviceUri } from "../protocol/index.ts";

/** Trust domain of the certificates that the kit issues. */
export const TRUST_DOMAIN = "devices.invalid";

export interface PeerIdentity extends DeviceIdentity {
  serial: string;
  /** PEM. */
  certificate: string;
}

/** Whose certificate the other end has shown and proved; undefined where there is none of ours. */
export function identityOf(socket: tls.TLSSocket): PeerIdentity | undefined {
  const raw = socket.authorized ? socket.getPeerCertificate()?.raw : undefined;
  if (!raw) return undefined;
  const certificate = new X509Certificate(raw);
  const uri = /URI:([^,\s]+)/.exec(certificate.subjectAltName ?? "")?.[1];
  const identity = uri === undefined ? undefined : parseDeviceUri(uri, TRUST_DOMAIN);
  if (!identity) return undefined;
  return {
    ...identity,
    serial: certificate.serialNumber.toLowerCase(),
    certificate: certificate.toString(),
  };
}
