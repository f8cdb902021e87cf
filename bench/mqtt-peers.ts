// The two servers of bench/mqtt.ts, each in a process of its own on the server's core.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import type { TestPki } from "../test/support/device-pki.ts";
import type { ServerOrder } from "./mqtt-server.ts";
import { memoryKbOf, pinned, treeOf } from "./process-figures.ts";

/** The generator has the other one. */
export const SERVER_CORE = 0;
export const PEER = "mosquitto";
const OPENSSL_CONF = path.resolve(import.meta.dirname, "../src/platform/openssl.cnf");
const SETTLE_MS = 1_000;

export interface Server {
  name: string;
  pid: number;
  port: number;
  /** That share its port; `pid` is the first, and the others are its children. */
  processes: number;
  /** Resident memory in KB, after the server has cleared away what it no longer uses. */
  memoryKb(): Promise<number>;
  stop(): Promise<void>;
}

/** Our gateway; `durable` with the real time-series store, else with stores that take everything. */
export async function startOurs(
  { server }: TestPki,
  durable: boolean,
  more: Pick<ServerOrder, "declared" | "rollsUp" | "processes"> = {},
): Promise<Server> {
  const script = path.join(import.meta.dirname, "mqtt-server.ts");
  const flags = [...(process.env.BENCH_NODE_FLAGS?.split(" ") ?? []), "--expose-gc"];
  const [program, ...rest] = [...pinned(SERVER_CORE), process.execPath, ...flags, script];
  const child = spawn(program as string, rest, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    // As the supervisor starts a gateway.
    env: { OPENSSL_CONF, ...process.env },
  });
  child.send({ ...server, durable, ...more } satisfies ServerOrder);
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  const pid = child.pid as number;
  const { processes = 1 } = more;
  return {
    name: "ours",
    pid,
    port,
    processes,
    async memoryKb() {
      const gateways = processes > 1 ? treeOf(pid) : [pid];
      for (const one of gateways) process.kill(one, "SIGUSR2");
      await settle();
      return gateways.reduce((sum, one) => sum + memoryKbOf(one), 0);
    },
    stop: () => stop(child),
  };
}

export function hasMosquitto(): boolean {
  return mosquittoProgram() !== undefined;
}

function mosquittoProgram(): string | undefined {
  return ["mosquitto", "/usr/sbin/mosquitto"].find(
    (name) => spawnSync(name, ["-h"]).error === undefined,
  );
}

export async function startMosquitto({ server, root }: TestPki, directory: string) {
  const port = await freePort();
  const file = (name: string, text: string) => {
    fs.writeFileSync(path.join(directory, name), text);
    return path.join(directory, name);
  };
  const lines = [
    `listener ${port} 127.0.0.1`,
    `cafile ${file("ca.pem", root)}`,
    `certfile ${file("server.pem", server.cert)}`,
    `keyfile ${file("server.key", server.key)}`,
    "require_certificate true",
    "allow_anonymous true",
    "max_connections -1",
    "set_tcp_nodelay true",
    "log_dest none",
    ...(process.getuid?.() === 0 ? ["user root"] : []),
  ];
  const configuration = file("mosquitto.conf", `${lines.join("\n")}\n`);
  const [program, ...rest] = [...pinned(SERVER_CORE), mosquittoProgram(), "-c", configuration];
  const child = spawn(program as string, rest as string[], { stdio: "ignore" });
  await untilListening(port);
  const pid = child.pid as number;
  const server_: Server = {
    name: PEER,
    pid,
    port,
    processes: 1,
    async memoryKb() {
      await settle();
      return memoryKbOf(pid);
    },
    stop: () => stop(child),
  };
  return server_;
}

export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  return port;
}

async function untilListening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const socket = net.connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nobody listens on port ${port}`);
}
