import net from "node:net";
import tls from "node:tls";
import mqttPacket, { type Packet } from "mqtt-packet";
import { Framer } from "../../src/gateway/framer.ts";

const MAX_PACKET_BYTES = 256 * 1024 * 1024;
const CONNECT = 1;
const PUBLISH = 3;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;

export interface PahoProxyOptions {
  /** The gateway, and what an application presents to it. */
  gateway: { port: number; key: string; cert: string; ca: string };
  /** What is put before each topic on the way in, and taken off on the way out. */
  prefix: string;
  /** Topics that begin so stay as they are, outside of what the application may use. */
  outside: string;
}

/**
 * Lets a client that speaks plain TCP, and topics of its own, speak to the gateway as an application:
 * it puts TLS around the bytes and a prefix before the topics, and changes nothing else. As the
 * prefix makes packets longer, the client's Maximum Packet Size grows by it. What cannot be read as
 * MQTT passes as it is.
 */
export async function startPahoProxy(options: PahoProxyOptions) {
  const server = net.createServer((client) => {
    const { port, ...credentials } = options.gateway;
    const upstream = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ...credentials,
    });
    const mapper = new Mapper(options);
    pass(client, upstream, (packet) => mapper.inward(packet));
    pass(upstream, client, (packet) => mapper.outward(packet));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => void server.close(),
  };
}

function pass(source: net.Socket, target: net.Socket, map: (packet: Buffer) => Buffer): void {
  const framer = new Framer();
  source.on("data", (chunk: Buffer) => {
    framer.push(chunk);
    try {
      for (;;) {
        const packet = framer.next(MAX_PACKET_BYTES);
        if (!packet) return;
        target.write(map(packet));
      }
    } catch {
      source.destroy();
    }
  });
  source.on("error", () => target.destroy());
  source.on("close", () => target.end());
}

class Mapper {
  readonly #options: PahoProxyOptions;
  #version: 4 | 5 = 4;

  constructor(options: PahoProxyOptions) {
    this.#options = options;
  }

  inward(bytes: Buffer): Buffer {
    const type = (bytes[0] as number) >> 4;
    if (![CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE].includes(type)) return bytes;
    return this.#rewrite(bytes, (packet) => {
      if (packet.cmd === "connect") this.#connect(packet);
      if (packet.cmd === "publish") this.#publish(packet, (topic) => this.#add(topic));
      if (packet.cmd === "subscribe") {
        for (const subscription of packet.subscriptions) {
          subscription.topic = this.#add(subscription.topic);
        }
      }
      if (packet.cmd === "unsubscribe") {
        packet.unsubscriptions = packet.unsubscriptions.map((topic) => this.#add(topic));
      }
    });
  }

  outward(bytes: Buffer): Buffer {
    if ((bytes[0] as number) >> 4 !== PUBLISH) return bytes;
    const { prefix } = this.#options;
    const strip = (topic: string) =>
      topic.startsWith(prefix) ? topic.slice(prefix.length) : topic;
    return this.#rewrite(bytes, (packet) => {
      if (packet.cmd === "publish") this.#publish(packet, strip);
    });
  }

  #connect(packet: Extract<Packet, { cmd: "connect" }>): void {
    this.#version = packet.protocolVersion === 5 ? 5 : 4;
    const { will, properties } = packet;
    if (will) will.topic = this.#add(will.topic);
    if (will?.properties?.responseTopic) {
      will.properties.responseTopic = this.#add(will.properties.responseTopic);
    }
    if (properties?.maximumPacketSize) properties.maximumPacketSize += this.#options.prefix.length;
  }

  #publish(packet: Extract<Packet, { cmd: "publish" }>, map: (topic: string) => string): void {
    packet.topic = map(packet.topic);
    const { properties } = packet;
    if (properties?.responseTopic) properties.responseTopic = map(properties.responseTopic);
  }

  /** An empty topic stands for an alias; a shared subscription has its group in front. */
  #add(topic: string): string {
    const { prefix, outside } = this.#options;
    if (topic === "" || topic.startsWith(outside)) return topic;
    const [, share, filter] = /^(\$share\/[^/]+\/)(.+)$/.exec(topic) ?? [];
    return share ? share + prefix + filter : prefix + topic;
  }

  #rewrite(bytes: Buffer, change: (packet: Packet) => void): Buffer {
    try {
      const parser = mqttPacket.parser({ protocolVersion: this.#version });
      let found: Packet | undefined;
      parser.on("packet", (packet) => {
        found = packet;
      });
      parser.parse(bytes);
      if (!found) return bytes;
      change(found);
      const written = mqttPacket.generate(found, { protocolVersion: this.#version });
      return written as Buffer;
    } catch {
      // Not MQTT, or not as the standard has it: that is what the server is to judge.
      return bytes;
    }
  }
}
