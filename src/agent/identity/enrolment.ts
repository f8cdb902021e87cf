import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import {
  createCertificateRequest,
  type Envelope,
  type RootMetadata,
} from "../../protocol/index.ts";
import { requestText } from "../connection/https-client.ts";
import {
  certificateRequest,
  estRefusal,
  estUrl,
  issuedOf,
  parseCertificates,
  requestAuthorities,
} from "./est-client.ts";
import { certificatesIn } from "./generation.ts";
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
  /** Waits while a person has to accept the device; without it that is an error. */
  waitForPerson?: (seconds: number) => Promise<void>;
}

/** Where the platform does not say when to ask again, or says something odd. */
const MIN_WAIT_SECONDS = 1;
const MAX_WAIT_SECONDS = 3_600;
const DEFAULT_WAIT_SECONDS = 60;

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
  const est = estUrl(httpsUrl, tenant);
  const request = certificateRequest(
    createCertificateRequest({
      privateKey,
      commonName: `${tenant}/${device}`,
      organization: tenant,
    }),
  );
  const authorization = `Basic ${Buffer.from(`claim:${claimToken}`).toString("base64")}`;
  const ask = () =>
    requestText(`${est}/simpleenroll`, {
      ...request,
      headers: { ...request.headers, authorization },
      root,
    });
  let answer = await ask();
  // RFC 7030 §4.2.3: accepted for processing; the same request is sent again later.
  while (answer.status === 202 && options.waitForPerson) {
    const seconds = answer.retryAfterSeconds ?? DEFAULT_WAIT_SECONDS;
    await options.waitForPerson(Math.min(MAX_WAIT_SECONDS, Math.max(MIN_WAIT_SECONDS, seconds)));
    answer = await ask();
  }
  if (answer.status !== 200) throw estRefusal("the enrolment", answer);
  const authorities = await requestAuthorities(est, root);
  const issued = issuedOf(parseCertificates(answer), authorities);
  const [leaf] = certificatesIn(issued.certificate);
  if (!leaf?.checkPrivateKey(privateKey)) {
    throw new Error("the platform issued no certificate for our key");
  }
  return {
    tenant,
    device,
    product,
    hardwareRevision,
    mqttUrl: trust.mqttUrl,
    httpsUrl: trust.httpsUrl,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    certificate: issued.certificate + issued.chain,
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
  if (answer.status !== 200) throw estRefusal("the tenant's trust root", answer);
  const trust = JSON.parse(answer.body);
  if (!trust.trustRoot) throw new Error(`the tenant ${tenant} has no trust root yet`);
  return trust;
}
