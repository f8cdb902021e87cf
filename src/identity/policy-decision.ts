import type { DeviceAttributes } from "./enrolment-store.ts";

export interface WebhookDecision {
  decision: "accept" | "refuse" | "pending";
  /** Told to the device and to the audit log. */
  reason?: string;
  /** What the device is, where the webhook knows better than the claim. */
  device: Partial<DeviceAttributes>;
}

const DECISIONS = ["accept", "refuse", "pending"] as const;
const MAX_REASON = 256;
const MAX_TEXT = 64;
const MAX_TAGS = 50;

/** Reads a webhook's answer; throws where it is not exactly one that was agreed. */
export function readDecision(text: string): WebhookDecision {
  const answer: unknown = JSON.parse(text);
  if (!isObject(answer)) throw new Error("the answer is no object");
  const decision = DECISIONS.find((one) => one === answer.decision);
  if (!decision) throw new Error("the answer has no decision");
  const { reason, device } = answer;
  return {
    decision,
    ...(typeof reason === "string" ? { reason: plain(reason).slice(0, MAX_REASON) } : {}),
    device: device === undefined ? {} : attributesOf(device),
  };
}

function attributesOf(device: unknown): Partial<DeviceAttributes> {
  if (!isObject(device)) throw new Error("the answer's device is no object");
  const attributes: Partial<DeviceAttributes> = {};
  for (const name of ["product", "hardwareRevision", "region"] as const) {
    const value = device[name];
    if (value === undefined) continue;
    attributes[name] = textOf(value, name);
  }
  if (device.tags !== undefined) {
    if (!isObject(device.tags)) throw new Error("the answer's tags are no object");
    const tags = Object.entries(device.tags);
    if (tags.length > MAX_TAGS) throw new Error("the answer has too many tags");
    attributes.tags = Object.fromEntries(
      tags.map(([key, value]) => [textOf(key, "tags"), textOf(value, "tags")]),
    );
  }
  return attributes;
}

function textOf(value: unknown, name: string): string {
  const isText = typeof value === "string" && value.length > 0 && value.length <= MAX_TEXT;
  if (!isText || plain(value) !== value) throw new Error(`the answer's ${name} is not valid`);
  return value;
}

/** Without control characters, which would forge lines of logs, and as the database can store it. */
function plain(text: string): string {
  return text.toWellFormed().replace(/\p{Cc}/gu, " ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
