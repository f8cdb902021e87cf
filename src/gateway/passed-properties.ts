import type { IPublishPacket } from "mqtt-packet";

type Properties = NonNullable<IPublishPacket["properties"]>;

/**
 * What a message carries for its readers, unchanged from publisher to subscriber (MQTT 5.0 §3.3.2.3:
 * [MQTT-3.3.2-4], -15, -16, -17, -20). Topic alias, subscription identifier and expiry are each
 * connection's own.
 */
export type PassedProperties = Pick<
  Properties,
  "payloadFormatIndicator" | "contentType" | "responseTopic" | "correlationData" | "userProperties"
>;

const PASSED = [
  "payloadFormatIndicator",
  "contentType",
  "responseTopic",
  "correlationData",
  "userProperties",
] as const;

export function passedProperties(properties: Properties = {}): PassedProperties {
  return Object.fromEntries(
    PASSED.flatMap((name) => (properties[name] === undefined ? [] : [[name, properties[name]]])),
  );
}

/** As they stand in a JSON column, where bytes are base64. */
export function storedProperties({ correlationData, ...rest }: PassedProperties): object {
  const userProperties = rest.userProperties && { ...rest.userProperties };
  return {
    ...rest,
    ...(userProperties ? { userProperties } : {}),
    ...(correlationData ? { correlationData: correlationData.toString("base64") } : {}),
  };
}

export function restoredProperties(stored: unknown): PassedProperties {
  const { correlationData, ...rest } = stored as PassedProperties & { correlationData?: string };
  if (correlationData === undefined) return rest;
  return { ...rest, correlationData: Buffer.from(correlationData, "base64") };
}

/** A message of a device as its subscribers get it. */
export interface PassedMessage {
  topic: string;
  payload: Buffer;
  qos: 0 | 1 | 2;
  properties: PassedProperties;
  /** Milliseconds since the epoch. */
  expiresAt: number | undefined;
}

/** A PUBLISH as it is passed on; its expiry counts from its receipt (MQTT 5.0 §3.3.2.3.3). */
export function passedMessage(
  {
    topic,
    payload,
    qos,
    properties = {},
  }: Pick<IPublishPacket, "topic" | "payload" | "qos" | "properties">,
  receivedAt: number,
): PassedMessage {
  const { messageExpiryInterval: seconds } = properties;
  return {
    topic,
    payload: Buffer.from(payload as Buffer),
    qos,
    properties: passedProperties(properties),
    expiresAt: seconds === undefined ? undefined : receivedAt + seconds * 1_000,
  };
}

/**
 * The Message Expiry Interval to send at this moment, as a property; undefined when the message has
 * expired. MQTT 5.0 §3.3.2.3.3 [MQTT-3.3.2-5], [MQTT-3.3.2-6].
 */
export function remainingExpiry(
  { expiresAt }: Pick<PassedMessage, "expiresAt">,
  nowMs: number,
): { messageExpiryInterval?: number } | undefined {
  if (expiresAt === undefined) return {};
  if (expiresAt <= nowMs) return undefined;
  return { messageExpiryInterval: Math.ceil((expiresAt - nowMs) / 1_000) };
}
