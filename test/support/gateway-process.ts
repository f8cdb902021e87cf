import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import path from "node:path";
import type { LocalBus } from "../../src/bus/index.ts";
import type { Config } from "../../src/kernel/config.ts";
import type { FromRoleProcess, ToRoleProcess } from "../../src/platform/messages.ts";
import type { StoreAddresses } from "../../src/platform/stores.ts";

const ENTRY = path.resolve(import.meta.dirname, "../../src/platform/role-process.ts");

export interface GatewayProcess {
  port: number;
  /** Passes a message of another process on, as the supervisor does. */
  deliver: LocalBus["deliver"];
  stop(): Promise<void>;
}

/** A gateway as the supervisor starts it: a process of its own, on a port of its own. */
export async function startGatewayProcess(
  name: string,
  config: Config,
  stores: StoreAddresses,
): Promise<GatewayProcess> {
  const port = await freePort();
  const child = fork(ENTRY, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const exited = once(child, "exit");
  const send = (message: ToRoleProcess) => child.connected && child.send(message);
  send({
    kind: "start",
    config: { ...config, mqttPort: port },
    stores,
    roles: ["gateway"],
    processName: name,
    allowPrivateWebhooks: false,
  });
  await ready(child);
  return {
    port,
    deliver: (subject, message) => send({ kind: "bus", subject, message }),
    async stop() {
      send({ kind: "stop" });
      await exited;
    },
  };
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.on("message", (message: FromRoleProcess) => {
      if (message.kind === "ready") resolve();
      if (message.kind === "failed") reject(new Error(message.message));
    });
    child.once("exit", () => reject(new Error("the gateway ended while it was starting")));
  });
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
