import { randomBytes } from "node:crypto";
import { DerError, sequence } from "../../kernel/der.ts";
import { AppError, LIMITS } from "../../kernel/index.ts";
import type { Logger } from "../../kernel/logger.ts";
import { counter } from "../../kernel/metrics.ts";
import type { Sealer } from "../../kernel/sealing.ts";
import type { Actor } from "../../tenancy/index.ts";
import type { Authorities } from "../authorities.ts";
import { standingOf } from "../certificate-store.ts";
import type { ClaimPeerDeps } from "../claim-peers.ts";
import { noteRefusedCertificate, type RefusedRequest } from "../enrolment-refusals.ts";
import type { Peers } from "../peers.ts";
import type { RevocationReasonName } from "../revocation-reasons.ts";
import {
  certify,
  confirm,
  type Exchange,
  type ExchangeDeps,
  poll,
  type Reply,
} from "./exchange.ts";
import { CmpFault, type Failure, failureOf, isInternal } from "./failures.ts";
import { answerGeneral } from "./general.ts";
import { BODY, type CmpMessage, readMessage } from "./message.ts";
import { identify, type Protector, type Requester, signatureOf, WrongMac } from "./requester.ts";
import { readRevocation } from "./requests.ts";
import type { Responder, Responders } from "./responder.ts";
import {
  directoryName,
  writeBody,
  writeError,
  writeHeader,
  writeMessage,
  writeRevocationAnswer,
  writeStatus,
} from "./writing.ts";

const messages = counter("vautn_cmp_messages_total", "Messages of CMP that were answered", [
  "outcome",
]);

export interface CmpAnswer {
  /** DER of a PKIMessage. */
  message: Buffer;
  outcome: Reply["outcome"];
}

/** The Certificate Management Protocol (RFC 4210, 9480, 9483), without its transport. */
export interface Cmp {
  /** Answers every message, whatever it is; `tenantId` is that of the path, where it has one. */
  handle(
    message: Buffer,
    from: { tenantId?: string | undefined; address?: string | undefined },
  ): Promise<CmpAnswer>;
}

interface Deps extends Omit<ExchangeDeps, "discard">, ClaimPeerDeps {
  sealer: Sealer;
  logger: Logger;
  peers: Pick<Peers, "acceptCertificate">;
  authorities: Pick<Authorities, "trusted" | "roots" | "generation">;
  responders: Pick<Responders, "get">;
  revoke(
    tenantId: string,
    serial: string,
    reason: RevocationReasonName,
    actor: Actor,
  ): Promise<void>;
}

/** How far a message's time may be from ours (RFC 9483 §3.5). */
const TIME_TOLERANCE_MS = 24 * 3_600_000;
const MAX_TRANSACTION_ID_BYTES = 64;
const VERSIONS = [2, 3];

/** CRLReason (RFC 5280 §5.3.1) as revocations are recorded; what only an authority says is not there. */
const REASONS: Record<number, RevocationReasonName> = {
  0: "unspecified",
  1: "keyCompromise",
  3: "affiliationChanged",
  4: "superseded",
  5: "cessationOfOperation",
  9: "privilegeWithdrawn",
};

export function createCmp(deps: Deps): Cmp {
  const { responders } = deps;
  const exchangeDeps: ExchangeDeps = {
    ...deps,
    discard: ({ tenantId }, deviceId, serial) => {
      const actor = { kind: "device" as const, id: deviceId, name: deviceId };
      return deps.revoke(tenantId, serial, "cessationOfOperation", actor);
    },
  };

  return {
    async handle(raw, { tenantId, address }) {
      const responder = await responders.get();
      const seen: Seen = { protector: signatureOf(responder) };
      let reply: Reply;
      try {
        seen.message = readMessage(raw);
        const transactionId = checkHeader(seen.message);
        if (tenantId !== undefined && isPublicQuestion(seen.message)) {
          reply = await inform(deps, seen.message, tenantId);
        } else {
          const requester = await identify(deps, seen.message, tenantId, responder);
          seen.protector = requester.protector;
          seen.requester = requester;
          checkTime(seen.message, deps.clock.now());
          const exchange = { message: seen.message, raw, transactionId, requester, address };
          reply = await dispatch(deps, exchangeDeps, exchange);
        }
      } catch (error) {
        reply = await refuse(deps, error, { address, seen });
      }
      messages.inc({ outcome: reply.outcome });
      const message = await answer(deps, responder, seen, reply);
      return { message, outcome: reply.outcome };
    },
  };
}

/** What is known of the message that is being answered. */
interface Seen {
  message?: CmpMessage;
  /** Who it is from, once that is proved. */
  requester?: Requester;
  protector: Protector;
}

/** Returns the transaction's id. */
function checkHeader(message: CmpMessage): Buffer {
  if (!VERSIONS.includes(message.version)) {
    throw new CmpFault("unsupportedVersion", "versions 2 and 3 are spoken here");
  }
  const { transactionId, senderNonce } = message;
  if (
    !transactionId ||
    transactionId.length < 1 ||
    transactionId.length > MAX_TRANSACTION_ID_BYTES
  ) {
    throw new CmpFault("badDataFormat", "the transaction's id is missing or too long");
  }
  if (!senderNonce || senderNonce.length < 16 || senderNonce.length > 64) {
    throw new CmpFault("badSenderNonce", "a nonce of 16 bytes is needed");
  }
  return transactionId;
}

/** Judged once the sender is known, so that the tenant learns of a device whose clock is wrong. */
function checkTime({ messageTime }: CmpMessage, nowMs: number): void {
  // A device that has no clock at all says a time long past, and is not held to it.
  const sentMs = messageTime?.getTime() ?? nowMs;
  if (Number.isNaN(sentMs)) throw new CmpFault("badDataFormat", "the time is none");
  const hasClock = sentMs >= LIMITS.oldestTimestampMs;
  if (hasClock && Math.abs(sentMs - nowMs) > TIME_TOLERANCE_MS) {
    const here = new Date(nowMs).toISOString();
    throw new CmpFault("badTime", `the message's time is more than a day off: here it is ${here}`);
  }
}

function dispatch(deps: Deps, inner: ExchangeDeps, exchange: Exchange): Promise<Reply> {
  switch (exchange.message.bodyType) {
    case BODY.ir:
    case BODY.cr:
    case BODY.kur:
    case BODY.p10cr:
      return certify(inner, exchange);
    case BODY.pollReq:
      return poll(inner, exchange);
    case BODY.certConf:
      return confirm(inner, exchange);
    case BODY.rr:
      return revokeOwn(deps, exchange);
    case BODY.genm:
      return inform(deps, exchange.message, exchange.requester.tenantId);
    default:
      throw new CmpFault("badRequest", "this kind of message is not answered here");
  }
}

/**
 * What a `genm` asks for is no secret, and a device that has nothing yet can protect nothing: where the
 * path names the tenant it is answered without protection, as `cacerts` of EST is (RFC 9483 §4.3).
 */
function isPublicQuestion({ bodyType, protection }: CmpMessage): boolean {
  return bodyType === BODY.genm && protection === undefined;
}

/** `genm`: which authorities there are, which root comes next, what a request should look like. */
async function inform(deps: Deps, message: CmpMessage, tenantId: string): Promise<Reply> {
  const authorityCertificates = await deps.authorityCertificates(tenantId);
  const roots = await deps.authorities.roots();
  const content = answerGeneral(message.body, { tenantId, authorityCertificates, roots });
  return { body: writeBody(BODY.genp, content), outcome: "informed" };
}

/** `rr`: a device revokes a certificate of its own, and of nobody else. */
async function revokeOwn(deps: Deps, { message, requester, address }: Exchange): Promise<Reply> {
  const { serial, reason } = readRevocation(message.body);
  const why = REASONS[reason];
  const refusal = why
    ? await assertOwn(deps, requester, serial)
    : { failure: "badRequest" as const, text: "this reason is not a device's to give" };
  if (refusal) {
    await noteFault(deps, requester, refusal.failure, refusal.text, { address, message });
    const status = writeStatus("rejection", refusal);
    return { body: writeBody(BODY.rp, writeRevocationAnswer(status)), outcome: "refused" };
  }
  const { tenantId, deviceId } = requester.peer as NonNullable<Requester["peer"]>;
  const actor = { kind: "device" as const, id: deviceId, name: deviceId };
  await deps.revoke(tenantId, serial, why as RevocationReasonName, actor);
  const status = writeStatus("accepted");
  return { body: writeBody(BODY.rp, writeRevocationAnswer(status)), outcome: "revoked" };
}

async function assertOwn(deps: Deps, { peer }: Requester, serial: string) {
  if (!peer) {
    return { failure: "notAuthorized" as const, text: "a certificate is revoked by its own key" };
  }
  const { tenantId, deviceId } = peer;
  const found = await deps.db.tenant(tenantId, (tx) => standingOf(tx, tenantId, serial));
  if (found?.deviceId !== deviceId) {
    return { failure: "badCertId" as const, text: "the device has no such certificate" };
  }
  if (found.status !== "revoked") return undefined;
  return { failure: "certRevoked" as const, text: "the certificate was revoked before" };
}

async function refuse(
  deps: Deps,
  error: unknown,
  { address, seen }: { address: string | undefined; seen: Seen },
): Promise<Reply> {
  const { message, requester } = seen;
  if (error instanceof WrongMac) {
    const { tenantId, claimId } = error.claim;
    const request = { tenantId, via: "cmp", address };
    await deps.noteRefusal({ ...request, authority: { kind: "claim", claimId } }, error.refusal);
  } else if (requester && (error instanceof CmpFault || error instanceof DerError)) {
    const { failure, text } = failureOf(error);
    await noteFault(deps, requester, failure, text, { address, message });
  } else if (!requester) {
    await noteRefusedCertificate(deps.noteRefusal, error, { via: "cmp", address });
  }
  const failed = isInternal(error);
  if (failed) deps.logger.error({ err: error }, "a CMP message could not be answered");
  const body = writeBody(BODY.error, writeError(failureOf(error)));
  return { body, outcome: failed ? "failed" : "refused" };
}

/** What the protocol itself refuses of somebody who is known. */
async function noteFault(
  deps: Deps,
  { tenantId, authority }: Requester,
  reason: Failure,
  text: string,
  { address, message }: { address: string | undefined; message: CmpMessage | undefined },
): Promise<void> {
  const isRevocation = message?.bodyType === BODY.rr;
  const what: Pick<RefusedRequest, "via" | "action"> = isRevocation
    ? { via: "cmp-rr", action: "certificate.revoke" }
    : { via: "cmp" };
  const details = { reason, step: isRevocation ? "right" : "request" };
  const error = new AppError("invalid-request", text, details);
  await deps.noteRefusal({ tenantId, authority, address, ...what }, error);
}

async function answer(
  { clock }: Deps,
  responder: Responder,
  { message, protector }: Seen,
  reply: Reply,
): Promise<Buffer> {
  const header = writeHeader({
    version: message && VERSIONS.includes(message.version) ? message.version : 2,
    sender: directoryName(responder.name),
    // RFC 4210 §5.1.1: the NULL-DN where nobody is known.
    recipient: message?.sender ?? directoryName(Buffer.from([0x30, 0])),
    time: new Date(clock.now()),
    protectionAlgorithm: protector.algorithm,
    senderKid: protector.senderKid,
    transactionId: message?.transactionId ?? randomBytes(16),
    senderNonce: reply.nonce ?? randomBytes(16),
    recipientNonce: message?.senderNonce,
    confirmation: reply.confirmation,
  });
  const protection = await protector.protect(sequence(header, reply.body));
  const own = protector.kind === "signature" ? responder.chain : [];
  return writeMessage(header, reply.body, protection, [...own, ...(reply.certificates ?? [])]);
}
