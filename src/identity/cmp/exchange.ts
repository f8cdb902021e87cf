import { createHash, X509Certificate } from "node:crypto";
import type { Database } from "../../db/index.ts";
import { type AppError, type Clock, isAppError } from "../../kernel/index.ts";
import { pemToDers } from "../certificate-builder.ts";
import { asRefusal, readCertificateRequest } from "../certificate-request.ts";
import type { Enrolment } from "../enrolment.ts";
import type { NoteRefusal } from "../enrolment-refusals.ts";
import type { EnrolmentRequest } from "../enrolment-rights.ts";
import { atStep } from "../enrolment-steps.ts";
import { CmpFault, failureOf } from "./failures.ts";
import { BODY, type CmpMessage, readMessage } from "./message.ts";
import type { Requester } from "./requester.ts";
import {
  type CertificateMessage,
  readCertificateMessage,
  readConfirmation,
  readPoll,
} from "./requests.ts";
import * as store from "./transactions-store.ts";
import {
  PKI_CONFIRM,
  writeBody,
  writeCertificateAnswer,
  writePollAnswer,
  writeStatus,
} from "./writing.ts";

/** What is answered, and with what in the header. */
export interface Reply {
  body: Buffer;
  outcome: "issued" | "informed" | "confirmed" | "revoked" | "pending" | "refused" | "failed";
  confirmation?: "implicit" | Date;
  /** The next message has to repeat it. */
  nonce?: Buffer;
  /** DER of certificates that help to verify. */
  certificates?: Buffer[];
}

export interface ExchangeDeps {
  db: Database;
  clock: Clock;
  enroll(request: EnrolmentRequest): Promise<Enrolment>;
  authorityCertificates(tenantId: string): Promise<string[]>;
  noteRefusal: NoteRefusal;
  /** When a client that waits for a person should ask again. */
  askAgainSeconds: number;
  /** The client has rejected the certificate that it was given. */
  discard(requester: Requester, deviceId: string, serial: string): Promise<void>;
}

/** A message whose sender is known. */
export interface Exchange {
  message: CmpMessage;
  /** Its bytes: kept where a person has to accept. */
  raw: Buffer;
  transactionId: Buffer;
  requester: Requester;
  address: string | undefined;
}

const NAMES: Record<number, string> = {
  [BODY.ir]: "ir",
  [BODY.cr]: "cr",
  [BODY.kur]: "kur",
  [BODY.p10cr]: "p10cr",
};
const ANSWERS: Record<string, number> = {
  ir: BODY.ip,
  cr: BODY.cp,
  p10cr: BODY.cp,
  kur: BODY.kup,
};
const MAX_TRANSACTIONS = 10_000;
const CONFIRM_WITHIN_MS = 3_600_000;
const KEEP_MS = 24 * 3_600_000;
const KEEP_WAITING_MS = 30 * 24 * 3_600_000;

/** `ir`, `cr`, `kur` or `p10cr`: a request for a certificate. */
export async function certify(deps: ExchangeDeps, exchange: Exchange): Promise<Reply> {
  const { tenantId } = exchange.requester;
  const now = new Date(deps.clock.now());
  await deps.db.tenant(tenantId, async (tx) => {
    const count = await store.pruneTransactions(tx, tenantId, now, MAX_TRANSACTIONS);
    if (count >= MAX_TRANSACTIONS) throw new CmpFault("systemUnavail", "too many exchanges go on");
    if (await store.findTransaction(tx, tenantId, exchange.transactionId, now)) {
      throw new CmpFault("transactionIdInUse", "the transaction's id is in use");
    }
  });
  return issueFor(deps, exchange, NAMES[exchange.message.bodyType] as string);
}

async function issueFor(deps: ExchangeDeps, exchange: Exchange, name: string): Promise<Reply> {
  const { requester, address } = exchange;
  const { tenantId, authority } = requester;
  const answer = ANSWERS[name] as number;
  const asked = { tenantId, authority, via: `cmp-${name}`, address };
  const { certReqId, request } = await readRequest(deps, exchange, name, asked);
  try {
    const enrolment = await deps.enroll({ ...asked, csr: request });
    return await issued(deps, exchange, { name, certReqId, enrolment });
  } catch (error) {
    if (!isAppError(error) || error.status >= 500) throw error;
    if (error.code === "enrolment-pending") {
      await keep(deps, exchange, { name, status: "waiting", deviceId: deviceIn(error) });
      const status = writeStatus("waiting");
      const body = writeBody(answer, writeCertificateAnswer({ certReqId, status }));
      return { body, outcome: "pending" };
    }
    await keep(deps, exchange, { name, status: "rejected", deviceId: deviceIn(error) });
    const status = writeStatus("rejection", failureOf(error));
    const body = writeBody(answer, writeCertificateAnswer({ certReqId, status }));
    return { body, outcome: "refused" };
  }
}

function deviceIn(error: AppError): string {
  return String(error.details.deviceId ?? "");
}

async function readRequest(
  deps: ExchangeDeps,
  { message, requester }: Exchange,
  name: string,
  asked: Omit<EnrolmentRequest, "csr">,
): Promise<CertificateMessage> {
  try {
    return await atStep("request", async () => {
      if (name === "p10cr") {
        // RFC 4210 §5.3.4: there is no certReqId in PKCS#10, so that the answer says -1.
        return { certReqId: -1, request: await readCertificateRequest(message.body.raw) };
      }
      const read = await asRefusal(() => readCertificateMessage(message.body));
      if (read.certReqId !== 0) throw new CmpFault("badRequest", "certReqId must be 0");
      if (name === "kur") assertUpdates(requester, read);
      return read;
    });
  } catch (error) {
    // A fault of the protocol is written down where all of them are.
    if (!(error instanceof CmpFault)) await deps.noteRefusal(asked, error);
    throw error;
  }
}

/** RFC 4210 §5.3.5: a key is updated by who holds the certificate that it replaces. */
function assertUpdates({ peer }: Requester, { oldSerial }: CertificateMessage): void {
  if (!peer) throw new CmpFault("notAuthorized", "a key is updated with the current certificate");
  if (oldSerial !== undefined && oldSerial !== peer.serial) {
    throw new CmpFault("badCertId", "the certificate to be updated is not the one that signed");
  }
}

async function issued(
  deps: ExchangeDeps,
  exchange: Exchange,
  { name, certReqId, enrolment }: { name: string; certReqId: number; enrolment: Enrolment },
): Promise<Reply> {
  const { message, requester, transactionId } = exchange;
  const [certificate] = pemToDers(enrolment.certificatePem);
  if (!certificate) throw new Error("an enrolment without a certificate");
  const isImplicit = message.implicitConfirm;
  await keep(deps, exchange, {
    name,
    status: isImplicit ? "confirmed" : "issued",
    deviceId: enrolment.deviceId,
    certificate: { der: certificate, serial: enrolment.serial },
  });
  const { roots, others } = sorted(await deps.authorityCertificates(requester.tenantId));
  const content = writeCertificateAnswer({
    certReqId,
    status: writeStatus("accepted"),
    certificate,
    // RFC 4210 §5.3.4: what is protected by a shared secret may bring the root along.
    ...(requester.protector.kind === "mac" ? { authorities: roots } : {}),
  });
  return {
    body: writeBody(ANSWERS[name] as number, content),
    outcome: "issued",
    confirmation: isImplicit ? "implicit" : new Date(deps.clock.now() + CONFIRM_WITHIN_MS),
    nonce: nonceOf(transactionId, enrolment.serial),
    certificates: others,
  };
}

function sorted(pems: readonly string[]): { roots: Buffer[]; others: Buffer[] } {
  const all = pems.flatMap(pemToDers).map((der) => new X509Certificate(der));
  const isRoot = (one: X509Certificate) => one.checkIssued(one);
  return {
    roots: all.filter(isRoot).map(({ raw }) => raw),
    others: all.filter((one) => !isRoot(one)).map(({ raw }) => raw),
  };
}

/** The nonce that comes back with the confirmation: nobody can tell it before the answer. */
function nonceOf(transactionId: Buffer, serial: string): Buffer {
  return createHash("sha256").update(transactionId).update(serial).digest().subarray(0, 16);
}

async function keep(
  { db, clock }: ExchangeDeps,
  { transactionId, requester, raw }: Exchange,
  state: {
    name: string;
    status: store.TransactionRow["status"];
    deviceId: string;
    certificate?: { der: Buffer; serial: string };
  },
): Promise<void> {
  const { status, certificate } = state;
  const now = clock.now();
  const row: store.TransactionRow = {
    id: transactionId,
    status,
    request: state.name,
    peer_hash: requester.peerHash,
    message: status === "waiting" ? raw : null,
    device_id: state.deviceId,
    certificate_serial: certificate?.serial ?? null,
    certificate_sha256: certificate ? digestOf("sha256", certificate.der).toString("hex") : null,
    certificate_der: certificate?.der ?? null,
    created_at: new Date(now),
    expires_at: new Date(now + (status === "waiting" ? KEEP_WAITING_MS : KEEP_MS)),
  };
  const { tenantId } = requester;
  await db.tenant(tenantId, (tx) => store.putTransaction(tx, tenantId, row));
}

/** `pollReq`: whether a person has decided by now. */
export async function poll(deps: ExchangeDeps, exchange: Exchange): Promise<Reply> {
  const row = await transactionOf(deps, exchange, "waiting");
  const waiting = readMessage(row.message ?? Buffer.alloc(0));
  const certReqId = readPoll(exchange.message.body);
  const raw = row.message ?? exchange.raw;
  const reply = await issueFor(deps, { ...exchange, message: waiting, raw }, row.request);
  if (reply.outcome !== "pending") return reply;
  const content = writePollAnswer(certReqId, deps.askAgainSeconds);
  return { body: writeBody(BODY.pollRep, content), outcome: "pending" };
}

/** `certConf`: the client takes the certificate, or does not. */
export async function confirm(deps: ExchangeDeps, exchange: Exchange): Promise<Reply> {
  const { message, requester, transactionId } = exchange;
  const row = await transactionOf(deps, exchange, "issued");
  const serial = row.certificate_serial ?? "";
  if (!message.recipientNonce?.equals(nonceOf(transactionId, serial))) {
    throw new CmpFault("badRecipientNonce", "the nonce is not the one of the certificate's answer");
  }
  const confirmation = readConfirmation(message.body);
  const der = row.certificate_der ?? Buffer.alloc(0);
  if (confirmation && !isHashOf(confirmation.certHash, der)) {
    throw new CmpFault("badCertId", "the hash is not the one of the certificate");
  }
  const accepted = confirmation?.accepted === true;
  const { tenantId } = requester;
  const settled = await deps.db.tenant(tenantId, (tx) =>
    store.settleTransaction(tx, tenantId, transactionId, accepted ? "confirmed" : "rejected"),
  );
  if (settled && !accepted) await deps.discard(requester, row.device_id, serial);
  return { body: writeBody(BODY.pkiconf, PKI_CONFIRM), outcome: "confirmed" };
}

async function transactionOf(
  { db, clock }: ExchangeDeps,
  { requester, transactionId }: Exchange,
  status: "issued" | "waiting",
): Promise<store.TransactionRow> {
  const { tenantId, peerHash } = requester;
  const now = new Date(clock.now());
  const row = await db.tenant(tenantId, (tx) =>
    store.findTransaction(tx, tenantId, transactionId, now),
  );
  if (!row?.peer_hash.equals(peerHash)) {
    throw new CmpFault("badRequest", "there is no such transaction");
  }
  if (row.status === "confirmed" && status === "issued") {
    throw new CmpFault("certConfirmed", "the certificate was confirmed before");
  }
  if (row.status !== status) throw new CmpFault("badRequest", "the transaction has ended");
  return row;
}

/** RFC 4210 §5.3.18: by the digest of the certificate's signature; its length says which. */
function isHashOf(hash: Buffer, der: Buffer): boolean {
  const algorithm = { 32: "sha256", 48: "sha384", 64: "sha512" }[hash.length];
  return algorithm !== undefined && digestOf(algorithm, der).equals(hash);
}

function digestOf(algorithm: string, data: Uint8Array): Buffer {
  return createHash(algorithm).update(data).digest();
}
