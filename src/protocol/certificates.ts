import type { Static } from "typebox";
import * as Type from "typebox";
import { LIMITS } from "../kernel/index.ts";

/** Messages by which a device renews its certificate over MQTT, and what it reports of it. */

const Pem = Type.String({ maxLength: 64 * 1024 });

/** `certificate/request`: a PKCS#10 request (PEM or base64), or the wish for a key made there. */
export const CertificateRequestMessage = Type.Object({
  /** The device's own; comes back with the answer. */
  requestId: Type.String({ minLength: 1, maxLength: 64 }),
  csr: Type.Optional(Type.String({ minLength: 1, maxLength: LIMITS.certificateRequestBytes })),
  /** For a device that cannot make a key: the platform makes one and forgets it. */
  generateKey: Type.Optional(Type.Literal(true)),
});

/** What the platform issued; PEM texts, to be written to files as they are. */
export const IssuedCertificate = Type.Object({
  certificate: Pem,
  /** Authorities between the certificate and a root, in order. */
  chain: Pem,
  /** Every root that the device is to trust from now on. */
  roots: Pem,
  /** With `generateKey` only. */
  privateKey: Type.Optional(Pem),
});

/** `certificate/response`: the certificate, or why there is none. */
export const CertificateResponse = Type.Object({
  requestId: Type.String({ minLength: 1, maxLength: 64 }),
  certificate: Type.Optional(Pem),
  chain: Type.Optional(Pem),
  roots: Type.Optional(Pem),
  privateKey: Type.Optional(Pem),
  error: Type.Optional(
    Type.Object({
      /** A code of the catalogue of refusals. */
      code: Type.String({ maxLength: 64 }),
      message: Type.String({ maxLength: 4096 }),
    }),
  ),
});

/** `certificate/confirm`, over a connection that the named certificate has opened. */
export const CertificateConfirm = Type.Object({
  /** Serial number, lower-case hex. */
  serial: Type.String({ pattern: "^[0-9a-f]{1,64}$" }),
});

/**
 * `certificate/authorities`: by whom the platform issues and which roots it has, as SHA-256 over the
 * DER in hex. A device that finds its own to be others renews its certificate.
 */
export const AuthoritiesAnnouncement = Type.Object({
  issuer: Type.String({ pattern: "^[0-9a-f]{64}$" }),
  roots: Type.Array(Type.String({ pattern: "^[0-9a-f]{64}$" }), { minItems: 1, maxItems: 16 }),
});

/** The steps of a rotation in their order; an event `certificate` names the one that it is about. */
export const ROTATION_STEPS = [
  "key",
  "request",
  "store",
  "trial",
  "switch",
  "reconnect",
  "confirm",
  "done",
] as const;

/** What is particular to an event of type `certificate`. */
export const RotationReport = Type.Object({
  step: Type.Union(ROTATION_STEPS.map((step) => Type.Literal(step))),
  /** Of the new certificate, once there is one. */
  serial: Type.Optional(Type.String({ pattern: "^[0-9a-f]{1,64}$" })),
  error: Type.Optional(
    Type.Object({
      element: Type.String({ maxLength: 128 }),
      message: Type.String({ maxLength: 4096 }),
    }),
  ),
});

export type CertificateRequestMessage = Static<typeof CertificateRequestMessage>;
export type IssuedCertificate = Static<typeof IssuedCertificate>;
export type CertificateResponse = Static<typeof CertificateResponse>;
export type CertificateConfirm = Static<typeof CertificateConfirm>;
export type AuthoritiesAnnouncement = Static<typeof AuthoritiesAnnouncement>;
export type RotationStep = (typeof ROTATION_STEPS)[number];
export interface RotationReport {
  step: RotationStep;
  serial?: string;
  error?: { element: string; message: string };
}
