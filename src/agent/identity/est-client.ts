import { X509Certificate } from "node:crypto";
import { type IssuedCertificate, toPem } from "../../protocol/index.ts";
import { requestText, type TextAnswer, type TextRequest } from "../connection/https-client.ts";
import type { Reenrolment } from "../ports.ts";
import { certificatesOf } from "./certificates-only.ts";

/** The platform has answered a request for a certificate, and not with one. */
export class ReenrolmentRefused extends Error {
  /** Another request with this key would be refused again. */
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean) {
    super(message);
    this.name = "ReenrolmentRefused";
    this.isFinal = isFinal;
  }
}

/** EST over the devices' HTTPS: who else answers than a server under our roots is not believed. */
export function createEstClient(options: { httpsUrl: string; tenant: string }): Reenrolment {
  const est = estUrl(options.httpsUrl, options.tenant);
  return {
    async reenroll(csr, identity, signal) {
      const { root } = identity;
      const answer = await requestText(`${est}/simplereenroll`, {
        ...certificateRequest(csr),
        ...{ root, identity, signal },
      });
      if (answer.status !== 200) throw estRefusal("the renewal", answer);
      // RFC 7030 §4.1.3: what comes from a server that our present roots vouch for replaces them.
      const authorities = await requestAuthorities(est, root, signal);
      return issuedOf(parseCertificates(answer), authorities);
    },
  };
}

export function estUrl(httpsUrl: string, tenant: string): string {
  return `${httpsUrl}/.well-known/est/${tenant}`;
}

/** RFC 7030 §4.2.1 */
export function certificateRequest(csr: Uint8Array): Pick<TextRequest, "method" | "body"> & {
  headers: Record<string, string>;
} {
  return {
    method: "POST",
    headers: { "content-type": "application/pkcs10", "content-transfer-encoding": "base64" },
    body: Buffer.from(csr).toString("base64"),
  };
}

export async function requestAuthorities(
  est: string,
  root: string,
  signal?: AbortSignal,
): Promise<X509Certificate[]> {
  const answer = await requestText(`${est}/cacerts`, {
    method: "GET",
    root,
    ...(signal ? { signal } : {}),
  });
  if (answer.status !== 200) throw estRefusal("the authorities' certificates", answer);
  return parseCertificates(answer);
}

export function parseCertificates(answer: TextAnswer): X509Certificate[] {
  const message = Buffer.from(answer.body, "base64");
  return certificatesOf(message).map((der) => new X509Certificate(der));
}

/** The leaf, those between it and a root, and the roots. */
export function issuedOf(
  issued: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): IssuedCertificate {
  const isRoot = (one: X509Certificate) => one.checkIssued(one);
  const [leaf] = issued.filter((one) => !one.ca);
  if (!leaf) throw new Error("the platform issued no certificate");
  const between = authorities.filter((one) => !isRoot(one) && leaf.checkIssued(one));
  return {
    certificate: pemOf([leaf]),
    chain: pemOf(between),
    roots: pemOf(authorities.filter(isRoot)),
  };
}

/** EST answers in plain text, the rest of the platform in problem details. */
export function estRefusal(what: string, answer: TextAnswer): ReenrolmentRefused {
  const said = answer.body.trim().slice(0, 500);
  // RFC 7030 §4.2.3: 400 is about the request itself.
  return new ReenrolmentRefused(
    `${what} was refused with ${answer.status}: ${said}`,
    answer.status === 400,
  );
}

function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map(({ raw }) => toPem("CERTIFICATE", raw)).join("");
}
