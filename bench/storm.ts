// What does it cost when every device connects at once? Our gateway and mosquitto, each in a process
// of its own, in the same run and under the same load. Usage: npm run bench:storm -- [--connections N]
import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { parseArgs } from "node:util";
import { deviceTopic } from "../src/protocol/index.ts";
import { createTestPki, type TestPki } from "../test/support/device-pki.ts";
import { connectMany, type Device, publishFor, type Target } from "./storm-client.ts";

const { values: flags } = parseArgs({
  options: {
    connections: { type: "string", default: "1000" },
    concurrency: { type: "string", default: "32" },
    publishers: { type: "string", default: "50" },
    seconds: { type: "string", default: "3" },
  },
});
const CONNECTIONS = Number(flags.connections);
const CONCURRENCY = Number(flags.concurrency);
const PUBLISHERS = Math.min(Number(flags.publishers), CONNECTIONS);
const DURATION_MS = Number(flags.seconds) * 1_000;
const SETTLE_MS = 1_000;
const PEER = "mosquitto";
const CLOCK_TICKS = Number(spawnSync("getconf", ["CLK_TCK"]).stdout?.toString() || 100);

interface Server {
  pid: number;
  port: number;
  stop(): Promise<void>;
}

type Figures = Record<keyof typeof UNITS, number>;

/** Names of the figures, with their units. */
const UNITS = {
  "full-connect-cpu": "ms",
  "full-connects": "1/s",
  "resumed-connect-cpu": "ms",
  "resumed-connects": "1/s",
  "idle-connection-memory": "KB",
  "qos1-window-1": "messages/s",
  "qos1-window-1-cpu": "us/message",
  "qos1-window-10": "messages/s",
  "qos1-window-10-cpu": "us/message",
} as const;

const pki = await createTestPki();
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-storm-"));
try {
  const ours = await measure(await startOurs(pki));
  const theirs = await startMosquitto(pki);
  report(ours, theirs && (await measure(theirs)));
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}

async function measure(server: Server): Promise<Figures> {
  const device = await pki.device("bench", "d-1");
  const target: Target = {
    port: server.port,
    context: tls.createSecureContext(device),
    topic: (number) => deviceTopic({ tenantId: "bench", deviceId: `d-${number}` }, "telemetry"),
  };
  const load = { count: CONNECTIONS, concurrency: CONCURRENCY };
  // The first connections warm up compilers and caches; they are not counted.
  const warm = { count: 100, concurrency: CONCURRENCY };
  await close(await connectMany(target, { ...warm, first: 1 }));
  const before = await memoryOf(server.pid);
  const first = warm.count + 1;
  let devices: Device[] = [];
  const full = await timed(server.pid, async () => {
    devices = await connectMany(target, { ...load, first });
  });
  await settle();
  const idle = await memoryOf(server.pid);
  const tickets = devices.map((one) => one.ticket);
  await close(devices);
  const resumed = await timed(server.pid, async () => {
    devices = await connectMany(target, { ...load, first, tickets });
  });
  const notResumed = devices.filter((one) => !one.wasResumed).length;
  if (notResumed > 0) console.error(`${notResumed} of ${CONNECTIONS} sessions were not resumed`);
  const publishers = devices.slice(0, PUBLISHERS);
  const rates: number[] = [];
  const costs: number[] = [];
  for (const window of [1, 10]) {
    let rate = 0;
    const { cpuMs, seconds } = await timed(server.pid, async () => {
      rate = await publishFor(target, publishers, { first, window, durationMs: DURATION_MS });
    });
    rates.push(rate);
    costs.push((cpuMs * 1_000) / (rate * seconds));
  }
  await close(devices);
  await server.stop();
  return {
    "full-connect-cpu": full.cpuMs / CONNECTIONS,
    "full-connects": CONNECTIONS / full.seconds,
    "resumed-connect-cpu": resumed.cpuMs / CONNECTIONS,
    "resumed-connects": CONNECTIONS / resumed.seconds,
    "idle-connection-memory": (idle - before) / CONNECTIONS,
    "qos1-window-1": rates[0] as number,
    "qos1-window-1-cpu": costs[0] as number,
    "qos1-window-10": rates[1] as number,
    "qos1-window-10-cpu": costs[1] as number,
  };
}

function report(ours: Figures, theirs: Figures | undefined): void {
  for (const [name, unit] of Object.entries(UNITS) as [keyof Figures, string][]) {
    const ratio = theirs ? round(ours[name] / theirs[name]) : null;
    const line = { name: `storm.${name}`, value: round(ours[name]), unit, ratio };
    console.log(JSON.stringify({ ...line, against: theirs ? PEER : null }));
  }
}

async function startOurs({ server }: TestPki): Promise<Server> {
  const child = fork(path.join(import.meta.dirname, "storm-server.ts"), {
    execArgv: ["--expose-gc"],
  });
  child.send(server);
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return { pid: child.pid as number, port, stop: () => stop(child) };
}

async function startMosquitto({ server, root }: TestPki): Promise<Server | undefined> {
  const program = ["mosquitto", "/usr/sbin/mosquitto"].find(
    (name) => spawnSync(name, ["-h"]).error === undefined,
  );
  if (!program) {
    console.error(`skipped: ${PEER} is not installed, so there is nothing to compare with`);
    return undefined;
  }
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
  const child = spawn(program, ["-c", file("mosquitto.conf", `${lines.join("\n")}\n`)], {
    stdio: "ignore",
  });
  await untilListening(port);
  return { pid: child.pid as number, port, stop: () => stop(child) };
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

async function timed(pid: number, work: () => Promise<void>) {
  const [cpu, started] = [cpuMsOf(pid), performance.now()];
  await work();
  const seconds = (performance.now() - started) / 1_000;
  return { cpuMs: cpuMsOf(pid) - cpu, seconds };
}

/** User and system time of a process, from /proc/<pid>/stat. */
function cpuMsOf(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / CLOCK_TICKS;
}

/** Resident memory of a process in KB, after it has cleared away what it no longer uses. */
async function memoryOf(pid: number): Promise<number> {
  if (fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("storm-server")) {
    process.kill(pid, "SIGUSR2");
    await settle();
  }
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

async function close(devices: readonly Device[]): Promise<void> {
  for (const { socket } of devices) socket.destroy();
  await settle();
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
