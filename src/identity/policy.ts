import { randomBytes } from "node:crypto";
import { Webhook } from "standardwebhooks";
import { parseWebhookUrl, type Resolve, sendWebhook } from "../kernel/guarded-request.ts";
import { AppError, type Clock, messageOf, timeOrderedId } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import { counter } from "../kernel/metrics.ts";
import type { PrivateAddresses } from "../kernel/public-address.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { DeviceAttributes } from "./enrolment-store.ts";
import { readDecision } from "./policy-decision.ts";

/** What has to happen before a proved claim makes a device. */
export type Approval = "automatic" | "preauthorised" | "pending";

export interface EnrolmentPolicy {
  /** `automatic` where absent. */
  approval?: Approval | undefined;
  /** Is asked about each new device, before anything is registered. */
  webhook?: { url: string; onFailure?: "refuse" | "pending" | undefined } | undefined;
}

/** A policy as claims and registered authorities keep it. */
export interface PolicyRow {
  approval: Approval;
  webhook_url: string | null;
  webhook_secret_sealed: Buffer | null;
  webhook_on_failure: "refuse" | "pending" | null;
}

export interface PolicyDeps {
  clock: Clock;
  sealer: Sealer;
  logger: Logger;
  /** Lets webhooks reach private addresses; false where absent. */
  allowPrivateAddresses?: PrivateAddresses | undefined;
  resolve?: Resolve | undefined;
}

/** What a webhook is told about the device that wants to enrol. */
export interface EnrolmentFacts extends DeviceAttributes {
  tenantId: string;
  deviceId: string;
  publicKeySha256: string;
  serialNumber?: string | undefined;
  /** Name of the claim or of the registered authority. */
  authority: string;
  via: string;
  address?: string | undefined;
}

export type Consultation =
  | { kind: "accept"; attributes: DeviceAttributes }
  | { kind: "ask"; cause: string; attributes: DeviceAttributes };

const SECRET_BYTES = 32;
/** A device waits for the answer, and its TLS connection with it. */
const WEBHOOK_TIMEOUT_MS = 5_000;
const MAX_WEBHOOKS_AT_ONCE = 50;

const calls = counter("vautn_enrolment_webhooks_total", "Webhooks asked about enrolments", [
  "outcome",
]);
let underWay = 0;

/** The columns of a policy, and the webhook's secret, which is shown this once. */
export function policyColumns(
  deps: PolicyDeps,
  tenantId: string,
  ownerId: string,
  policy: EnrolmentPolicy,
): { columns: PolicyRow; webhookSecret?: string } {
  const { approval = "automatic", webhook } = policy;
  const none = { webhook_url: null, webhook_secret_sealed: null, webhook_on_failure: null };
  if (!webhook) return { columns: { approval, ...none } };
  const url = parseWebhookUrl(webhook.url, deps.allowPrivateAddresses ?? false);
  const secret = randomBytes(SECRET_BYTES).toString("base64");
  return {
    columns: {
      approval,
      webhook_url: url.href,
      webhook_secret_sealed: deps.sealer.seal(secret, secretContext(tenantId, ownerId)),
      webhook_on_failure: webhook.onFailure ?? "refuse",
    },
    webhookSecret: `whsec_${secret}`,
  };
}

/**
 * Whether a device may enrol by a claim or an authority with this policy: asks the webhook, where
 * there is one, and says whether a person must be asked. Throws `enrolment-refused`.
 */
export async function consult(
  deps: PolicyDeps,
  owner: PolicyRow & { id: string },
  facts: EnrolmentFacts,
): Promise<Consultation> {
  const { product, hardwareRevision, region, tags } = facts;
  const own = { product, hardwareRevision, region, tags };
  const answer: Consultation = owner.webhook_url
    ? await askWebhook(deps, owner, facts, own)
    : { kind: "accept", attributes: own };
  if (owner.approval !== "pending" || answer.kind === "ask") return answer;
  return { kind: "ask", cause: "policy", attributes: answer.attributes };
}

async function askWebhook(
  deps: PolicyDeps,
  owner: PolicyRow & { id: string },
  facts: EnrolmentFacts,
  own: DeviceAttributes,
): Promise<Consultation> {
  try {
    const decision = readDecision(await callWebhook(deps, owner, facts));
    calls.inc({ outcome: decision.decision });
    const attributes = { ...own, ...decision.device };
    if (decision.decision === "accept") return { kind: "accept", attributes };
    if (decision.decision === "pending") return { kind: "ask", cause: "webhook", attributes };
    throw policyRefusal("webhook-refused", decision.reason ?? "the tenant's webhook refuses");
  } catch (error) {
    if (error instanceof AppError && error.code === "enrolment-refused") throw error;
    calls.inc({ outcome: "failed" });
    const { tenantId, deviceId } = facts;
    const problem = messageOf(error);
    deps.logger.warn({ tenantId, deviceId, problem }, "an enrolment webhook did not answer");
    if (owner.webhook_on_failure === "pending") {
      return { kind: "ask", cause: "webhook-failed", attributes: own };
    }
    throw policyRefusal("webhook-failed", "the tenant's webhook gave no usable answer");
  }
}

async function callWebhook(
  deps: PolicyDeps,
  owner: PolicyRow & { id: string },
  facts: EnrolmentFacts,
): Promise<string> {
  if (underWay >= MAX_WEBHOOKS_AT_ONCE) throw new Error("too many webhooks are being asked");
  underWay += 1;
  try {
    const { clock, sealer } = deps;
    const allowPrivateAddresses = deps.allowPrivateAddresses ?? false;
    const url = parseWebhookUrl(owner.webhook_url as string, allowPrivateAddresses);
    const context = secretContext(facts.tenantId, owner.id);
    const secret = sealer.open(owner.webhook_secret_sealed as Buffer, context).toString();
    const at = new Date(clock.now());
    const id = timeOrderedId(at.getTime());
    const body = JSON.stringify({
      type: "enrolment.requested",
      timestamp: at.toISOString(),
      data: facts,
    });
    const headers = {
      "content-type": "application/json; charset=utf-8",
      "user-agent": "vautn",
      "webhook-id": id,
      "webhook-timestamp": String(Math.floor(at.getTime() / 1000)),
      "webhook-signature": new Webhook(secret).sign(id, at, body),
    };
    const { resolve } = deps;
    const options = { clock, allowPrivateAddresses, resolve, timeoutMs: WEBHOOK_TIMEOUT_MS };
    const answer = await sendWebhook(url, body, headers, options);
    if (answer.status !== 200) throw new Error(`the receiver answered ${answer.status}`);
    return answer.body;
  } finally {
    underWay -= 1;
  }
}

/** Binds a sealed secret to its claim or authority. */
function secretContext(tenantId: string, ownerId: string): string {
  return `enrolment-webhook:${tenantId}:${ownerId}`;
}

export function policyRefusal(reason: string, message: string): AppError {
  return new AppError("enrolment-refused", message, { reason });
}
