import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { freePort } from "../../src/db/index.ts";
import { until } from "./gateway.ts";

/** The NATS server itself; Debian has it as a package. */
export const hasNats = spawnSync("nats-server", ["--version"]).error === undefined;

const PATIENCE_MS = 30_000;

export interface NatsServer {
  /** With the credentials that it asks for. */
  url: string;
  port: number;
  stop(): Promise<void>;
  /** On the same port. */
  start(): Promise<void>;
}

/** Listens on the loopback interface, and lets in who has the password. */
export async function startNats(): Promise<NatsServer> {
  const port = await freePort();
  let child: ChildProcess;
  async function start(): Promise<void> {
    const credentials = ["--user", "vautn", "--pass", "p@ss/word"];
    child = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port), ...credentials], {
      stdio: "ignore",
    });
    await until(() => answers(port), PATIENCE_MS);
  }
  await start();
  return {
    url: `nats://vautn:${encodeURIComponent("p@ss/word")}@127.0.0.1:${port}`,
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
