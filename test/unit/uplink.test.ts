import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { FloodGuard } from "../../src/bus/flood-guard.ts";
import { createSealedFrames } from "../../src/bus/sealed-frames.ts";
import { connectUplink, type Flood } from "../../src/bus/uplink.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { until } from "../support/gateway.ts";

const PATIENCE_MS = 30_000;
const INFO = { server_id: "x", version: "2.10.0", proto: 1, headers: true, max_payload: 2 ** 20 };

/** A server that speaks as much of NATS as it takes to be believed; then `turns` bad. */
async function hostileBroker(turns: (socket: net.Socket) => void): Promise<string> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.write(`INFO ${JSON.stringify(INFO)}\r\n`);
    let heard = "";
    const answer = (bytes: Buffer) => {
      const text = bytes.toString("latin1");
      heard += text;
      for (const _ of text.matchAll(/PING\r\n/g)) socket.write("PONG\r\n");
      if (!/SUB .*PUB .*PING\r\n/s.test(heard)) return;
      socket.off("data", answer);
      turns(socket);
    };
    socket.on("data", answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return `nats://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
}

describe("the bus between machines by a hostile server", () => {
  it("keeps no more for one that answers pings and reads nothing", async () => {
    const url = await hostileBroker((socket) => {
      socket.pause();
      const pongs = setInterval(() => socket.write("PONG\r\n"), 5);
      socket.once("close", () => clearInterval(pongs));
    });
    const told: string[] = [];
    let isUp = false;
    const uplink = connectUplink({
      ...{ url, key: randomBytes(32), channel: "test", now: Date.now, onMessage: () => {} },
      logger: createLogger({
        ...{ level: "warn", destination: { write: (text) => void told.push(text) } },
      }),
      onState: (isConnected) => {
        isUp = isConnected;
      },
    });
    onTestFinished(() => uplink.close());
    await until(() => isUp, PATIENCE_MS);
    const message = { text: "x".repeat(900_000) };
    for (let count = 0; count < 120; count += 1) {
      uplink.publish("message.acme", message);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(told.join("")).toContain("does not keep up");
    expect(isUp).toBe(true);
  });

  /** What is told of a bus by a server that sends what `flood` writes, for as long as it may. */
  async function floodedBy(flood: (socket: net.Socket) => void) {
    let connections = 0;
    const url = await hostileBroker((socket) => {
      connections += 1;
      flood(socket);
    });
    const told: string[] = [];
    const states: { isConnected: boolean; flood: Flood }[] = [];
    const uplink = connectUplink({
      ...{ url, key: randomBytes(32), channel: "test", now: Date.now, onMessage: () => {} },
      logger: createLogger({
        ...{ level: "warn", destination: { write: (text) => void told.push(text) } },
      }),
      onState: (isConnected, flood) => states.push({ isConnected, flood }),
    });
    onTestFinished(() => uplink.close());
    await until(() => states.some(({ flood }) => flood.isOn), PATIENCE_MS);
    return { told, states, connections: () => connections };
  }

  /** Writes as long as the other side reads. */
  function pour(socket: net.Socket, bytes: Buffer): void {
    const more = () => {
      while (!socket.destroyed && socket.write(bytes));
    };
    socket.on("drain", more);
    more();
  }

  it("leaves one that floods it with messages of nobody, says so, and does not come back at once", async () => {
    const forged = Buffer.concat([Buffer.from([1]), randomBytes(200)]);
    const frame = Buffer.concat([
      Buffer.from(`MSG test 1 ${forged.length}\r\n`),
      forged,
      Buffer.from("\r\n"),
    ]);
    const { told, states, connections } = await floodedBy((socket) =>
      pour(socket, Buffer.concat(Array.from({ length: 100 }, () => frame))),
    );
    expect(states.at(-1)).toEqual({ isConnected: false, flood: { isOn: true, times: 1 } });
    expect(told.join("")).toContain("messages that are not of this installation");
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(connections()).toBe(1);
  });

  it("leaves one that sends endless noise which is no message at all", async () => {
    const { told } = await floodedBy((socket) =>
      pour(socket, Buffer.from("+OK\r\n".repeat(10_000))),
    );
    expect(told.join("")).toContain("more than it has to say");
  });

  it("stays with an honest one while a machine whose clock is wrong says much", async () => {
    const key = randomBytes(32);
    const [wrong, right] = [3_600_000, 0].map((ms) =>
      createSealedFrames(key, () => Date.now() - ms),
    );
    const frame = (sealed: Buffer | undefined) =>
      Buffer.concat([
        Buffer.from(`MSG test 1 ${sealed?.length}\r\n`),
        ...(sealed ? [sealed] : []),
        Buffer.from("\r\n"),
      ]);
    const url = await hostileBroker((socket) => {
      const late = Array.from({ length: 900 }, () => frame(wrong?.seal("device.acme", {})));
      socket.write(Buffer.concat([...late, frame(right?.seal("device.acme", {}))]));
    });
    let heard = 0;
    const states: boolean[] = [];
    const onMessage = () => {
      heard += 1;
    };
    const uplink = connectUplink({
      ...{ url, key, channel: "test", now: Date.now, onMessage },
      logger: createLogger({ level: "warn", destination: { write: () => {} } }),
      onState: (isConnected) => states.push(isConnected),
    });
    onTestFinished(() => uplink.close());
    await until(() => heard > 0, PATIENCE_MS);
    expect(heard).toBe(1);
    expect(states).not.toContain(false);
  });
});

describe("what a line may bring", () => {
  it("is all that is believed, however much, and a large message that is still on its way", () => {
    let floods = 0;
    const guard = new FloodGuard(1024 ** 2, () => {
      floods += 1;
    });
    let read = 0;
    for (let second = 0; second < 10; second += 1) {
      for (let frame = 0; frame < 10_000; frame += 1) {
        read += 1_100;
        guard.believe(1_000);
      }
      guard.look(read);
    }
    guard.look(read + 5 * 1024 ** 2);
    expect(floods).toBe(0);
    for (let second = 1; second < 10; second += 1) guard.look(read + second * 10 * 1024 ** 2);
    expect(floods).toBe(1);
  });

  it("is some of what is not believed, and no more a second", async () => {
    const said: string[] = [];
    const guard = new FloodGuard(0, (what) => said.push(what));
    for (let frame = 0; frame < 500; frame += 1) guard.refuse();
    expect(said).toEqual([]);
    for (let frame = 0; frame < 500; frame += 1) guard.refuse();
    expect(said).toHaveLength(1);
    const untimely = new FloodGuard(0, (what) => said.push(what));
    for (let frame = 0; frame < 50_000; frame += 1) untimely.refuse({ isUntimely: true });
    expect(said).toHaveLength(2);
  });
});
