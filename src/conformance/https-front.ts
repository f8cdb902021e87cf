import { X509Certificate } from "node:crypto";
import type http from "node:http";
import https from "node:https";
import type tls from "node:tls";
import type { ArtifactSource } from "../agent/index.ts";
import { context, integer, oid, sequence, set } from "../kernel/der.ts";
import { messageOf } from "../kernel/index.ts";
import type { IssuedCertificate } from "../protocol/index.ts";
import type { StubAuthority } from "../simulator/index.ts";
import { identityOf } from "./peer-identity.ts";

export interface HttpEvent {
  at: number;
  method: string;
  path: string;
  status: number;
  device?: string;
  serial?: string;
  /** First byte that was asked for. */
  from?: number;
}

export interface HttpsFrontOptions {
  tenant: string;
  device: string;
  claimToken: string;
  authority: StubAuthority;
  artifacts: ArtifactSource;
  /** What `/enrolment/<tenant>/trust` answers. */
  trust(): object;
  onEvent(event: Omit<HttpEvent, "at">): void;
}

/** What the line does to the next exchange of its kind. */
export interface LineFaults {
  /** The answer to the next renewal is lost, after the certificate was issued. */
  loseRenewal: boolean;
  /** The next download breaks off in the middle. */
  cutDownload: boolean;
}

const MAX_BODY_BYTES = 64 * 1024;
/** RFC 5652 §5.1; a certs-only message (RFC 5272 §4.1). */
const SIGNED_DATA = "1.2.840.113549.1.7.2";
const DATA = "1.2.840.113549.1.7.1";

/** The devices' HTTPS as the platform speaks it: EST and artifacts. */
export class HttpsFront {
  readonly faults: LineFaults = { loseRenewal: false, cutDownload: false };
  readonly #options: HttpsFrontOptions;
  readonly #server: https.Server;
  #attempts = 0;

  constructor(options: HttpsFrontOptions, credentials: { key: string; certificate: string }) {
    this.#options = options;
    this.#server = https.createServer(
      {
        ...{ key: credentials.key, cert: credentials.certificate, ca: options.authority.rootPem },
        ...{ requestCert: true, rejectUnauthorized: false },
      },
      (request, response) => {
        this.#answer(request, response).catch((error) => {
          if (!response.headersSent) this.#end(request, response, 500, messageOf(error));
          else response.destroy();
        });
      },
    );
    this.#server.on("connection", () => {
      this.#attempts += 1;
    });
  }

  /** Connections that were opened, whatever came of them. */
  get attempts(): number {
    return this.#attempts;
  }

  /** From now on another certificate is shown. */
  show({ key, certificate }: { key: string; certificate: string }): void {
    this.#server.setSecureContext({ key, cert: certificate, ca: this.#options.authority.rootPem });
    this.#server.closeAllConnections();
  }

  listen(port = 0): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(port, "127.0.0.1", () => {
        resolve((this.#server.address() as { port: number }).port);
      });
    });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { tenant } = this.#options;
    const path = new URL(request.url ?? "/", "https://kit.invalid").pathname;
    const est = /^\/\.well-known\/est(?:\/([^/]+))?\/(\w+)$/.exec(path);
    if (est && (est[1] ?? tenant) === tenant) return this.#est(request, response, est[2] as string);
    if (path === `/enrolment/${tenant}/trust`) {
      return this.#end(
        request,
        response,
        200,
        JSON.stringify(this.#options.trust()),
        "application/json",
      );
    }
    const sha256 = /^\/artifacts\/([0-9a-f]{64})$/.exec(path)?.[1];
    if (sha256 && request.method === "GET") return this.#artifact(request, response, path);
    this.#end(request, response, 404, "there is nothing here");
  }

  /** RFC 7030 §4. */
  async #est(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    what: string,
  ): Promise<void> {
    const { authority, device, claimToken } = this.#options;
    if (what === "cacerts") {
      return this.#certificates(
        request,
        response,
        certificatesOf(authority.rootPem + authority.chainPem),
      );
    }
    if (what === "csrattrs") return this.#end(request, response, 204, "");
    if (what !== "simpleenroll" && what !== "simplereenroll") {
      return this.#end(request, response, 404, "this kit does not speak it");
    }
    const csr = Buffer.from(await bodyOf(request), "base64");
    if (what === "simpleenroll") {
      const wanted = `Basic ${Buffer.from(`claim:${claimToken}`).toString("base64")}`;
      if (request.headers.authorization !== wanted) {
        response.setHeader("www-authenticate", "Basic");
        return this.#end(request, response, 401, "the claim token is not the one that was given");
      }
      const issued = authority.enrol(device, csr);
      return this.#certificates(request, response, certificatesOf(issued.certificate));
    }
    const peer = identityOf(request.socket as tls.TLSSocket);
    if (!peer) return this.#end(request, response, 401, "a renewal needs the present certificate");
    const issued: IssuedCertificate = authority.renew(peer.deviceId, peer, csr);
    if (this.faults.loseRenewal) {
      this.faults.loseRenewal = false;
      this.#note(request, 0);
      response.destroy();
      return;
    }
    this.#certificates(request, response, certificatesOf(issued.certificate));
  }

  async #artifact(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ): Promise<void> {
    const peer = identityOf(request.socket as tls.TLSSocket);
    if (!peer) return this.#end(request, response, 401, "artifacts are for devices");
    // RFC 9110 §14.1.2
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const url = `https://kit.invalid${path}`;
    const answer = await this.#options.artifacts.fetch(url, from, AbortSignal.timeout(30_000));
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (answer.status === 404)
      return this.#end(request, response, 404, "there is no such artifact");
    this.#note(request, answer.status, from);
    const total = from + bytes.length;
    response.writeHead(answer.status, {
      ...{ "content-length": bytes.length, "content-type": "application/octet-stream" },
      "accept-ranges": "bytes",
      ...(from > 0 ? { "content-range": `bytes ${from}-${total - 1}/${total}` } : {}),
    });
    if (this.faults.cutDownload) {
      this.faults.cutDownload = false;
      response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
      return;
    }
    response.end(bytes);
  }

  #certificates(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    ders: Buffer[],
  ): void {
    const signed = sequence(
      ...[integer(Buffer.from([1])), set(), sequence(oid(DATA)), context(0, ...ders), set()],
    );
    const body = sequence(oid(SIGNED_DATA), context(0, signed)).toString("base64");
    response.setHeader("content-transfer-encoding", "base64");
    this.#end(request, response, 200, body, "application/pkcs7-mime; smime-type=certs-only");
  }

  #end(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    status: number,
    body: string,
    type = "text/plain",
  ): void {
    this.#note(request, status);
    response.writeHead(status, { "content-type": type });
    response.end(status === 204 ? undefined : body);
  }

  #note(request: http.IncomingMessage, status: number, from?: number): void {
    const peer = identityOf(request.socket as tls.TLSSocket);
    const { pathname: path } = new URL(request.url ?? "/", "https://kit.invalid");
    this.#options.onEvent({
      ...{ method: request.method ?? "", path, status },
      ...(from === undefined ? {} : { from }),
      ...(peer ? { device: peer.deviceId, serial: peer.serial } : {}),
    });
  }
}

function certificatesOf(pem: string): Buffer[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => new X509Certificate(one).raw);
}

async function bodyOf(request: http.IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAX_BODY_BYTES) throw new Error("the request is too large");
  }
  return text;
}
