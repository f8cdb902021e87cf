// How long does a command take from the call of the API to the device? N devices are connected over
// mutual TLS, and M commands a second are sent to devices at random, E of them by each call.
// Usage: npm run bench:commands -- [--connections N] [--rate M,M] [--each E,E] [--seconds S] [--clients C]
//   [--answers] [--profile]
// The goal's own load is --connections 10000 --rate 1000. Several rates are sent one after the other to the
// same connections: what can the machine carry? --profile leaves the server's CPU profile.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import { parseArgs } from "node:util";
import { createTestPki } from "../test/support/device-pki.ts";
import type { ClientNews, ClientOrder } from "./commands-client.ts";
import type { Order, Ready } from "./commands-server.ts";
import { cpuByProcess } from "./process-figures.ts";

const { values: flags } = parseArgs({
  options: {
    connections: { type: "string", default: "300" },
    rate: { type: "string", default: "100" },
    /** Devices that one call names: an integration that sends much sends to many at once. */
    each: { type: "string", default: "1" },
    seconds: { type: "string", default: "5" },
    clients: { type: "string", default: "2" },
    /** Each device says in the end that it has done it. */
    answers: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
  },
});
const CONNECTIONS = Number(flags.connections);
const RATES = flags.rate.split(",").map(Number);
const EACH = flags.each.split(",").map(Number);
const SECONDS = Number(flags.seconds);
const CLIENTS = Number(flags.clients);
/** The goal of the gateway: p99 in milliseconds at 10,000 connected and 1,000 a second. */
const GOAL_P99_MS = 100;
const GOAL_RATE = 1_000;
/** The first calls of a process cost the compiling of its code: as many as will be measured. */
const WARM_UP_RATE = 500;
/** What is late is waited for: the next rate must not pay for it. */
const PATIENCE_MS = 90_000;
const TICK_MS = 2;
/** Calls under way: with 64, as it was, the caller's own queue was the most of what was measured. */
const MAX_CALLS = 512;

const pki = await createTestPki();
const server = start("commands-server.ts", flags.profile ? ["--cpu-prof"] : []);
const { key, cert } = pki.server;
server.send({ key, cert, ca: pki.root, devices: CONNECTIONS } satisfies Order);
const serverEnded = once(server, "exit").then(() => Promise.reject(new Error("the server ended")));
serverEnded.catch(() => {});
const [ready] = (await Promise.race([once(server, "message"), serverEnded])) as [Ready];
let latencies: number[] = [];
let accepted = 0;
let answers: number[] = [];
const clients = await connectAll(ready);
const agent = new http.Agent({ keepAlive: true, maxSockets: MAX_CALLS });
try {
  for (const each of EACH) {
    await measure(ready, WARM_UP_RATE, each);
    let carried = 0;
    for (const rate of RATES) {
      report({ rate, each }, await measure(ready, rate, each));
      if (quantile(latencies, 0.99) <= GOAL_P99_MS) carried = Math.max(carried, rate);
    }
    const load = { connections: CONNECTIONS, each, ratio: carried / GOAL_RATE, against: "goal" };
    const figure = { name: "command-rate-within-goal", value: carried, unit: "1/s" };
    console.log(JSON.stringify({ ...figure, ...load }));
  }
} finally {
  agent.destroy();
  for (const process of [...clients, server]) process.disconnect();
}

function start(file: string, execArgv: string[] = []): ChildProcess {
  const stdio = ["ignore", "inherit", "inherit", "ipc"] as ["ignore", "inherit", "inherit", "ipc"];
  return fork(new URL(`./${file}`, import.meta.url), { stdio, execArgv });
}

interface Measured {
  total: number;
  /** Milliseconds of CPU by whose it is. */
  cpuMs: { server: number; database: number; generator: number };
}

async function measure(server: Ready, rate: number, each: number): Promise<Measured> {
  [latencies, answers, accepted] = [[], [], 0];
  const before = usage();
  const total = await sendAll(server, rate, each);
  const deadline = performance.now() + PATIENCE_MS;
  while (latencies.length < total && performance.now() < deadline) await pause(50);
  const after = usage();
  const spent = (name: keyof Measured["cpuMs"]) => after[name] - before[name];
  const cpuMs = {
    server: spent("server"),
    database: spent("database"),
    generator: spent("generator"),
  };
  return { total, cpuMs };
}

function usage(): Measured["cpuMs"] {
  const spent = { server: 0, database: 0, generator: 0 };
  for (const [name, cpuMs] of cpuByProcess(process.pid)) {
    if (name === "postgres") spent.database += cpuMs;
    else if (name === "commands-server.ts") spent.server += cpuMs;
    else spent.generator += cpuMs;
  }
  return spent;
}

async function connectAll({ mqttPort: port }: Ready): Promise<ChildProcess[]> {
  const credentials = await pki.device("bench", "d-1");
  const share = Math.ceil(CONNECTIONS / CLIENTS);
  const all = Array.from({ length: CLIENTS }, async (_, index) => {
    const client = start("commands-client.ts");
    const first = 1 + index * share;
    const count = Math.min(share, CONNECTIONS - first + 1);
    client.send({
      port,
      first,
      count,
      answers: flags.answers,
      ...credentials,
    } satisfies ClientOrder);
    const failed = once(client, "exit").then(() => Promise.reject(new Error("a client ended")));
    await Promise.race([once(client, "message"), failed]);
    failed.catch(() => {});
    client.on("message", (news: ClientNews) => {
      if (news.kind === "arrived") latencies.push(...news.latenciesMs);
    });
    return client;
  });
  return Promise.all(all);
}

/** Sends commands at the rate, whether or not earlier calls are answered; returns how many. */
async function sendAll({ apiUrl, apiKey }: Ready, rate: number, each: number): Promise<number> {
  const url = `${apiUrl}/api/v1/tenants/bench/commands`;
  const options = {
    method: "POST",
    agent,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
  };
  const calls = Math.ceil((rate * SECONDS) / each);
  const started = performance.now();
  for (let number = 0; number < calls; ) {
    const due = Math.min(
      calls,
      Math.floor(((performance.now() - started) / 1_000) * (rate / each)),
    );
    for (; number < due; number += 1) call(url, options, number, each);
    await pause(TICK_MS);
  }
  return calls * each;
}

function call(url: string, options: http.RequestOptions, number: number, each: number): void {
  // Neighbours from a place at random: none comes twice in a call.
  const first = Math.floor(Math.random() * CONNECTIONS);
  const devices = Array.from(
    { length: each },
    (_, index) => `d-${1 + ((first + index) % CONNECTIONS)}`,
  );
  const at = performance.now();
  const args = { number, at: Number(process.hrtime.bigint() / 1_000n) };
  const request = http.request(url, options, (response) => {
    response.resume();
    response.on("end", () => {
      answers.push(performance.now() - at);
      if (response.statusCode === 201) accepted += each;
    });
  });
  request.on("error", () => {});
  request.end(JSON.stringify({ devices, name: "ping", args }));
}

function report(sent: { rate: number; each: number }, { total, cpuMs }: Measured): void {
  const load = { connections: CONNECTIONS, ...sent };
  const line = (name: string, value: number, unit: string, more: object = {}) =>
    console.log(JSON.stringify({ name, value: Math.round(value * 100) / 100, unit, ...more }));
  line("command-to-device-p50", quantile(latencies, 0.5), "ms", load);
  const p99 = quantile(latencies, 0.99);
  line("command-to-device-p99", p99, "ms", { ...load, ratio: p99 / GOAL_P99_MS, against: "goal" });
  line("command-api-p50", quantile(answers, 0.5), "ms", load);
  line("command-api-p99", quantile(answers, 0.99), "ms", load);
  line("command-cpu-of-server", cpuMs.server / total, "ms", load);
  line("command-cpu-of-database", cpuMs.database / total, "ms", load);
  line("command-cpu-of-generator", cpuMs.generator / total, "ms", load);
  line("commands-accepted", accepted, "", { of: total });
  line("commands-delivered", latencies.length, "", { of: accepted });
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
