import type { X509Certificate } from "node:crypto";
import { createHash } from "node:crypto";
import type { Database } from "../../db/index.ts";
import { AppError } from "../../kernel/index.ts";
import type { Sealer } from "../../kernel/sealing.ts";
import { type ClaimPeer, type ClaimPeerDeps, identifyClaim } from "../claim-peers.ts";
import { findClaim } from "../claim-store.ts";
import { parseReference, secretContext } from "../claim-tokens.ts";
import type { ClaimAuthority } from "../enrolment-claims.ts";
import type { EnrolmentAuthority } from "../enrolment-rights.ts";
import type { DevicePeer } from "../peers.ts";
import { CmpFault } from "./failures.ts";
import {
  computeMac,
  isMacRight,
  type MacParameters,
  ownMacParameters,
  readMacParameters,
} from "./mac.ts";
import type { CmpMessage } from "./message.ts";
import type { Responder } from "./responder.ts";
import { isSigned, signerOf } from "./signature.ts";

/** Protects the platform's answers as the client's own messages are protected. */
export interface Protector {
  kind: "mac" | "signature";
  /** AlgorithmIdentifier */
  algorithm: Buffer;
  senderKid: Buffer;
  protect(data: Uint8Array): Promise<Buffer>;
}

/** Who sent a message, as its protection proves. */
export interface Requester {
  tenantId: string;
  /** The same for every message of one exchange. */
  peerHash: Buffer;
  authority: EnrolmentAuthority;
  /** The device, where its own certificate's key signed. */
  peer?: DevicePeer;
  protector: Protector;
}

interface Deps extends ClaimPeerDeps {
  db: Database;
  sealer: Sealer;
  peers: { acceptCertificate(certificate: X509Certificate): Promise<DevicePeer> };
}

/** A MAC that is wrong, for a reference that is known: its tenant is told, within bounds. */
export class WrongMac extends CmpFault {
  readonly claim: ClaimPeer;
  readonly refusal: AppError;

  constructor(claim: ClaimPeer, claimToken: string) {
    super("badMessageCheck", WRONG_SECRET);
    this.claim = claim;
    const details = { reason: "mac", step: "right", claimToken };
    this.refusal = new AppError("invalid-credentials", WRONG_SECRET, details);
  }
}

/** Says the same of a reference that does not exist. */
const WRONG_SECRET = "reference and secret do not fit this message";

/** Checks a message's protection and says who sent it; `CmpFault` or `certificate-refused`. */
export async function identify(
  deps: Deps,
  message: CmpMessage,
  label: string | undefined,
  responder: Responder,
): Promise<Requester> {
  const { protectionAlgorithm, protection } = message;
  // RFC 4210 §5.1.3: nothing that changes anything goes unprotected.
  if (!protectionAlgorithm || !protection) {
    throw new CmpFault("badMessageCheck", "the message is not protected");
  }
  const parameters = readMacParameters(protectionAlgorithm);
  const requester = parameters
    ? await byMac(deps, message, protection, parameters)
    : await bySignature(deps, message, responder);
  if (label !== undefined && label !== requester.tenantId) {
    throw new CmpFault("wrongAuthority", "the path is another tenant's");
  }
  return requester;
}

async function byMac(
  { db, sealer }: Deps,
  message: CmpMessage,
  protection: Buffer,
  parameters: MacParameters,
): Promise<Requester> {
  const senderKid = message.senderKid ?? Buffer.alloc(0);
  const named = parseReference(senderKid.toString("latin1"));
  if (!named) throw new CmpFault("badMessageCheck", WRONG_SECRET);
  const { tenantId, claimId } = named;
  const claim = await db.tenant(tenantId, (tx) => findClaim(tx, tenantId, { id: claimId }));
  if (!claim?.secret_sealed) throw new CmpFault("badMessageCheck", WRONG_SECRET);
  const secret = sealer.open(claim.secret_sealed, secretContext(tenantId, claimId)).toString();
  if (!(await isMacRight(parameters, secret, message.protectedPart, protection))) {
    throw new WrongMac(named, claim.name);
  }
  const authority: ClaimAuthority = { kind: "claim", claimId };
  const own = ownMacParameters(parameters);
  return {
    tenantId,
    peerHash: createHash("sha256").update(`mac ${claimId}`).digest(),
    authority,
    protector: {
      kind: "mac",
      algorithm: own.identifier,
      senderKid,
      protect: (data) => computeMac(own.parameters, secret, data),
    },
  };
}

async function bySignature(
  deps: Deps,
  message: CmpMessage,
  responder: Responder,
): Promise<Requester> {
  const { protectionAlgorithm, protection, extraCertificates } = message;
  const signer = signerOf(extraCertificates);
  const isGood =
    protectionAlgorithm !== undefined &&
    protection !== undefined &&
    (await isSigned(protectionAlgorithm, signer, message.protectedPart, protection));
  if (!isGood) throw new CmpFault("badMessageCheck", "the message's signature is wrong");
  const common = {
    peerHash: createHash("sha256").update(signer.raw).digest(),
    protector: signatureOf(responder),
  };
  const claim = await identifyClaim(deps, signer);
  if (claim) {
    const { tenantId, claimId } = claim;
    return { ...common, tenantId, authority: { kind: "claim", claimId } };
  }
  const peer = await deps.peers.acceptCertificate(signer);
  return { ...common, tenantId: peer.tenantId, authority: { kind: "certificate", peer }, peer };
}

export function signatureOf(responder: Responder): Protector {
  return {
    kind: "signature",
    algorithm: responder.algorithm,
    senderKid: responder.keyIdentifier,
    protect: (data) => responder.sign(data),
  };
}
