// How long does a command take from the call of the API to the device? N devices are connected over
// mutual TLS, and M commands a second are sent to devices at random, each by a call of its own.
// Usage: npm run bench:commands -- [--connections N] [--rate M] [--seconds S]
import { fork } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import tls from "node:tls";
import { parseArgs } from "node:util";
import mqttPacket, { type Packet } from "mqtt-packet";
import { deviceTopic } from "../src/protocol/index.ts";
import { createTestPki } from "../test/support/device-pki.ts";
import type { Order, Ready } from "./commands-server.ts";
import { connectMany, type Device } from "./storm-client.ts";

const { values: flags } = parseArgs({
  options: {
    connections: { type: "string", default: "300" },
    rate: { type: "string", default: "100" },
    seconds: { type: "string", default: "5" },
  },
});
const CONNECTIONS = Number(flags.connections);
const RATE = Number(flags.rate);
const SECONDS = Number(flags.seconds);
const CONCURRENT_CONNECTS = 32;
/** The goal of the gateway: p99 in milliseconds at 10,000 connected and 1,000 a second. */
const GOAL_P99_MS = 100;
const PATIENCE_MS = 30_000;
const TICK_MS = 10;

const pki = await createTestPki();
const file = new URL("./commands-server.ts", import.meta.url);
const child = fork(file, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
const { key, cert } = pki.server;
child.send({ key, cert, ca: pki.root, devices: CONNECTIONS } satisfies Order);
const [ready] = (await once(child, "message")) as [Ready];
const sentAt = new Map<number, number>();
const latencies: number[] = [];
let accepted = 0;
const answers: number[] = [];
const devices = await connectAll(ready);
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
try {
  const total = await sendAll(ready);
  const deadline = performance.now() + PATIENCE_MS;
  while (latencies.length < total && performance.now() < deadline) await pause(TICK_MS);
  report(total);
} finally {
  for (const { socket } of devices) socket.destroy();
  agent.destroy();
  child.disconnect();
}

async function connectAll({ mqttPort }: Ready): Promise<Device[]> {
  const target = {
    port: mqttPort,
    context: tls.createSecureContext(await pki.device("bench", "d-1")),
    topic: (number: number) => topicOf(number),
  };
  const load = { first: 1, count: CONNECTIONS, concurrency: CONCURRENT_CONNECTS };
  const connected = await connectMany(target, load);
  await Promise.all(connected.map(({ socket }, index) => listen(socket, index + 1)));
  return connected;
}

function topicOf(number: number): string {
  return deviceTopic({ tenantId: "bench", deviceId: `d-${number}` }, "commands");
}

/** Subscribes, and from then on notes when a command arrives and acknowledges it. */
async function listen(socket: tls.TLSSocket, number: number): Promise<void> {
  const parser = mqttPacket.parser({ protocolVersion: 4 });
  const { promise, resolve } = Promise.withResolvers<void>();
  parser.on("packet", (packet: Packet) => {
    if (packet.cmd === "suback") resolve();
    if (packet.cmd !== "publish") return;
    const { args } = JSON.parse(packet.payload.toString()) as { args: { number: number } };
    latencies.push(performance.now() - (sentAt.get(args.number) ?? 0));
    socket.write(mqttPacket.generate({ cmd: "puback", messageId: packet.messageId as number }));
  });
  socket.on("data", (bytes: Buffer) => parser.parse(bytes));
  const subscriptions = [{ topic: topicOf(number), qos: 1 as const }];
  socket.write(mqttPacket.generate({ cmd: "subscribe", messageId: 1, subscriptions }));
  await promise;
}

/** Calls the API at the rate, whether or not earlier calls are answered; returns how many. */
async function sendAll({ apiUrl, apiKey }: Ready): Promise<number> {
  const url = `${apiUrl}/api/v1/tenants/bench/commands`;
  const options = {
    method: "POST",
    agent,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
  };
  const total = RATE * SECONDS;
  const started = performance.now();
  for (let number = 0; number < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - started) / 1_000) * RATE));
    for (; number < due; number += 1) call(url, options, number);
    await pause(TICK_MS);
  }
  return total;
}

function call(url: string, options: http.RequestOptions, number: number): void {
  const device = 1 + Math.floor(Math.random() * CONNECTIONS);
  const at = performance.now();
  sentAt.set(number, at);
  const request = http.request(url, options, (response) => {
    response.resume();
    response.on("end", () => {
      answers.push(performance.now() - at);
      if (response.statusCode === 201) accepted += 1;
    });
  });
  request.on("error", () => {});
  request.end(JSON.stringify({ devices: [`d-${device}`], name: "ping", args: { number } }));
}

function report(total: number): void {
  const load = { connections: CONNECTIONS, rate: RATE };
  const line = (name: string, value: number, unit: string, more: object = {}) =>
    console.log(JSON.stringify({ name, value: Math.round(value * 100) / 100, unit, ...more }));
  line("command-to-device-p50", quantile(latencies, 0.5), "ms", load);
  const p99 = quantile(latencies, 0.99);
  line("command-to-device-p99", p99, "ms", { ...load, ratio: p99 / GOAL_P99_MS, against: "goal" });
  line("command-api-p50", quantile(answers, 0.5), "ms", load);
  line("command-api-p99", quantile(answers, 0.99), "ms", load);
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
