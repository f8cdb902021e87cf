import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { freePort } from "../../src/db/index.ts";
import { until } from "./gateway.ts";

/** The NATS server itself; Debian has it as a package. */
export const hasNats = spawnSync("nats-server", ["--version"]).error === undefined;

const PATIENCE_MS = 30_000;

export interface NatsServer {
  /** With the credentials that it asks for. */
  url: string;
  /** Of somebody who may write and not read, or read and not write. */
  urlOf(whom: "deaf" | "mute"): string;
  port: number;
  stop(): Promise<void>;
  /** On the same port. */
  start(): Promise<void>;
}

const PASSWORD = "p@ss/word";
const USERS = `authorization { users = [
  { user: vautn, password: "${PASSWORD}" }
  { user: deaf, password: "${PASSWORD}", permissions: { subscribe: { deny: ">" } } }
  { user: mute, password: "${PASSWORD}", permissions: { publish: { deny: ">" } } }
] }`;

/** Listens on the loopback interface, and lets in who has the password. */
export async function startNats(): Promise<NatsServer> {
  const port = await freePort();
  let child: ChildProcess;
  async function start(): Promise<void> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-nats-"));
    const file = path.join(folder, "nats.conf");
    fs.writeFileSync(file, USERS);
    child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port), "-c", file], {
      stdio: "ignore",
    });
    await until(() => answers(port), PATIENCE_MS);
    fs.rmSync(folder, { recursive: true });
  }
  await start();
  const urlOf = (user: string) =>
    `nats://${user}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}`;
  return {
    url: urlOf("vautn"),
    urlOf,
    port,
    start,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** A line to a port of this machine that can be cut and joined again. */
export interface Line {
  port: number;
  cut(): void;
  join(): void;
  close(): Promise<void>;
}

export async function startLine(targetPort: number): Promise<Line> {
  const sockets = new Set<net.Socket>();
  let isCut = false;
  const server = net.createServer((near) => {
    const far = net.connect(targetPort, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one.on("error", () => {});
      one.once("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
    if (isCut) near.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as net.AddressInfo).port,
    cut,
    join() {
      isCut = false;
    },
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  };
}

async function answers(port: number): Promise<boolean> {
  const socket = net.connect(port, "127.0.0.1");
  try {
    await once(socket, "data");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
