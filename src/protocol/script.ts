import { isEnvelope, type RootMetadata } from "./metadata.ts";
import { type Envelope, meetsThreshold } from "./signing.ts";
import { isTextLike } from "./text.ts";

/** A program text that devices of a product may be told to run; signed offline as releases are. */
export interface Script {
  _type: "script";
  specVersion: 1;
  tenant: string;
  product: string;
  /** Only these devices; every device of the product where it is absent. */
  devices?: string[];
  name: string;
  /** For the device's shell. */
  content: string;
  createdAt: string;
  /** Not begun later than this. */
  expires: string;
  timeoutSeconds: number;
}

export interface ScriptFacts {
  tenant: string;
  product: string;
  device: string;
  trustedTimeMs: number;
}

/** In the order in which they are made. */
export const SCRIPT_CHECKS = [
  "format",
  "signature",
  "tenant",
  "product",
  "device",
  "expiry",
] as const;
export type ScriptCheck = (typeof SCRIPT_CHECKS)[number];

export type ScriptVerdict =
  | { accepted: true; script: Script }
  | { accepted: false; check: ScriptCheck; message: string };

export const SCRIPT_LIMITS = { characters: 16_384, devices: 1_000, seconds: 3_600 } as const;

/** Whether a device may run a script: whoever may send commands does not yet write programs. */
export function verifyScript(
  envelope: unknown,
  root: RootMetadata,
  facts: ScriptFacts,
): ScriptVerdict {
  if (!isScriptEnvelope(envelope)) return refuse("format", "it is malformed");
  const script = envelope.signed;
  if (!meetsThreshold(envelope, root.roles.targets, root.keys)) {
    const { threshold } = root.roles.targets;
    return refuse("signature", `it lacks ${threshold} signature(s) of release keys`);
  }
  if (script.tenant !== facts.tenant || root.tenant !== facts.tenant) {
    return refuse("tenant", `it is for tenant ${script.tenant}`);
  }
  if (script.product !== facts.product) {
    return refuse("product", `it is for product ${script.product}`);
  }
  if (script.devices && !script.devices.includes(facts.device)) {
    return refuse("device", "it is for other devices");
  }
  // A date that cannot be read is NaN, and no comparison with it holds: refused.
  if (!(Date.parse(script.expires) > facts.trustedTimeMs)) {
    return refuse("expiry", `it expired at ${script.expires}`);
  }
  return { accepted: true, script };
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function isScriptEnvelope(value: unknown): value is Envelope<Script> {
  if (!isEnvelope(value)) return false;
  const { _type, specVersion, tenant, product, devices, name, content, expires, timeoutSeconds } =
    value.signed as unknown as Script;
  return (
    _type === "script" &&
    specVersion === 1 &&
    typeof tenant === "string" &&
    typeof product === "string" &&
    (devices === undefined || isListOfNames(devices)) &&
    isTextLike(name, NAME) &&
    typeof content === "string" &&
    content.length <= SCRIPT_LIMITS.characters &&
    typeof expires === "string" &&
    Number.isSafeInteger(timeoutSeconds) &&
    timeoutSeconds >= 1 &&
    timeoutSeconds <= SCRIPT_LIMITS.seconds
  );
}

function isListOfNames(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= SCRIPT_LIMITS.devices &&
    value.every((one) => typeof one === "string")
  );
}

function refuse(check: ScriptCheck, message: string): ScriptVerdict {
  return { accepted: false, check, message };
}
