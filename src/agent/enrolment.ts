import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from "node:crypto";
import {
  createCertificateRequest,
  type Envelope,
  type RootMetadata,
  toPem,
} from "../protocol/index.ts";
import { certificatesOf } from "./certificates-only.ts";
import { requestText } from "./https-client.ts";
import type { Provisioning } from "./provisioning.ts";

export interface EnrolmentOptions {
  /** `https://host:port` of the devices' HTTPS. */
  httpsUrl: string;
  /** PEM of the platform's root: who else answers is not believed. */
  root: string;
  tenant: string;
  device: string;
  product: string;
  hardwareRevision: string;
  claimToken: string;
  /** PEM of a key that is there already, e.g. from an attempt that was cut off. */
  key?: string;
}

/**
 * Enrols a device with a claim token over EST (RFC 7030 §4.2): the key is made here and stays here.
 * Rejects with what the platform answered.
 */
export async function enrolByClaim(options: EnrolmentOptions): Promise<Provisioning> {
  const { httpsUrl, root, tenant, device, product, hardwareRevision, claimToken } = options;
  const privateKey = options.key
    ? createPrivateKey(options.key)
    : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const trust = await fetchTrust(httpsUrl, root, tenant);
  const est = `${httpsUrl}/.well-known/est/${tenant}`;
  const issued = await requestCertificates(`${est}/simpleenroll`, root, {
    method: "POST",
    headers: {
      authorization: `Basic ${Buffer.from(`claim:${claimToken}`).toString("base64")}`,
      // RFC 7030 §4.2.1
      "content-type": "application/pkcs10",
      "content-transfer-encoding": "base64",
    },
    body: createCertificateRequest({
      privateKey,
      commonName: `${tenant}/${device}`,
      organization: tenant,
    }).toString("base64"),
  });
  const authorities = await requestCertificates(`${est}/cacerts`, root, { method: "GET" });
  return {
    tenant,
    device,
    product,
    hardwareRevision,
    mqttUrl: trust.mqttUrl,
    httpsUrl: trust.httpsUrl,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    certificate: chainOf(privateKey, issued, authorities),
    root,
    trustRoot: trust.trustRoot,
  };
}

async function fetchTrust(
  httpsUrl: string,
  root: string,
  tenant: string,
): Promise<{ trustRoot: Envelope<RootMetadata>; mqttUrl: string; httpsUrl: string }> {
  const answer = await requestText(`${httpsUrl}/enrolment/${tenant}/trust`, {
    method: "GET",
    root,
  });
  if (answer.status !== 200) throw refusal("the tenant's trust root", answer);
  const trust = JSON.parse(answer.body);
  if (!trust.trustRoot) throw new Error(`the tenant ${tenant} has no trust root yet`);
  return trust;
}

async function requestCertificates(
  url: string,
  root: string,
  request: { method: string; headers?: Record<string, string>; body?: string },
): Promise<X509Certificate[]> {
  const answer = await requestText(url, { root, ...request });
  if (answer.status !== 200) throw refusal("the enrolment", answer);
  const message = Buffer.from(answer.body, "base64");
  return certificatesOf(message).map((der) => new X509Certificate(der));
}

/** The device's certificate and those between it and the root, in PEM. */
function chainOf(
  privateKey: KeyObject,
  issued: X509Certificate[],
  authorities: X509Certificate[],
): string {
  const leaf = issued.find((certificate) => certificate.checkPrivateKey(privateKey));
  if (!leaf) throw new Error("the platform issued no certificate for our key");
  const between = authorities.filter((authority) => leaf.checkIssued(authority));
  return [leaf, ...between].map((certificate) => toPem("CERTIFICATE", certificate.raw)).join("");
}

function refusal(what: string, answer: { status: number; body: string }): Error {
  let detail = "";
  try {
    const problem = JSON.parse(answer.body) as { title?: string; detail?: string; code?: string };
    detail = `: ${problem.detail ?? problem.title ?? ""} (${problem.code ?? "no code"})`;
  } catch {
    // Not problem details; the status has to say it.
  }
  return new Error(`${what} was refused with ${answer.status}${detail}`);
}
