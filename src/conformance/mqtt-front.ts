import tls from "node:tls";
import mqttPacket, { type Packet } from "mqtt-packet";
import { IdentityRefused, type Session, type Transport } from "../agent/index.ts";
import { messageOf } from "../kernel/index.ts";
import {
  type DeviceIdentity,
  decodePayload,
  mayPublish,
  maySubscribe,
  topicMatches,
  topicPrefix,
} from "../protocol/index.ts";
import { identityOf } from "./peer-identity.ts";

/** What is seen of a device on its MQTT connections. */
export interface MqttEvent {
  kind: "connect" | "refused" | "subscribe" | "publish" | "disconnect" | "fault";
  at: number;
  device?: string;
  serial?: string;
  topic?: string;
  payload?: unknown;
  message?: string;
}

export interface MqttFrontOptions {
  credentials: { key: string; certificate: string };
  root: string;
  /** Where a device's connection leads. */
  transport(device: string): Transport;
  tenant: string;
  onEvent(event: Omit<MqttEvent, "at">): void;
}

const MAX_PACKET_BYTES = 256 * 1024;
const MAX_QUEUED = 1_000;
const SESSION_TAKES = { retain: false, dup: false } as const;

/** The devices' MQTT as the platform speaks it, as far as one device under test needs it. */
export class MqttFront {
  readonly #options: MqttFrontOptions;
  readonly #sockets = new Set<tls.TLSSocket>();
  readonly #server: tls.Server;

  constructor(options: MqttFrontOptions) {
    this.#options = options;
    const { key, certificate } = options.credentials;
    this.#server = tls.createServer(
      { key, cert: certificate, ca: options.root, requestCert: true, minVersion: "TLSv1.2" },
      (socket) => this.#accept(socket),
    );
    this.#server.on("tlsClientError", (error) =>
      options.onEvent({ kind: "refused", message: messageOf(error) }),
    );
  }

  listen(port = 0): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(port, "127.0.0.1", () => {
        resolve((this.#server.address() as { port: number }).port);
      });
    });
  }

  /** Ends every connection without a word, as a line that breaks. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.drop();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: tls.TLSSocket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    const connection = new FrontConnection(socket, this.#options);
    socket.on("error", () => socket.destroy());
    connection.start();
  }
}

/** One connection: the device's side of the wire on one end, a session of the platform on the other. */
class FrontConnection {
  readonly #socket: tls.TLSSocket;
  readonly #options: MqttFrontOptions;
  #version = 4;
  #identity: (DeviceIdentity & { serial: string }) | undefined;
  #session: Session | undefined;
  readonly #filters = new Map<string, 0 | 1>();
  readonly #queued: { topic: string; payload: Uint8Array; taken: () => void }[] = [];
  readonly #unacknowledged = new Map<number, () => void>();
  #lastId = 0;
  /** The line is gone, by whichever side. */
  #isCut = false;
  #work: Promise<void> = Promise.resolve();

  constructor(socket: tls.TLSSocket, options: MqttFrontOptions) {
    this.#socket = socket;
    this.#options = options;
  }

  start(): void {
    const parser = mqttPacket.parser({ protocolVersion: 5 });
    let bytes = 0;
    parser.on("packet", (packet: Packet) => {
      bytes = 0;
      this.#work = this.#work
        .then(() => this.#take(packet))
        .catch((error) => {
          if (!this.#isCut) this.#fault(error);
        });
    });
    parser.on("error", (error: Error) => this.#fault(error));
    this.#socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > MAX_PACKET_BYTES) this.#socket.destroy();
      else parser.parse(chunk);
    });
    this.#socket.once("close", () => {
      this.#isCut = true;
      const device = this.#identity?.deviceId;
      if (device) this.#options.onEvent({ kind: "disconnect", device });
      this.#session?.close().catch(() => {});
    });
  }

  async #take(packet: Packet): Promise<void> {
    if (packet.cmd === "connect") return this.#connect(packet.protocolVersion ?? 4);
    const identity = this.#identity;
    if (!identity || !this.#session) throw new Error("a packet before CONNECT");
    switch (packet.cmd) {
      case "subscribe":
        return this.#subscribe(identity, packet);
      case "publish":
        return this.#publish(identity, packet);
      case "puback":
        this.#unacknowledged.get(packet.messageId ?? 0)?.();
        this.#unacknowledged.delete(packet.messageId ?? 0);
        return;
      case "pingreq":
        this.#write({ cmd: "pingresp" });
        return;
      case "unsubscribe":
        this.#write({ cmd: "unsuback", messageId: packet.messageId ?? 0, granted: [] } as Packet);
        return;
      case "disconnect":
        this.#socket.end();
        return;
      default:
        throw new Error(`${packet.cmd} is not asked for`);
    }
  }

  async #connect(version: number): Promise<void> {
    this.#version = version;
    const { onEvent, tenant, root, transport } = this.#options;
    const identity = identityOf(this.#socket);
    if (!identity || identity.tenantId !== tenant) {
      onEvent({ kind: "refused", message: "the connection came without the device's certificate" });
      this.#write({ cmd: "connack", sessionPresent: false, ...this.#code(0x87, 5) } as Packet);
      this.#socket.end();
      return;
    }
    const device = identity.deviceId;
    const { serial, certificate } = identity;
    try {
      const credentials = { certificate, key: "", root };
      this.#session = await transport(device).connect(
        {
          onMessage: (topic, payload) => this.#deliver(topic, payload),
          onClose: () => {
            this.#isCut = true;
            this.#socket.end();
          },
        },
        AbortSignal.timeout(10_000),
        { credentials },
      );
    } catch (error) {
      // MQTT 5.0 §3.2.2.2: not authorised, or not available at the moment.
      const isFinal = error instanceof IdentityRefused;
      onEvent({ kind: "refused", device, serial, message: messageOf(error) });
      this.#write({
        cmd: "connack",
        sessionPresent: false,
        ...this.#code(isFinal ? 0x87 : 0x88, isFinal ? 5 : 3),
      } as Packet);
      this.#socket.end();
      return;
    }
    this.#identity = identity;
    onEvent({ kind: "connect", device, serial });
    const properties = version === 5 ? { properties: { maximumQoS: 1, receiveMaximum: 16 } } : {};
    this.#write({
      cmd: "connack",
      sessionPresent: false,
      ...this.#code(0, 0),
      ...properties,
    } as Packet);
  }

  #subscribe(identity: DeviceIdentity, packet: Extract<Packet, { cmd: "subscribe" }>): void {
    const device = identity.deviceId;
    const granted = packet.subscriptions.map(({ topic, qos }) => {
      const isAllowed = maySubscribe(identity, topic);
      this.#options.onEvent({
        kind: isAllowed ? "subscribe" : "fault",
        device,
        topic,
        ...(isAllowed ? {} : { message: `it subscribes to ${topic}, which is not its own` }),
      });
      if (!isAllowed) return this.#version === 5 ? 0x87 : 0x80;
      const limited = qos > 0 ? 1 : 0;
      this.#filters.set(topic, limited);
      return limited;
    });
    this.#write({ cmd: "suback", messageId: packet.messageId ?? 0, granted } as Packet);
    this.#drain();
  }

  async #publish(
    identity: DeviceIdentity,
    packet: Extract<Packet, { cmd: "publish" }>,
  ): Promise<void> {
    const { topic, qos } = packet;
    const device = identity.deviceId;
    const suffix = topic.startsWith(topicPrefix(identity))
      ? topic.slice(topicPrefix(identity).length)
      : topic;
    let code = 0;
    let payload: unknown;
    try {
      if (!mayPublish(identity, topic)) {
        throw new Error(`it publishes to ${topic}, which is not its to publish`);
      }
      payload = decodePayload(Buffer.from(packet.payload), packet.properties?.contentType);
      this.#options.onEvent({ kind: "publish", device, topic: suffix, payload });
    } catch (error) {
      code = 0x99;
      this.#options.onEvent({ kind: "fault", device, topic: suffix, message: messageOf(error) });
    }
    // What the kit itself has cut off is no fault of the device's, and is not acknowledged.
    if (code === 0) await this.#session?.publish(suffix, JSON.stringify(payload));
    if (qos === 1) {
      const messageId = packet.messageId ?? 0;
      this.#write({
        cmd: "puback",
        messageId,
        ...(this.#version === 5 ? { reasonCode: code } : {}),
      } as Packet);
    }
  }

  /** Resolves when the device has acknowledged. */
  #deliver(topic: string, payload: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#queued.length < MAX_QUEUED) this.#queued.push({ topic, payload, taken: resolve });
      this.#drain();
    });
  }

  /** Sends what the device listens to; the rest waits until it does. */
  #drain(): void {
    const identity = this.#identity;
    if (!identity) return;
    const waiting = this.#queued.splice(0);
    for (const message of waiting) {
      const topic = topicPrefix(identity) + message.topic;
      const found = [...this.#filters].filter(([filter]) => topicMatches(filter, topic));
      if (found.length === 0) {
        this.#queued.push(message);
        continue;
      }
      const qos = Math.max(...found.map(([, granted]) => granted)) as 0 | 1;
      const payload = Buffer.from(message.payload);
      if (qos === 0) {
        this.#write({ cmd: "publish", topic, payload, qos, ...SESSION_TAKES } as Packet);
        message.taken();
        continue;
      }
      this.#lastId = (this.#lastId % 65_535) + 1;
      this.#unacknowledged.set(this.#lastId, message.taken);
      this.#write({
        cmd: "publish",
        topic,
        payload,
        qos,
        messageId: this.#lastId,
        ...SESSION_TAKES,
      } as Packet);
    }
  }

  #code(reasonCode: number, returnCode: number): object {
    return this.#version === 5 ? { reasonCode } : { returnCode };
  }

  #write(packet: Packet): void {
    if (this.#socket.writable)
      this.#socket.write(mqttPacket.generate(packet, { protocolVersion: this.#version as 4 | 5 }));
  }

  #fault(error: unknown): void {
    const device = this.#identity?.deviceId;
    this.#options.onEvent({
      kind: "fault",
      message: messageOf(error),
      ...(device ? { device } : {}),
    });
    this.#socket.destroy();
  }
}
