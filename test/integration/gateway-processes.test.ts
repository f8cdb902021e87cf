import fs from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../../src/db/index.ts";
import { superviseRoles } from "../../src/platform/supervisor.ts";
import { RawClient, until } from "../support/gateway.ts";
import {
  createRealModules,
  type EnrolledDevice,
  type RealModules,
} from "../support/real-modules.ts";
import { silentLogger } from "../support/timeseries.ts";

const DEVICES = 16;
const PATIENCE_MS = 60_000;

let real: RealModules;
let supervisor: Awaited<ReturnType<typeof superviseRoles>>;
let port: number;
let devices: EnrolledDevice[];

beforeAll(async () => {
  real = await createRealModules();
  port = await freePort();
  const config = {
    ...real.config,
    ...{ roles: ["gateway"] as const, gatewayProcesses: 2, mqttPort: port },
  };
  devices = await Promise.all(
    Array.from({ length: DEVICES }, (_, index) => real.enroll(`p-${index}`)),
  );
  supervisor = await superviseRoles({
    ...{ config, stores: real.stores, logger: silentLogger, allowPrivateWebhooks: false },
  });
}, 120_000);
afterAll(async () => {
  await supervisor?.stop();
  await real?.close();
});

/** The role processes that this test has started through the supervisor. */
function gatewayPids(): number[] {
  const tasks = `/proc/${process.pid}/task`;
  return fs
    .readdirSync(tasks)
    .flatMap((task) => fs.readFileSync(`${tasks}/${task}/children`, "utf8").split(" "))
    .filter(Boolean)
    .map(Number)
    .filter((pid) => fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("role-process.ts"));
}

/** A device that is let in, however long the machine takes for it. */
async function connect(device: EnrolledDevice): Promise<RawClient> {
  const client = await RawClient.open(port, device);
  client.send({
    ...({ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion: 5 } as const),
    ...{ clean: true, keepalive: 600 },
  });
  expect((await client.next("connack", PATIENCE_MS)).reasonCode).toBe(0);
  return client;
}

/** As devices do: a killed process may still be taking its listening socket down. */
async function connectAgain(device: EnrolledDevice): Promise<RawClient> {
  let client: RawClient | undefined;
  await until(async () => {
    client = await connect(device).catch((error) => {
      if (error.code === "ECONNRESET" || error.code === "ECONNREFUSED") return undefined;
      throw error;
    });
    return client !== undefined;
  }, PATIENCE_MS);
  return client as RawClient;
}

describe("several gateway processes on one port", () => {
  it("share the devices, and one that dies takes its own along and comes back", async () => {
    const pids = gatewayPids();
    expect(pids).toHaveLength(2);
    const clients = await Promise.all(devices.map((one) => connect(one)));
    process.kill(pids[0] as number, "SIGKILL");
    // Each of them has either lost its connection or gets an answer.
    const lives = await Promise.all(
      clients.map((client) => {
        client.send({ cmd: "pingreq" });
        return client.next("pingresp", PATIENCE_MS).then(
          () => true,
          () => false,
        );
      }),
    );
    // The kernel gives each connection to one of the two: all sixteen at one are a chance in 32,768.
    const living = clients.filter((_, index) => lives[index]);
    expect(living.length).toBeGreaterThan(0);
    expect(living.length).toBeLessThan(DEVICES);
    // Who has lost its connection is served by the other process, as soon as the socket of the dead one is gone.
    const lost = devices.filter((_, index) => !lives[index]);
    const again = await Promise.all(lost.map((one) => connectAgain(one)));
    await until(() => gatewayPids().length === 2, PATIENCE_MS);
    expect(gatewayPids()).not.toContain(pids[0]);
    for (const client of living) expect(client.isClosed).toBe(false);
    for (const client of [...living, ...again]) client.destroy();
  });

  it("give a device one ticket to come back with", async () => {
    const client = await RawClient.open(port, devices[1] as EnrolledDevice);
    let tickets = 0;
    client.socket.on("session", () => {
      tickets += 1;
    });
    client.send({
      ...({ cmd: "connect", clientId: "c", protocolId: "MQTT", protocolVersion: 5 } as const),
      ...{ clean: true, keepalive: 600 },
    });
    await client.next("connack", PATIENCE_MS);
    expect(tickets).toBe(1);
    client.destroy();
  });

  it("take one device's session over from one another", async () => {
    const device = devices[0] as EnrolledDevice;
    // Wherever the kernel puts each of them, only the newest one lives on.
    const clients: RawClient[] = [];
    for (let count = 0; count < 6; count += 1) clients.push(await connect(device));
    await until(() => clients.slice(0, -1).every((client) => client.isClosed), PATIENCE_MS);
    const newest = clients.at(-1) as RawClient;
    newest.send({ cmd: "pingreq" });
    await newest.next("pingresp", PATIENCE_MS);
    newest.destroy();
  });
});
