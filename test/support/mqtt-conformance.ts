import type { Packet } from "mqtt-packet";
import type { GatewayFixture } from "./gateway.ts";
import { RawClient } from "./gateway.ts";

type Connect = Partial<Extract<Packet, { cmd: "connect" }>>;
export type Publish = Extract<Packet, { cmd: "publish" }>;

/** What a statement of the standard is tested with. */
export interface Bench {
  fixture: GatewayFixture;
  /** A device's topic, of d-1 of the tenant acme. */
  topic(suffix: string): string;
  /** A fresh connection of that device whose CONNACK has come. */
  connect(options?: Connect): Promise<RawClient>;
  /** The same with its TLS alone: the CONNECT is the test's. */
  open(version?: 4 | 5): Promise<RawClient>;
  /** The same with a session that begins anew and is kept for 100 s. */
  connectKept(options?: Connect): Promise<RawClient>;
  publish(extra?: Partial<Publish>): Publish;
  /** Queues a command for the device; answers its id. */
  command(name?: string): Promise<string>;
}

/** A statement of the standard, and what shows that it is obeyed. */
export interface Statement {
  /** As the standard numbers it, e.g. `MQTT-4.3.3-9`. */
  tag: string;
  /** Others that the same thing shows. */
  also?: readonly string[];
  says: string;
  run(bench: Bench): Promise<void>;
}

export const SAMPLE = JSON.stringify({ ts: 1, seq: 1, values: { a: 1 } });
const PREFIX = "tenants/acme/devices/d-1/";

/** The bench of one fixture; `close` ends every connection that a statement has left. */
export async function createBench(fixture: GatewayFixture): Promise<Bench & { close(): void }> {
  const device = await fixture.pki.device("acme", "d-1");
  const opened: RawClient[] = [];
  const keep = (client: RawClient) => {
    opened.push(client);
    return client;
  };
  return {
    fixture,
    topic: (suffix) => PREFIX + suffix,
    connect: async (options = {}) =>
      keep(await RawClient.connect(fixture.gateway.port, device, options)),
    open: async (version = 5) => keep(await RawClient.open(fixture.gateway.port, device, version)),
    connectKept: async (options = {}) => {
      const properties = { sessionExpiryInterval: 100, ...options.properties };
      return keep(
        await RawClient.connect(fixture.gateway.port, device, { ...options, properties }),
      );
    },
    publish: (extra = {}) => ({
      cmd: "publish",
      topic: `${PREFIX}telemetry`,
      payload: SAMPLE,
      qos: 1,
      dup: false,
      retain: false,
      messageId: 1,
      ...extra,
    }),
    async command(name = "blink") {
      const order = { deviceIds: ["d-1"], name, args: {}, ttlSeconds: 60 };
      const actor = { kind: "system", id: "test", name: "test" } as const;
      const [sent] = await fixture.commands.send("acme", order, actor, null);
      return sent?.id as string;
    },
    close() {
      for (const client of opened.splice(0)) client.destroy();
    },
  };
}
