import { createPrivateKey, X509Certificate } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import https from "node:https";
import { rootCertificates } from "node:tls";
import type { Authorization, Client } from "acme-client";
import { messageOf } from "../../kernel/index.ts";
import { newPrivateKey } from "../authority-key.ts";
import { pemToDers } from "../certificate-builder.ts";

/** Where an order stands; what failed says at which of these. */
export type AcmeStep = "account" | "order" | "challenge" | "finalize" | "certificate";

/** An order that came to nothing, with the authority's own words where it gave any. */
export class AcmeFault extends Error {
  readonly step: AcmeStep;
  constructor(step: AcmeStep, cause: unknown) {
    super(messageOf(cause).slice(0, MAX_MESSAGE_LENGTH), { cause });
    this.step = step;
  }
}

export interface AcmeOrder {
  directoryUrl: string;
  names: readonly string[];
  accountKeyPem: string;
  accountUrl: string | null;
  email?: string | undefined;
  externalAccount?: { kid: string; hmacKey: string } | undefined;
  caFile?: string | undefined;
  /** Publishes the answer to a challenge, and takes it back. */
  publish(token: string, keyAuthorization: string): Promise<void>;
  withdraw(token: string): Promise<void>;
  /** The account as the authority names it, to be remembered before anything else happens. */
  remember(accountUrl: string): Promise<void>;
  /** Between two looks at an order that is under way, at first; it doubles. */
  pollMs: number;
}

export interface AcmeResult {
  certificatePem: string;
  keyPem: string;
  notBefore: Date;
  notAfter: Date;
}

const MAX_MESSAGE_LENGTH = 1_000;
const REQUEST_TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Looks at an order or challenge, with pauses that double up to half a minute: three minutes. */
const MAX_POLLS = 10;
const MAX_POLL_MS = 30_000;

/** One certificate from an ACME authority (RFC 8555 §7.1), proved by HTTP-01; `AcmeFault`. */
export async function orderCertificate(order: AcmeOrder): Promise<AcmeResult> {
  const agent = new WatchingAgent(order.caFile);
  const client = await clientFor(order, agent);
  const at = async <T>(step: AcmeStep, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw new AcmeFault(step, error instanceof TypeError ? trippedOver(agent, error) : error);
    }
  };
  await at("account", async () => {
    await client.createAccount({
      termsOfServiceAgreed: true,
      ...(order.email ? { contact: [`mailto:${order.email}`] } : {}),
    });
    await order.remember(client.getAccountUrl());
  });
  const identifiers = order.names.map((value) => ({ type: "dns", value }));
  const [pending, authorizations] = await at("order", async () => {
    const made = await client.createOrder({ identifiers });
    return [made, await client.getAuthorizations(made)] as const;
  });
  for (const authorization of authorizations) {
    await at("challenge", () => prove(client, authorization, order));
  }
  const key = newPrivateKey();
  const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
  const finalized = await at("finalize", async () => {
    const { crypto } = await import("acme-client");
    const [, csr] = await crypto.createCsr({ altNames: [...order.names] }, keyPem);
    return client.finalizeOrder(pending, csr);
  });
  return at("certificate", async () => {
    const certificatePem = await client.getCertificate(finalized);
    return { keyPem, ...checked(certificatePem, keyPem, order.names) };
  });
}

/** The client library trips over answers that never came, or were cut off: what it says helps nobody. */
function trippedOver({ trouble }: WatchingAgent, cause: TypeError): Error {
  if (trouble) return trouble;
  const message = "the authority's answer cannot be used: it is too large, or none of the protocol";
  return new Error(message, { cause });
}

/** Remembers what was wrong with a connection. */
class WatchingAgent extends https.Agent {
  trouble: Error | undefined;

  constructor(caFile: string | undefined) {
    const ca = caFile ? [...rootCertificates, fs.readFileSync(caFile, "utf8")] : undefined;
    super({ ...(ca ? { ca } : {}), minVersion: "TLSv1.2" });
  }

  override createConnection(...given: Parameters<https.Agent["createConnection"]>) {
    const socket = super.createConnection(...given);
    socket?.once("error", (error) => {
      this.trouble = error;
    });
    return socket;
  }
}

/** RFC 8555 §6.1: the protocol is spoken over TLS, wherever the directory points. */
class NoPlainAgent extends http.Agent {
  override createConnection(): never {
    throw new Error("the authority names an address without TLS");
  }
}

async function clientFor(order: AcmeOrder, agent: https.Agent): Promise<Client> {
  const acme = await import("acme-client");
  const { defaults } = acme.axios;
  defaults.httpsAgent = agent;
  defaults.httpAgent = new NoPlainAgent();
  // §6.4 knows no redirects, and where one leads nobody has agreed to.
  defaults.maxRedirects = 0;
  defaults.timeout = REQUEST_TIMEOUT_MS;
  defaults.maxContentLength = MAX_ANSWER_BYTES;
  // It would wait as long as a Retry-After says, a day perhaps: when to try again is ours to decide.
  const settings = (defaults as { acmeSettings?: { retryMaxAttempts: number } }).acmeSettings;
  if (settings) settings.retryMaxAttempts = 0;
  return new acme.Client({
    directoryUrl: order.directoryUrl,
    accountKey: order.accountKeyPem,
    ...(order.accountUrl ? { accountUrl: order.accountUrl } : {}),
    ...(order.externalAccount ? { externalAccountBinding: order.externalAccount } : {}),
    backoffAttempts: MAX_POLLS,
    backoffMin: order.pollMs,
    backoffMax: MAX_POLL_MS,
  });
}

/** RFC 8555 §8.3: the authority asks for the token at port 80 of the name. */
async function prove(client: Client, authorization: Authorization, order: AcmeOrder) {
  // §7.1.4: what was proved a while ago may count still.
  if (authorization.status === "valid") return;
  const challenge = authorization.challenges.find(({ type }) => type === "http-01");
  const name = authorization.identifier.value;
  if (!challenge) throw new Error(`the authority offers no http-01 challenge for ${name}`);
  const { token } = challenge as { token?: string };
  // §8.3: a token is base64url; anything else would be somebody's path.
  if (!token || !/^[A-Za-z0-9_-]{16,200}$/.test(token)) throw new Error("the token is none");
  await order.publish(token, await client.getChallengeKeyAuthorization(challenge));
  try {
    await client.completeChallenge(challenge);
    await client.waitForValidStatus(challenge);
  } catch (cause) {
    throw new Error(`${name}: ${messageOf(cause)}`, { cause });
  } finally {
    await order.withdraw(token);
  }
}

/** Takes nothing that the listeners could not use. */
function checked(certificatePem: string, keyPem: string, names: readonly string[]) {
  const [leaf] = pemToDers(certificatePem);
  if (!leaf) throw new Error("the answer holds no certificate");
  const certificate = new X509Certificate(leaf);
  const missing = names.filter((name) => !certificate.checkHost(name));
  if (missing.length > 0) throw new Error(`the certificate is not for ${missing.join(", ")}`);
  const { validFromDate: notBefore, validToDate: notAfter } = certificate;
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) {
    throw new Error("the certificate is for another key");
  }
  return { certificatePem, notBefore, notAfter };
}
