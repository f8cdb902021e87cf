import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { THIN_INTERVALS, writeProvisioning } from "../src/agent/index.ts";
import { systemClock } from "../src/kernel/index.ts";
import { StubPlatform } from "../src/simulator/index.ts";
import { createTestPki } from "../test/support/device-pki.ts";
import type { ServerOrder } from "./mqtt-server.ts";

/**
 * What the bundled agent costs a device: its size, its memory, and what it sends and receives while
 * nothing happens, over real TLS and MQTT to the real gateway. The heartbeats of a month are not
 * waited for: a run with quick ones tells what each costs, and their number in a month is known.
 */
const MONTH_SECONDS = 30 * 86_400;
/** IPv4 and TCP with timestamps, for each segment and for its acknowledgement. */
const HEADER_BYTES = 52;
const GOALS = { memoryMb: 60, monthMb: 2, bundleKb: 1024 };
const THIN = { ...THIN_INTERVALS, reconnectsADay: 1 };
const BUNDLE = path.resolve(import.meta.dirname, "../dist/vautn-agent.mjs");

const LAUNCHER = path.resolve(import.meta.dirname, "../deploy/agent/launch");
const BARE_MS = 1_000;

/** Resident, the same with shared pages by halves and thirds, and what is nobody else's. */
interface Memory {
  residentMb: number;
  proportionalMb: number;
  ownMb: number;
}

interface Life {
  bytes: number;
  memory: Memory;
}

interface Line {
  port: number;
  bytes: number;
  segments: number;
  close(): void;
}

const { values } = parseArgs({ options: { heartbeats: { type: "string", default: "20" } } });
const heartbeats = Number(values.heartbeats);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-agent-"));
const pki = await createTestPki();
const gateway = fork(path.join(import.meta.dirname, "mqtt-server.ts"));
gateway.send({ ...pki.server, durable: false } satisfies ServerOrder);
const [{ port: gatewayPort }] = (await once(gateway, "message")) as [{ port: number }];
const line = await countingLine(gatewayPort);
let agent: ChildProcess | undefined;
try {
  // The gateway of the benchmarks knows devices by the name of the server that they asked for.
  const device = await pki.device("acme", "localhost");
  await writeProvisioning(path.join(folder, "identity"), {
    ...{ tenant: "acme", device: "localhost", product: "sensor", hardwareRevision: "r1" },
    mqttUrl: `mqtts://localhost:${line.port}`,
    httpsUrl: "https://localhost",
    ...{ key: device.key, certificate: device.cert, root: pki.root },
    trustRoot: new StubPlatform({ tenant: "acme", clock: systemClock }).trustRoot,
  });
  const quiet = await measure({ heartbeatIntervalSeconds: 3_600, telemetryIntervalSeconds: 3_600 });
  const beating = await measure({ heartbeatIntervalSeconds: 1, telemetryIntervalSeconds: 3_600 });
  const telling = await measure({ heartbeatIntervalSeconds: 3_600, telemetryIntervalSeconds: 1 });
  const perHeartbeat = (beating.bytes - quiet.bytes) / heartbeats;
  const perSample = (telling.bytes - quiet.bytes) / heartbeats;
  const month =
    (MONTH_SECONDS / THIN.heartbeatSeconds) * perHeartbeat +
    (MONTH_SECONDS / THIN.telemetrySeconds) * perSample +
    30 * THIN.reconnectsADay * quiet.bytes;
  print("agent-bundle", fs.statSync(BUNDLE).size / 1024, "KiB", GOALS.bundleKb, "goal 1 MiB");
  await printMemory(beating.memory);
  print("agent-connect-bytes", quiet.bytes, "bytes");
  print("agent-heartbeat-bytes", perHeartbeat, "bytes");
  print("agent-telemetry-bytes", perSample, "bytes");
  print("agent-idle-month-thin", month / 1024 ** 2, "MiB", GOALS.monthMb, "goal 2 MiB");
} finally {
  agent?.kill();
  line.close();
  gateway.kill();
  fs.rmSync(folder, { recursive: true, force: true });
}

/** One life of the agent from its start until so many seconds after it is connected. */
async function measure(config: object): Promise<Life> {
  const file = path.join(folder, "agent.json");
  const all = { provisioning: "identity", data: "data", thin: true, ...config };
  fs.writeFileSync(file, JSON.stringify(all));
  line.bytes = 0;
  line.segments = 0;
  const child = launch("agent", fs.readFileSync(BUNDLE, "utf8"), file);
  agent = child;
  while (line.bytes < 4_000) await pause(100);
  await pause(heartbeats * 1_000);
  const memory = memoryOf(child);
  const bytes = line.bytes + line.segments * 2 * HEADER_BYTES;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
  return { bytes, memory };
}

/** A program in the agent's place, started by the very launcher of a device. */
function launch(name: string, program: string, configFile: string): ChildProcess {
  const home = path.join(folder, name);
  fs.mkdirSync(home, { recursive: true });
  fs.writeFileSync(path.join(home, "current.mjs"), program);
  const places = { VAUTN_AGENT_HOME: home, VAUTN_AGENT_STATE: path.join(folder, "data") };
  return spawn("sh", [LAUNCHER, configFile], {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...places, VAUTN_NODE: process.execPath },
  });
}

function memoryOf(child: ChildProcess): Memory {
  const rollup = fs.readFileSync(`/proc/${child.pid}/smaps_rollup`, "utf8");
  const mb = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(rollup)?.[1]) / 1024;
  return { residentMb: mb("Rss"), proportionalMb: mb("Pss"), ownMb: mb("Anonymous") };
}

/** Beside what Node itself takes that has nothing to do but wait. */
async function printMemory(launched: Memory): Promise<void> {
  const bare = launch("bare", "console.log('up'); setTimeout(() => {}, 1e9);\n", "none");
  agent = bare;
  await once(bare.stdout as NodeJS.ReadableStream, "data");
  await pause(BARE_MS);
  const floor = memoryOf(bare);
  bare.kill();
  const of = `bare Node, ${Math.round(floor.residentMb)} MiB`;
  print("agent-memory-resident", launched.residentMb, "MiB", GOALS.memoryMb, "goal 60 MiB");
  print("agent-memory-resident-over-node", launched.residentMb, "MiB", floor.residentMb, of);
  print("agent-memory-proportional", launched.proportionalMb, "MiB");
  print("agent-memory-own", launched.ownMb, "MiB", floor.ownMb, "bare Node's own");
}

async function countingLine(upstreamPort: number): Promise<Line> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const upstream = net.connect(upstreamPort, "127.0.0.1");
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy()).on("close", () => to.destroy());
      from.on("data", (bytes) => {
        counted.bytes += bytes.length;
        counted.segments += Math.ceil(bytes.length / 1_400);
        to.write(bytes);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const counted: Line = {
    port: (server.address() as net.AddressInfo).port,
    bytes: 0,
    segments: 0,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
  return counted;
}

function print(name: string, value: number, unit: string, goal?: number, against?: string): void {
  const rounded = Math.round(value * 100) / 100;
  const ratio =
    goal === undefined ? {} : { ratio: Math.round((value / goal) * 100) / 100, against };
  console.log(JSON.stringify({ name, value: rounded, unit, ...ratio }));
}
