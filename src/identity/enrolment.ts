import { createHash, createPublicKey } from "node:crypto";
import type { Database } from "../db/index.ts";
import { counter } from "../kernel/metrics.ts";
import type { DeviceIdentity } from "../protocol/index.ts";
import type { Tenancy } from "../tenancy/index.ts";
import type { Authorities } from "./authorities.ts";
import { newPrivateKey } from "./authority-key.ts";
import { type CertificateRequest, readCertificateRequest } from "./certificate-request.ts";
import * as certificates from "./certificate-store.ts";
import type { Responders } from "./cmp/responder.ts";
import { type Admission, admit } from "./enrolment-admission.ts";
import { issueCertificate } from "./enrolment-issue.ts";
import type { NoteRefusal } from "./enrolment-refusals.ts";
import {
  actorOf,
  assertKeyIsFree,
  assertTenantActive,
  checkName,
  type EnrolmentRequest,
  permit,
} from "./enrolment-rights.ts";
import { atStep } from "./enrolment-steps.ts";
import { type DeviceAttributes, markEnrolled } from "./enrolment-store.ts";
import { recipientOf, sealedPrivateKey } from "./key-envelope.ts";
import { SUPERSEDED_GRACE_MS } from "./peer-check.ts";
import { ASK_AGAIN_SECONDS, askPerson, pendingRefusal } from "./pending.ts";
import { removePending } from "./pending-store.ts";
import type { PolicyDeps } from "./policy.ts";
import { excessCertificates, MAX_ACTIVE } from "./renewal-decision.ts";
import { createRenewals, type Renewed } from "./renewals.ts";

export interface Enrolment {
  deviceId: string;
  serial: string;
  /** The device's certificate alone. */
  certificatePem: string;
  /** The device's certificate and the tenant's authority: what a TLS client presents. */
  chainPem: string;
  rootPem: string;
  /** The key, where the platform made it; it is kept nowhere. */
  privateKey?: MadeKey;
}

export interface MadeKey {
  /** PKCS#8; or CMS EnvelopedData around it, where the request names a key to encrypt for. */
  der: Buffer;
  isEncrypted: boolean;
}

interface Deps extends PolicyDeps {
  db: Database;
  tenancy: Tenancy;
  authorities: Authorities;
  trustDomain: string;
  noteRefusal: NoteRefusal;
  /** Signs keys that the platform has made. */
  responders: Pick<Responders, "get">;
  /** How long a device is told to wait for a person; a minute where absent. */
  askAgainSeconds?: number | undefined;
}

const HOUR_MS = 3_600_000;

const issued = counter("vautn_certificates_issued_total", "Certificates issued to devices", [
  "authority",
]);

/** Issues certificates: one transaction for the right, the device, the certificate and the audit. */
export function createEnrolment(deps: Deps): (request: EnrolmentRequest) => Promise<Enrolment> {
  const { trustDomain, noteRefusal } = deps;
  const inner = { ...deps, renew: createRenewals(deps) };

  return async function enroll(request) {
    const { authority } = request;
    let csr: CertificateRequest | undefined;
    try {
      csr = await atStep("request", () => requestIn(request));
      const read = csr;
      const identity = await atStep("name", () => checkName(request, read, trustDomain));
      const admission = await admit(deps, request, identity, read);
      if (admission.kind === "ask") throw await wait(request, admission);
      const enrolment = await settle(inner, request, { identity, csr: read, ...admission });
      issued.inc({ authority: authority.kind });
      return enrolment;
    } catch (error) {
      const asked = { deviceId: csr?.name.deviceId, publicKeySha256: csr?.publicKeySha256 };
      await noteRefusal(request, error, asked);
      throw error;
    }
  };

  async function wait(
    { tenantId, authority }: EnrolmentRequest,
    { request, claim }: Extract<Admission, { kind: "ask" }>,
  ) {
    await deps.db.tenant(tenantId, (tx) =>
      atStep("policy", () => askPerson(tx, deps, tenantId, request, actorOf(authority, claim))),
    );
    return pendingRefusal(request.deviceId, deps.askAgainSeconds ?? ASK_AGAIN_SECONDS);
  }
}

async function requestIn(asked: EnrolmentRequest): Promise<CertificateRequest> {
  const { csr } = asked;
  const isRead = typeof csr !== "string" && !(csr instanceof Uint8Array);
  const request = isRead ? csr : await readCertificateRequest(csr);
  // RFC 7030 §4.4.1: a client that asks for more than the channel's protection gets it or nothing.
  recipientFor(asked, request);
  return request;
}

/** DER of the key that a made key is encrypted for; undefined where TLS is protection enough. */
function recipientFor(
  { serverKey, clientKey }: EnrolmentRequest,
  { decryptKey, publicKey }: CertificateRequest,
): Buffer | undefined {
  if (!serverKey || !decryptKey) return undefined;
  return recipientOf(decryptKey, clientKey ? [publicKey, clientKey] : [publicKey]);
}

type Inner = Deps & { renew: ReturnType<typeof createRenewals> };

interface Settlement {
  identity: DeviceIdentity;
  csr: CertificateRequest;
  attributes: DeviceAttributes | undefined;
}

/** Spends the right and issues, all of it or nothing. */
async function settle(
  deps: Inner,
  request: EnrolmentRequest,
  settlement: Settlement,
): Promise<Enrolment> {
  const { tenantId, authority, via, serverKey = false } = request;
  const { identity, csr } = settlement;
  const { deviceId } = identity;
  const made = serverKey ? await newKeyPair(deps, csr, recipientFor(request, csr)) : undefined;
  const { publicKey, publicKeySha256 } = made ?? csr;
  const subject = { publicKey, publicKeySha256 };
  const { serial, pem, issuer } =
    authority.kind === "certificate"
      ? await deps.renew(tenantId, { deviceId, authority, ...subject, via, serverKey })
      : await admitNew(deps, request, settlement, subject);
  const roots = await deps.authorities.roots();
  return {
    deviceId,
    serial,
    certificatePem: pem,
    chainPem: pem + issuer.certificatePem,
    rootPem: roots.map((root) => root.certificatePem).join(""),
    ...(made ? { privateKey: made.privateKey } : {}),
  };
}

/** The first certificate of a device, or another one for it by the right of somebody else. */
async function admitNew(
  { db, clock, tenancy, authorities }: Inner,
  request: EnrolmentRequest,
  { identity, csr, attributes }: Settlement,
  subject: { publicKey: Buffer; publicKeySha256: string },
): Promise<Renewed> {
  const { tenantId, authority } = request;
  const { deviceId } = identity;
  const settings = await tenancy.settings(tenantId);
  const issuer = await authorities.issuing(tenantId);
  return db.tenant(tenantId, async (tx) => {
    const nowMs = clock.now();
    const now = new Date(nowMs);
    await atStep("tenant", () => assertTenantActive(tx, tenantId));
    const { maxDevices } = settings;
    const { actor, earlier } = await atStep("right", () =>
      permit(tx, request, { identity, csr, attributes, maxDevices, now }),
    );
    await atStep("key", () => assertKeyIsFree(tx, identity, subject.publicKeySha256));
    // A claim that is repeated leaves the latest certificate alone.
    const keep = authority.kind === "claim" ? 0 : MAX_ACTIVE - 1;
    const excess = excessCertificates(earlier, { keep, except: undefined, nowMs });
    const ends = new Date(nowMs - SUPERSEDED_GRACE_MS);
    await certificates.supersede(tx, tenantId, excess, ends);
    const lifetimeMs = settings.certificateLifetimeHours * HOUR_MS;
    const { row, pem } = await issueCertificate(issuer, identity, subject, { lifetimeMs, nowMs });
    await markEnrolled(tx, tenantId, deviceId, now);
    // Only a device that renews may ask for the same certificate again.
    const kept = { ...row, issued_via: request.via, certificate_der: null };
    await certificates.insertCertificate(tx, tenantId, kept);
    await removePending(tx, tenantId, deviceId);
    await tenancy.audit.record(tx, tenantId, {
      actor,
      action: "device.enroll",
      targetKind: "device",
      targetId: deviceId,
      outcome: "done",
      details: {
        serial: row.serial,
        via: request.via,
        authority: authority.kind,
        ...(request.serverKey ? { serverKey: true } : {}),
      },
    });
    return { serial: row.serial, pem, issuer };
  });
}

/** For a device that cannot make a key: it goes to the device and is kept nowhere. */
async function newKeyPair(
  { responders }: Pick<Deps, "responders">,
  { keyAlgorithm }: CertificateRequest,
  recipient: Buffer | undefined,
) {
  const key = newPrivateKey(keyAlgorithm);
  const der = key.export({ type: "pkcs8", format: "der" });
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" });
  return {
    publicKey,
    publicKeySha256: createHash("sha256").update(publicKey).digest("hex"),
    privateKey: recipient
      ? { der: await sealedPrivateKey(der, recipient, await responders.get()), isEncrypted: true }
      : { der, isEncrypted: false },
  };
}
