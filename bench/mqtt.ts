// What do connections and messages cost? Our gateway and mosquitto, each in a process of its own on one
// core, the generator on the other, in the same run and under the same load.
// Usage: npm run bench:mqtt -- [--quick] [--only connects,messages,growth,storm,commands] [--connections N]
//   [--alone] [--deadline SECONDS]
// Each part alone takes some minutes. Of the messages, messages-no-store and messages-durable are the
// halves; commands have a benchmark of their own, which runs here last.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { parseArgs } from "node:util";
import { fullJitter } from "../src/agent/connection/back-off.ts";
import { CONNECTION_DEFAULTS } from "../src/agent/connection/connection.ts";
import { systemRandom } from "../src/kernel/random.ts";
import { deviceTopic } from "../src/protocol/index.ts";
import { createTestPki } from "../test/support/device-pki.ts";
import {
  burst,
  connectMany,
  connectOne,
  type Device,
  drained,
  publishFor,
  type Target,
} from "./mqtt-client.ts";
import { Fleets } from "./mqtt-fleets.ts";
import {
  hasMosquitto,
  PEER,
  SERVER_CORE,
  type Server,
  settle,
  startMosquitto,
  startOurs,
} from "./mqtt-peers.ts";
import {
  cpuMsOf,
  memoryKbOf,
  openFilesLimit,
  ownCpuMs,
  pinMyself,
  unpinned,
} from "./process-figures.ts";

const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "connects,messages,growth,storm,commands" },
    connections: { type: "string" },
    publishers: { type: "string" },
    /** Seconds after which a storm ends, whoever is still out; the peer may need more than ours. */
    deadline: { type: "string", default: "120" },
    /** Measures ours without the peer: for looking at one change after the other. */
    alone: { type: "boolean", default: false },
    /** What the devices offer for the key exchange. */
    groups: { type: "string", default: "X25519:P-256" },
  },
});
const sections = flags.only.split(",");
const CONNECTIONS = Number(flags.connections ?? (flags.quick ? 500 : 5_000));
const PUBLISHERS = Number(flags.publishers ?? (flags.quick ? 200 : 500));
const DURATION_MS = flags.quick ? 3_000 : 8_000;
/** Of ten values each: less than the platform queues for a store, so that none of them is dropped. */
const BURST_MESSAGES = 40_000;
const BURST_EACH = Math.floor(BURST_MESSAGES / PUBLISHERS);
const BURSTS = flags.quick ? 2 : 5;
const STORM = flags.quick ? 1_000 : 10_000;
const CONCURRENCY = 32;
const WARM_UP = 1_000;
/** On a machine with other work a connection may wait for longer than its server's patience. */
const TRIES = 20;
/** A process has more files open than its connections. */
const SPARE_FILES = 500;
/** Gateways on one port, as VAUTN_GATEWAY_PROCESSES has them: of one a process's files are the end. */
const GATEWAYS = 2;
const GROWTH = flags.quick ? [250, 500, 1_000] : [1_000, 5_000, 20_000];
/** How our agent waits for an answer, and before it tries again. */
const { connectTimeoutMs: PATIENCE_MS, backOff: BACK_OFF } = CONNECTION_DEFAULTS;
/** The peer's queue of the kernel holds a hundred: the others come again by ever longer turns. */
const STORM_DEADLINE_MS = Number(flags.deadline) * 1_000;
const COMMANDS = {
  connections: flags.quick ? 1_000 : 10_000,
  rate: "100,200,500,1000",
  each: "1,10",
};

const pki = await createTestPki();
const certificate = await pki.device("bench", "d-1");
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-mqtt-"));
const wasPinned = pinMyself(1 - SERVER_CORE);
if (!wasPinned) console.error("taskset is missing: server and generator share all cores");
const withPeer = !flags.alone && hasMosquitto();
if (!withPeer && !flags.alone)
  console.error(`skipped: ${PEER} is not installed, so nothing is compared`);
try {
  if (sections.includes("connects")) await compare("mqtt", connects, false);
  const isAsked = (...names: string[]) => names.some((name) => sections.includes(name));
  if (isAsked("messages", "messages-no-store")) await compare("mqtt.no-store", messages, false);
  if (isAsked("messages", "messages-durable")) await compare("mqtt", messages, true);
  if (sections.includes("growth")) await compare("mqtt.growth", growth, false, GATEWAYS);
  if (sections.includes("storm")) await compare("mqtt.storm", storm, false);
  if (sections.includes("commands")) commands();
} finally {
  fs.rmSync(directory, { recursive: true, force: true });
}

/** The API, the queue and the gateway share all cores with who calls them: no peer has the like. */
function commands(): void {
  const script = path.join(import.meta.dirname, "commands.ts");
  const order = Object.entries(COMMANDS).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const [program, ...rest] = [...unpinned(), process.execPath, script, ...order];
  const { status } = spawnSync(program as string, rest, { stdio: "inherit" });
  if (status !== 0) throw new Error("the benchmark of commands has failed");
}

interface Figure {
  value: number;
  unit: string;
  /** What our ratio to the peer should be: at most, or at least. */
  goal?: string;
}

/** Measures ours, then the peer, and prints a line for each figure. */
async function compare(
  prefix: string,
  measure: (server: Server) => Promise<Record<string, Figure>>,
  durable: boolean,
  processes = 1,
): Promise<void> {
  const ours = await withServer(await startOurs(pki, durable, { processes }), measure);
  // The peer takes its time, and may not come to an end: what is known is said.
  for (const [name, { value, unit }] of Object.entries(ours)) {
    console.error(`${prefix}.${name} ${round(value)} ${unit}`);
  }
  const theirs = withPeer && (await withServer(await startMosquitto(pki, directory), measure));
  for (const [name, { value, unit, goal }] of Object.entries(ours)) {
    const other = theirs ? theirs[name] : undefined;
    const line = { name: `${prefix}.${name}`, value: round(value), unit };
    const ratio = other ? round(value / other.value) : null;
    const against = other ? PEER : null;
    console.log(JSON.stringify({ ...line, ratio, against, ...(goal ? { goal } : {}) }));
  }
}

async function withServer<T>(server: Server, work: (server: Server) => Promise<T>): Promise<T> {
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

function targetOf({ port }: Server): Target {
  const { key, cert } = certificate;
  return {
    port,
    context: tls.createSecureContext({ key, cert, ecdhCurve: flags.groups }),
    topic: (number) => deviceTopic({ tenantId: "bench", deviceId: `d-${number}` }, "telemetry"),
  };
}

/**
 * The first connections are paid for by compilers and caches, and are not counted: a gateway lives for
 * weeks. After 200 of them, as it was, a connection cost half as much again as after a thousand.
 */
async function warmUp(target: Target): Promise<void> {
  const load = { first: 1, count: WARM_UP, concurrency: CONCURRENCY, tries: TRIES };
  await close(await connectMany(target, load));
}

async function connects(server: Server): Promise<Record<string, Figure>> {
  const target = targetOf(server);
  await warmUp(target);
  const load = { first: WARM_UP + 1, count: CONNECTIONS, concurrency: CONCURRENCY };
  const before = await server.memoryKb();
  let devices: Device[] = [];
  const full = await timed(server, async () => {
    devices = await connectMany(target, load);
  });
  const idle = (await server.memoryKb()) - before;
  const tickets = devices.map((one) => one.ticket);
  await close(devices);
  const resumed = await timed(server, async () => {
    devices = await connectMany(target, { ...load, tickets });
  });
  const notResumed = devices.filter((one) => !one.wasResumed).length;
  if (notResumed > 0) console.error(`${notResumed} of ${CONNECTIONS} sessions were not resumed`);
  await close(devices);
  return {
    "full-connect-cpu": { value: full.cpuMs / CONNECTIONS, unit: "ms", goal: "<= 1" },
    "resumed-connect-cpu": { value: resumed.cpuMs / CONNECTIONS, unit: "ms", goal: "<= 1" },
    "full-connects": { value: CONNECTIONS / full.seconds, unit: "1/s", goal: ">= 1" },
    "full-connects-of-a-core": { value: (CONNECTIONS * 1_000) / full.cpuMs, unit: "1/s of CPU" },
    "resumed-connects": { value: CONNECTIONS / resumed.seconds, unit: "1/s" },
    "idle-connection-memory": { value: idle / CONNECTIONS, unit: "KB", goal: "<= 1.5" },
  };
}

async function messages(server: Server): Promise<Record<string, Figure>> {
  const target = targetOf(server);
  const first = 1;
  const devices = await connectMany(target, { first, count: PUBLISHERS, concurrency: CONCURRENCY });
  const figures: Record<string, Figure> = {};
  const add = (name: string, goal: string, count: number, { cpuMs, ownMs, seconds }: Spent) => {
    figures[name] = { value: count / seconds, unit: "messages/s", goal };
    figures[`${name}-of-a-core`] = { value: (count * 1_000) / cpuMs, unit: "messages/s of CPU" };
    figures[`${name}-cpu`] = { value: (ownMs * 1_000) / count, unit: "us/message" };
    if (cpuMs === ownMs) return;
    figures[`${name}-cpu-of-store`] = {
      value: ((cpuMs - ownMs) * 1_000) / count,
      unit: "us/message",
    };
  };
  const number = first + PUBLISHERS;
  const probe = { device: await connectOne(target, number), number };
  // A message of QoS 0 counts when it has been stored, not when it has been read.
  const bursts = async () => {
    count = 0;
    for (let round = 0; round < BURSTS; round += 1) {
      count += await burst(target, devices, { first, each: BURST_EACH });
      await drained(target, probe);
    }
  };
  let count = 0;
  // As long as what is measured: the first messages of a process cost the compiling of its code.
  await bursts();
  const spent = await timed(server, bursts);
  add("qos0", ">= 0.7", count, spent);
  await publishFor(target, devices, { first, window: 1, durationMs: 1_000 });
  for (const [window, goal] of [
    [1, ">= 0.5"],
    [10, ">= 1"],
  ] as const) {
    const load = { first, window, durationMs: DURATION_MS };
    const work = await timed(server, async () => {
      count = await publishFor(target, devices, load);
    });
    add(`qos1-window-${window}`, goal, count, work);
  }
  await close([...devices, probe.device]);
  return figures;
}

/** Memory and CPU at several sizes, and the line through them. */
async function growth(server: Server): Promise<Record<string, Figure>> {
  await warmUp(targetOf(server));
  const room = openFilesLimit() - SPARE_FILES;
  const largest = Math.min(Math.max(...GROWTH), flags.connections ? CONNECTIONS : Infinity);
  const { key, cert } = certificate;
  const order = { port: server.port, key, cert, groups: flags.groups, core: 1 - SERVER_CORE };
  const fleets = new Fleets(order, largest, room);
  const before = await server.memoryKb();
  const memory: [number, number][] = [[0, 0]];
  const cpu: [number, number][] = [[0, 0]];
  const figures: Record<string, Figure> = {};
  let cpuMs = 0;
  for (const wanted of GROWTH) {
    const size = Math.min(wanted, room * server.processes, largest);
    if (size < wanted) console.error(`${server.name}: ${size} instead of ${wanted} connections`);
    const first = WARM_UP + 1 + fleets.connected;
    // One whose SYN the kernel has dropped asks anew, and does not wait for the kernel's next turn.
    const load = { first, concurrency: CONCURRENCY, tries: TRIES, patienceMs: PATIENCE_MS };
    const spent = await timed(server, () => fleets.connect(size - fleets.connected, load));
    cpuMs += spent.cpuMs;
    const kb = (await server.memoryKb()) - before;
    memory.push([size, kb]);
    cpu.push([size, cpuMs]);
    figures[`memory-at-${size}`] = { value: kb / 1_024, unit: "MB" };
    figures[`cpu-at-${size}`] = { value: cpuMs, unit: "ms" };
    console.error(
      `${server.name}: ${size} in, ${round(kb / size)} KB and ${round(cpuMs / size)} ms each`,
    );
    if (size < wanted) break;
  }
  await fleets.close();
  const [kb, ms] = [slopeOf(memory), slopeOf(cpu)];
  figures["memory-slope"] = { value: kb.slope, unit: "KB/connection", goal: "<= 1.5" };
  figures["memory-fit"] = { value: kb.fit, unit: "R²" };
  figures["cpu-slope"] = { value: ms.slope, unit: "ms/connection", goal: "<= 1" };
  figures["cpu-fit"] = { value: ms.fit, unit: "R²" };
  return figures;
}

/** Every device at once; who is turned away, or waits in vain, comes again as our agent would. */
async function storm(server: Server): Promise<Record<string, Figure>> {
  const target = targetOf(server);
  await warmUp(target);
  const before = await server.memoryKb();
  const waits: number[] = [];
  let [retries, mostTries] = [0, 0];
  const devices: Device[] = [];
  const started = performance.now();
  const since = () => performance.now() - started;
  const enter = async (number: number) => {
    for (let attempt = 0; since() < STORM_DEADLINE_MS; attempt += 1) {
      const patienceMs = Math.min(PATIENCE_MS, STORM_DEADLINE_MS - since());
      const device = await connectOne(target, number, { patienceMs }).catch(() => undefined);
      if (!device) {
        retries += 1;
        await pause(fullJitter(systemRandom, attempt, BACK_OFF));
        continue;
      }
      waits.push(since());
      mostTries = Math.max(mostTries, attempt + 1);
      devices.push(device);
      return;
    }
  };
  const spent = await timed(server, async () => {
    await Promise.all(Array.from({ length: STORM }, (_, index) => enter(WARM_UP + 1 + index)));
  });
  const peak = memoryKbOf(server.pid, "peak") - before;
  const idle = (await server.memoryKb()) - before;
  // Who is in has been kept: none of those who came first was lost to the later ones.
  const lost = devices.filter(({ socket }) => socket.destroyed).length;
  await close(devices);
  const inAfter = (share: number) => (waits[Math.ceil(STORM * share) - 1] ?? Number.NaN) / 1_000;
  return {
    "all-in": { value: waits.length < STORM ? spent.seconds : inAfter(1), unit: "s" },
    "half-in": { value: inAfter(0.5), unit: "s" },
    "left-out": { value: STORM - waits.length, unit: `devices after ${spent.seconds.toFixed()} s` },
    "lost-again": { value: lost, unit: "devices" },
    "connect-cpu": { value: spent.cpuMs / waits.length, unit: "ms" },
    "turned-away": { value: retries, unit: "connections" },
    "most-tries": { value: mostTries, unit: "connections of one device" },
    "peak-memory": { value: peak / STORM, unit: "KB/connection" },
    "memory-after": { value: idle / waits.length, unit: "KB/connection" },
  };
}

/** Least squares through the points. */
function slopeOf(points: readonly [number, number][]): { slope: number; fit: number } {
  const mean = (index: 0 | 1) => points.reduce((sum, one) => sum + one[index], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [xy, xx, yy] = [0, 0, 0];
  for (const [x, y] of points) {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
  }
  return { slope: xy / xx, fit: xy ** 2 / (xx * yy) };
}

interface Spent {
  /** Of the server and of the store that it has started. */
  cpuMs: number;
  /** Of the server's own process. */
  ownMs: number;
  seconds: number;
}

async function timed({ pid }: Server, work: () => Promise<void>): Promise<Spent> {
  const [cpu, own, started] = [cpuMsOf(pid), ownCpuMs(pid), performance.now()];
  await work();
  const seconds = (performance.now() - started) / 1_000;
  return { cpuMs: cpuMsOf(pid) - cpu, ownMs: ownCpuMs(pid) - own, seconds };
}

async function close(devices: readonly Device[]): Promise<void> {
  for (const { socket } of devices) socket.destroy();
  await settle();
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
