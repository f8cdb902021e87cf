import { connect, type IClientOptions, type MqttClient } from "mqtt";
import mqttPacket from "mqtt-packet";
import { topicPrefix } from "../../protocol/index.ts";
import { IdentityRefused } from "../identity/identity-refused.ts";
import type { Session, SessionHandlers, TlsCredentials, Transport } from "../ports.ts";
import { PublishRefused } from "./publish-refused.ts";

export interface MqttTransportOptions {
  /** `mqtts://host:port`. */
  url: string;
  tenantId: string;
  deviceId: string;
  /** Read again at each connect, so that a rotated certificate is used. */
  credentials(): Promise<TlsCredentials>;
  keepaliveSeconds?: number;
}

const CERTIFICATES = ["certificate/response", "certificate/authorities"];
const SUBSCRIPTIONS = ["commands", "update", "trust", "desired", ...CERTIFICATES];
/** IANA: secure-mqtt. */
const DEFAULT_PORT = 8_883;
const NOT_AUTHORIZED = 0x87;
/** What OpenSSL says when a server ends the handshake because of our certificate. */
const CERTIFICATE_ALERT = /^ERR_SSL_.*ALERT_(?:\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED)$/;
/** MQTT 5.0 §3.4.2.1: answers after which the same packet would be refused again. */
const FINAL_REASONS = [0x87, 0x90, 0x95, 0x99];
const RECEIVE_MAXIMUM = 16;
const MAXIMUM_PACKET_BYTES = 512 * 1024;

// The codec would keep a Buffer for each number below 65,536: 7 MB, for a client that sends little.
mqttPacket.writeToStream.cacheNumbers = false;

/** MQTT 5 over mutual TLS by the `mqtt` package; connecting again is the caller's affair. */
export function createMqttTransport(options: MqttTransportOptions): Transport {
  return {
    async connect(handlers, signal, { credentials: given, certificatesOnly } = {}) {
      signal.throwIfAborted();
      const credentials = given ?? (await options.credentials());
      const client = connect(clientOptions(options, credentials));
      const prefix = topicPrefix(options);
      receive(client, prefix, handlers);
      try {
        await established(client, signal);
        await subscribe(client, prefix, certificatesOnly ? CERTIFICATES : SUBSCRIPTIONS);
      } catch (error) {
        await end(client);
        throw refusalOf(error) ?? error;
      }
      return sessionOf(client, prefix, handlers);
    },
  };
}

function clientOptions(options: MqttTransportOptions, tls: TlsCredentials): IClientOptions {
  const { hostname, port } = new URL(options.url);
  return {
    protocol: "mqtts",
    // RFC 3986 §3.2.2: brackets are of the URL, not of the address.
    host: hostname.replace(/^\[|\]$/g, ""),
    port: Number(port) || DEFAULT_PORT,
    protocolVersion: 5,
    clientId: options.deviceId,
    clean: true,
    reconnectPeriod: 0,
    keepalive: options.keepaliveSeconds ?? 60,
    connectTimeout: 30_000,
    key: tls.key,
    cert: tls.certificate,
    ca: tls.root,
    rejectUnauthorized: true,
    queueQoSZero: false,
    properties: {
      sessionExpiryInterval: 0,
      receiveMaximum: RECEIVE_MAXIMUM,
      maximumPacketSize: MAXIMUM_PACKET_BYTES,
    },
  };
}

/** A message is acknowledged when the agent has taken it, and not before. */
function receive(client: MqttClient, prefix: string, handlers: SessionHandlers): void {
  client.handleMessage = (packet, done) => {
    const payload =
      typeof packet.payload === "string" ? Buffer.from(packet.payload) : packet.payload;
    if (!packet.topic.startsWith(prefix)) {
      done();
      return;
    }
    handlers.onMessage(packet.topic.slice(prefix.length), payload).then(
      () => done(),
      // Not taken, so not acknowledged: the platform sends it again after the next connect.
      () => client.end(true),
    );
  };
}

function established(client: MqttClient, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (work: () => void) => {
      client.off("connect", onConnect);
      client.off("error", onError);
      client.off("close", onClose);
      signal.removeEventListener("abort", onAbort);
      work();
    };
    const onConnect = () => settle(resolve);
    const onError = (error: Error) => settle(() => reject(error));
    const onClose = () => settle(() => reject(new Error("the server closed the connection")));
    const onAbort = () => settle(() => reject(signal.reason));
    client.once("connect", onConnect);
    client.once("error", onError);
    client.once("close", onClose);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

/** Rejects with the SUBACK where a subscription was not granted. */
async function subscribe(
  client: MqttClient,
  prefix: string,
  suffixes: readonly string[],
): Promise<void> {
  await client.subscribeAsync(
    suffixes.map((suffix) => prefix + suffix),
    { qos: 1 },
  );
}

/** In the CONNACK: who we are is not accepted. In a SUBACK: what is ours is closed to us. */
function refusalOf(error: unknown): IdentityRefused | undefined {
  const {
    code,
    message = "",
    packet,
  } = error as {
    code?: unknown;
    message?: string;
    packet?: { granted?: number[] };
  };
  const isRefusal =
    code === NOT_AUTHORIZED ||
    packet?.granted?.includes(NOT_AUTHORIZED) ||
    (typeof code === "string" && CERTIFICATE_ALERT.test(code));
  if (!isRefusal) return undefined;
  return new IdentityRefused(`the certificate is not accepted: ${message}`, { cause: error });
}

function sessionOf(client: MqttClient, prefix: string, handlers: SessionHandlers): Session {
  const outstanding = new Set<(error: Error) => void>();
  let reason = "the connection was closed";
  client.on("error", (error) => {
    reason = error.message;
  });
  client.on("disconnect", (packet) => {
    reason = `the platform closed the connection (${packet.reasonCode ?? 0})`;
  });
  client.once("close", () => {
    client.end(true);
    for (const reject of outstanding) reject(new Error(reason));
    outstanding.clear();
    handlers.onClose(reason);
  });
  return {
    publish(topic, payload, publishOptions) {
      const { traceparent } = publishOptions ?? {};
      const properties = traceparent ? { userProperties: { traceparent } } : {};
      return new Promise((resolve, reject) => {
        outstanding.add(reject);
        client.publish(prefix + topic, payload, { qos: 1, properties }, (error, packet) => {
          outstanding.delete(reject);
          const code = reasonCodeOf(error) ?? reasonCodeOf(packet) ?? 0;
          if (FINAL_REASONS.includes(code)) {
            reject(new PublishRefused(code, error?.message ?? `reason code ${code}`));
          } else if (error || code >= 0x80) reject(error ?? new Error(`reason code ${code}`));
          else resolve();
        });
      });
    },
    close: () => end(client),
  };
}

function reasonCodeOf(value: unknown): number | undefined {
  const carrier = value as { code?: unknown; reasonCode?: unknown } | null | undefined;
  const code = carrier?.reasonCode ?? carrier?.code;
  return typeof code === "number" ? code : undefined;
}

function end(client: MqttClient): Promise<void> {
  client.on("error", () => {
    // Already on its way out.
  });
  return new Promise((resolve) => client.end(true, {}, () => resolve()));
}
