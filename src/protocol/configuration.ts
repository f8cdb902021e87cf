import { isEnvelope, type RootMetadata } from "./metadata.ts";
import { type Envelope, meetsThreshold } from "./signing.ts";
import { isTextLike } from "./text.ts";

/** A program text that a device runs because its configuration says so. */
export interface ConfigurationScript {
  name: string;
  /** For the device's shell; never longer than the command that brings it may be. */
  content: string;
  /** `boot`: at every start; `once`: when the configuration is taken over. */
  run: "boot" | "once";
}

/** A write of a firmware variable that the firmware itself verifies (UEFI 2.10 §8.2.2). */
export interface FirmwareVariableWrite {
  name: string;
  namespace: string;
  attributes: number;
  /** Base64 of the signed write, the content of an `.auth` file. */
  payload: string;
}

/** What a product's devices are set to and run besides their image; signed offline as releases are. */
export interface Configuration {
  _type: "configuration";
  specVersion: 1;
  tenant: string;
  product: string;
  /** Rises by at least one with each; a device never goes back below its floor. */
  version: number;
  createdAt: string;
  /** Not taken over later than this; one that was taken over goes on. */
  expires: string;
  settings: Record<string, unknown>;
  scripts: ConfigurationScript[];
  /** Carried out once all scripts have passed: floors that rise, revocations. */
  firmwareVariables: FirmwareVariableWrite[];
}

export interface ConfigurationFacts {
  tenant: string;
  product: string;
  /** Of the authenticated storage; versions below it are replays. */
  floor: number;
  /** Of the configuration in force, when a newer one is to be taken over; null at a start. */
  versionInForce: number | null;
  trustedTimeMs: number;
}

/** In the order in which they are made. */
export const CONFIGURATION_CHECKS = [
  "format",
  "signature",
  "tenant",
  "product",
  "floor",
  "version",
  "expiry",
] as const;
export type ConfigurationCheck = (typeof CONFIGURATION_CHECKS)[number];

export type ConfigurationVerdict =
  | { accepted: true; configuration: Configuration }
  | { accepted: false; check: ConfigurationCheck; message: string };

/** Whether a device may use a configuration: made before every use, not only when it arrives. */
export function verifyConfiguration(
  envelope: unknown,
  root: RootMetadata,
  facts: ConfigurationFacts,
): ConfigurationVerdict {
  if (!isConfigurationEnvelope(envelope)) return refuse("format", "it is malformed");
  const configuration = envelope.signed;
  if (!meetsThreshold(envelope, root.roles.targets, root.keys)) {
    const { threshold } = root.roles.targets;
    return refuse("signature", `it lacks ${threshold} signature(s) of release keys`);
  }
  if (configuration.tenant !== facts.tenant || root.tenant !== facts.tenant) {
    return refuse("tenant", `it is for tenant ${configuration.tenant}`);
  }
  if (configuration.product !== facts.product) {
    return refuse("product", `it is for product ${configuration.product}`);
  }
  const { version } = configuration;
  if (version < facts.floor) {
    return refuse("floor", `version ${version} is below the floor ${facts.floor}`);
  }
  if (facts.versionInForce === null) return { accepted: true, configuration };
  if (version <= facts.versionInForce) {
    return refuse("version", `version ${version} is not above ${facts.versionInForce}`);
  }
  // A date that cannot be read is NaN, and no comparison with it holds: refused.
  if (!(Date.parse(configuration.expires) > facts.trustedTimeMs)) {
    return refuse("expiry", `it expired at ${configuration.expires}`);
  }
  return { accepted: true, configuration };
}

export const CONFIGURATION_LIMITS = {
  scripts: 20,
  scriptCharacters: 16_384,
  firmwareVariables: 8,
  payloadCharacters: 65_536,
} as const;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const NAMESPACE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function isConfigurationEnvelope(value: unknown): value is Envelope<Configuration> {
  if (!isEnvelope(value)) return false;
  const signed = value.signed as unknown as Configuration;
  return (
    signed._type === "configuration" &&
    signed.specVersion === 1 &&
    typeof signed.tenant === "string" &&
    typeof signed.product === "string" &&
    Number.isSafeInteger(signed.version) &&
    signed.version >= 1 &&
    typeof signed.expires === "string" &&
    isPlainObject(signed.settings) &&
    areScripts(signed.scripts) &&
    areVariables(signed.firmwareVariables)
  );
}

function areScripts(scripts: unknown): boolean {
  if (!Array.isArray(scripts) || scripts.length > CONFIGURATION_LIMITS.scripts) return false;
  return (scripts as ConfigurationScript[]).every(
    (script) =>
      isPlainObject(script) &&
      isTextLike(script.name, NAME) &&
      typeof script.content === "string" &&
      script.content.length <= CONFIGURATION_LIMITS.scriptCharacters &&
      (script.run === "boot" || script.run === "once"),
  );
}

function areVariables(variables: unknown): boolean {
  if (!Array.isArray(variables)) return false;
  if (variables.length > CONFIGURATION_LIMITS.firmwareVariables) return false;
  return (variables as FirmwareVariableWrite[]).every(
    (one) =>
      isPlainObject(one) &&
      isTextLike(one.name, NAME) &&
      isTextLike(one.namespace, NAMESPACE) &&
      Number.isSafeInteger(one.attributes) &&
      typeof one.payload === "string" &&
      one.payload.length <= CONFIGURATION_LIMITS.payloadCharacters,
  );
}

function isPlainObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuse(check: ConfigurationCheck, message: string): ConfigurationVerdict {
  return { accepted: false, check, message };
}
