import { stringify } from "yaml";
import {
  AuthoritiesAnnouncement,
  CertificateConfirm,
  CertificateRequestMessage,
  CertificateResponse,
  CommandMessage,
  CommandResult,
  DEVICE_ID,
  DEVICE_PUBLISHES,
  DesiredMessage,
  DeviceEvent,
  ErrorReport,
  Heartbeat,
  LogLine,
  PLATFORM_PUBLISHES,
  ReportedMessage,
  TENANT_ID,
  TelemetrySample,
  UpdateState,
} from "../src/protocol/index.ts";

interface Message {
  summary: string;
  payload: object;
}

const DESCRIPTION = [
  "What devices and the platform say to each other by MQTT 3.1.1 or 5 over mutual TLS. The",
  "identity is the certificate's: a device reaches the topics below its own prefix and no",
  "others. Payloads are JSON in UTF-8, or CBOR where the first byte (MQTT 5: the content",
  "type) says so. A QoS 1 publish is acknowledged when it is durable; redelivery is",
  "harmless, for seq rises with each message.",
].join(" ");

const oneOrMany = (schema: object) => ({ oneOf: [schema, { type: "array", items: schema }] });

const SIGNED = {
  type: "object",
  required: ["signed", "signatures"],
  properties: {
    signed: { type: "object" },
    signatures: {
      type: "array",
      items: {
        type: "object",
        required: ["keyid", "sig"],
        properties: { keyid: { type: "string" }, sig: { type: "string" } },
      },
    },
  },
};

const ASSIGNMENT = {
  ...SIGNED,
  required: [...SIGNED.required, "metadata"],
  properties: {
    ...SIGNED.properties,
    metadata: {
      type: "object",
      required: ["roots", "timestamp", "snapshot", "targets"],
      properties: {
        roots: { type: "array", items: SIGNED },
        timestamp: SIGNED,
        snapshot: SIGNED,
        targets: { oneOf: [SIGNED, { type: "null" }] },
      },
    },
  },
};

/** What each topic carries; a topic of the protocol that is missing here is a type error. */
const MESSAGES: Record<
  (typeof DEVICE_PUBLISHES)[number] | (typeof PLATFORM_PUBLISHES)[number],
  Message
> = {
  telemetry: {
    summary: "Samples; a backlog is sent the same way",
    payload: oneOrMany(TelemetrySample),
  },
  heartbeat: { summary: "That it lives, and what runs", payload: Heartbeat },
  logs: { summary: "Log lines", payload: { type: "array", items: LogLine } },
  events: { summary: "Boots, crashes, self-tests and others", payload: oneOrMany(DeviceEvent) },
  "commands/+/result": { summary: "How far a command is", payload: CommandResult },
  "update/state": { summary: "How far an update is", payload: UpdateState },
  reported: {
    summary: "What the device is: a JSON merge patch on the version that the platform holds",
    payload: ReportedMessage,
  },
  "certificate/request": {
    summary: "Request for the next certificate",
    payload: CertificateRequestMessage,
  },
  "certificate/confirm": {
    summary: "The certificate that opened this connection is in use: the older ones may end",
    payload: CertificateConfirm,
  },
  commands: { summary: "An order to the device", payload: CommandMessage },
  update: {
    summary: "What to install, signed by the director, with the metadata to judge it by",
    payload: ASSIGNMENT,
  },
  trust: {
    summary: "The newest trust roots, each signed by the one before and by itself",
    payload: {
      type: "object",
      required: ["roots"],
      properties: { roots: { type: "array", items: SIGNED } },
    },
  },
  desired: {
    summary: "What the device ought to be: a JSON merge patch on the version that it holds",
    payload: DesiredMessage,
  },
  errors: {
    summary:
      "Values that were not stored and messages that cannot be read, and why; at most one a second",
    payload: ErrorReport,
  },
  "certificate/response": {
    summary: "The next certificate, or why there is none",
    payload: CertificateResponse,
  },
  "certificate/authorities": {
    summary: "By whom certificates are issued and which roots there are",
    payload: AuthoritiesAnnouncement,
  },
};

/** The text of asyncapi.yaml (AsyncAPI 3.0), seen from the platform. */
export function asyncApiText(): string {
  const topics = [
    ...DEVICE_PUBLISHES.map((topic) => ({ topic, action: "receive" })),
    ...PLATFORM_PUBLISHES.map((topic) => ({ topic, action: "send" })),
  ];
  const named = topics.map(({ topic, action }) => ({ topic, action, name: nameOf(topic) }));
  const document = {
    asyncapi: "3.0.0",
    info: { title: "Vautn devices", version: "1", description: DESCRIPTION },
    defaultContentType: "application/json",
    servers: {
      mqtt: {
        host: "localhost:8883",
        protocol: "secure-mqtt",
        security: [{ $ref: "#/components/securitySchemes/certificate" }],
      },
    },
    channels: Object.fromEntries(
      named.map(({ topic, name }) => [
        name,
        {
          address: addressOf(topic),
          parameters: parametersOf(topic),
          messages: { [name]: { $ref: `#/components/messages/${name}` } },
        },
      ]),
    ),
    operations: Object.fromEntries(
      named.map(({ action, name }) => [
        `${action}${name[0]?.toUpperCase()}${name.slice(1)}`,
        { action, channel: { $ref: `#/channels/${name}` } },
      ]),
    ),
    components: {
      securitySchemes: { certificate: { type: "X509" } },
      messages: Object.fromEntries(named.map(({ topic, name }) => [name, MESSAGES[topic]])),
    },
  };
  // By way of JSON: schemas carry members that are not for print.
  const plain = JSON.parse(JSON.stringify(document));
  return `# Written by tools/build-asyncapi.ts from src/protocol. Do not edit.\n${stringify(plain)}`;
}

export function addressOf(topic: string): string {
  return `tenants/{tenant}/devices/{device}/${topic.replace("+", "{command}")}`;
}

function parametersOf(topic: string) {
  return {
    tenant: { description: `Tenant: ${TENANT_ID.source}` },
    device: { description: `Device: ${DEVICE_ID.source}` },
    ...(topic.includes("+") ? { command: { description: "Id of the command" } } : {}),
  };
}

/** `commands/+/result` -> `commandsResult`. */
function nameOf(topic: string): string {
  return topic
    .split("/")
    .filter((level) => level !== "+")
    .map((level, index) => (index === 0 ? level : `${level[0]?.toUpperCase()}${level.slice(1)}`))
    .join("");
}
