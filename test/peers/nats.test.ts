import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectUplink, type LocalBus, type Uplink } from "../../src/bus/index.ts";
import { freePort } from "../../src/db/index.ts";
import { readConfig } from "../../src/kernel/config.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { connectedBus, uplinkOf } from "../../src/platform/between-machines.ts";
import { superviseRoles } from "../../src/platform/supervisor.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { RawClient, until } from "../support/gateway.ts";
import {
  hasNats,
  type Line,
  type NatsServer,
  startLine,
  startNats,
} from "../support/nats-server.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";
import { silentLogger } from "../support/timeseries.ts";

const PATIENCE_MS = 60_000;
const TAKEN_OVER = 0x8e;

interface Machine {
  port: number;
  start(): Promise<void>;
  stop(): Promise<void>;
}

describe.skipIf(!hasNats)("machines that hear of each other by NATS (nats-server)", () => {
  let nats: NatsServer;
  /** Of this process alone. */
  let line: Line;
  let bus: LocalBus;
  let real: RealModules;
  let machines: Machine[] = [];
  let device: EnrolledDevice;
  const clients: RawClient[] = [];

  beforeAll(async () => {
    nats = await startNats();
    const settings = { VAUTN_MASTER_KEY: randomBytes(32).toString("hex") };
    line = await startLine(nats.port);
    const ownUrl = nats.url.replace(`:${nats.port}`, `:${line.port}`);
    const own = { ...readConfig(settings), natsUrl: ownUrl };
    // The third machine is this process: the API's modules.
    bus = connectedBus(uplinkOf(own, silentLogger));
    real = await createRealModules(bus, settings);
    machines = await Promise.all(["one", "two"].map(machine));
    await Promise.all(machines.map(({ start }) => start()));
    device = await real.enroll("d-1");
  }, 240_000);
  afterAll(async () => {
    for (const client of clients) client.destroy();
    await Promise.all(machines.map(({ stop }) => stop()));
    await real?.close();
    await bus?.close();
    await line?.close();
    await nats?.stop();
  });

  /** A machine with a gateway alone, which everywhere is the process `gateway-1`. */
  async function machine(nodeName: string): Promise<Machine> {
    const port = await freePort();
    const config = {
      ...real.config,
      ...{ roles: ["gateway"] as const, mqttPort: port, natsUrl: nats.url, nodeName },
    };
    let supervisor: Awaited<ReturnType<typeof superviseRoles>> | undefined;
    return {
      port,
      async start() {
        const connect = uplinkOf(config, silentLogger);
        const common = { config, stores: real.stores, logger: silentLogger };
        supervisor = await superviseRoles({ ...common, connect, allowPrivateWebhooks: false });
      },
      async stop() {
        await supervisor?.stop();
        supervisor = undefined;
      },
    };
  }

  async function connect({ port }: Machine): Promise<RawClient> {
    const client = await RawClient.open(port, device);
    clients.push(client);
    client.send({
      ...({ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion: 5 } as const),
      ...{ clean: true, keepalive: 600 },
    });
    expect((await client.next("connack", PATIENCE_MS)).reasonCode).toBe(0);
    const topic = "tenants/acme/devices/d-1/commands";
    client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic, qos: 1 }] });
    await client.next("suback", PATIENCE_MS);
    return client;
  }

  async function order(name: string): Promise<void> {
    const command = { deviceIds: ["d-1"], name, args: {}, ttlSeconds: 600 };
    await real.modules.commands.send("acme", command, SYSTEM_ACTOR, null);
  }

  async function hear(client: RawClient): Promise<string> {
    const { payload, messageId } = await client.next("publish", PATIENCE_MS);
    client.send({ cmd: "puback", messageId: messageId as number });
    return JSON.parse(payload.toString()).name;
  }

  const isBusUp = () => bus.isUplinkUp === true;

  it("end a device's connection at one when it connects at another, and bring its commands there", async () => {
    const [one, two] = machines as [Machine, Machine];
    const first = await connect(one);
    await order("at-one");
    expect(await hear(first)).toBe("at-one");
    const second = await connect(two);
    expect((await first.next("disconnect", PATIENCE_MS)).reasonCode).toBe(TAKEN_OVER);
    await order("at-two");
    expect(await hear(second)).toBe("at-two");
  });

  it("leave a device's session alone when another machine's process of the same name starts", async () => {
    const [one, two] = machines as [Machine, Machine];
    const client = await connect(one);
    await two.stop();
    await two.start();
    const session = await real.test.db.tenant("acme", (tx) =>
      tx
        .selectFrom("mqtt_sessions")
        .select(["gateway_id", "expires_at"])
        .where("device_id", "=", "d-1")
        .executeTakeFirst(),
    );
    expect(session).toEqual({ gateway_id: "one/gateway-1", expires_at: null });
    await order("still-there");
    expect(await hear(client)).toBe("still-there");
  });

  it("look for what waits while the server is away, and are connected again when it is back", async () => {
    const client = await connect(machines[1] as Machine);
    await until(isBusUp, PATIENCE_MS);
    await nats.stop();
    await until(() => !isBusUp(), PATIENCE_MS);
    await order("without-a-bus");
    expect(await hear(client)).toBe("without-a-bus");
    await nats.start();
    await until(isBusUp, PATIENCE_MS);
    await order("with-it");
    expect(await hear(client)).toBe("with-it");
  });

  it("are told that they missed something where only the one that said it was away", async () => {
    const client = await connect(machines[0] as Machine);
    await until(isBusUp, PATIENCE_MS);
    line.cut();
    await until(() => !isBusUp(), PATIENCE_MS);
    await order("while-it-was-away");
    line.join();
    expect(await hear(client)).toBe("while-it-was-away");
  });

  it("are not taken for connected by a server that lets them hear or say nothing", async () => {
    const states = { deaf: [] as boolean[], mute: [] as boolean[] };
    const complaints: string[] = [];
    const logger = createLogger({
      ...{ level: "warn", destination: { write: (text) => void complaints.push(text) } },
    });
    const uplinks = (["deaf", "mute"] as const).map((whom) =>
      connectUplink({
        ...{ url: nats.urlOf(whom), key: randomBytes(32), channel: "test", logger, now: Date.now },
        ...{ onMessage: () => {}, onState: (isConnected) => states[whom].push(isConnected) },
      }),
    );
    const said = (what: string) => complaints.some((text) => text.includes(what));
    await until(() => said("for Subscription to") && said("for Publish to"), PATIENCE_MS);
    expect(states).toEqual({ deaf: [], mute: [] });
    await Promise.all(uplinks.map((uplink) => uplink.close()));
  });

  it("drop what is too large for the server, and go on", async () => {
    const key = randomBytes(32);
    const heard: string[] = [];
    let isUp = false;
    const open = (onMessage: (subject: string) => void): Uplink =>
      connectUplink({
        ...{ url: nats.url, key, channel: "test", logger: silentLogger, now: Date.now, onMessage },
        onState: (isConnected) => {
          isUp = isConnected;
        },
      });
    const to = open((subject) => heard.push(subject));
    await until(() => isUp, PATIENCE_MS);
    isUp = false;
    const from = open(() => {});
    await until(() => isUp, PATIENCE_MS);
    from.publish("large", { text: "x".repeat(2 * 1024 ** 2) });
    from.publish("metrics.wanted", {});
    from.publish("small", {});
    await until(() => heard.length > 0, PATIENCE_MS);
    expect(heard).toEqual(["small"]);
    await Promise.all([to.close(), from.close()]);
  });

  it("are let in by the server with its password alone, and end though nobody answers", async () => {
    const states: boolean[] = [];
    const with_ = (url: string) =>
      connectUplink({
        ...{ url, key: randomBytes(32), channel: "test", logger: silentLogger, now: Date.now },
        ...{ onMessage: () => {}, onState: (isConnected: boolean) => states.push(isConnected) },
      });
    const [wrong, absent, right] = [
      with_(`nats://vautn:wrong@127.0.0.1:${nats.port}`),
      with_(`nats://127.0.0.1:${await freePort()}`),
      with_(nats.url),
    ];
    await until(() => states.length > 0, PATIENCE_MS);
    expect(states).toEqual([true]);
    for (const each of [wrong, absent, right]) {
      each?.publish("subject", {});
      await each?.close();
    }
  });
});
