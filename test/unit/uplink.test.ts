import { randomBytes } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { connectUplink } from "../../src/bus/uplink.ts";
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
});
