// The tenant of bench/fairness.ts that takes all it can get, in a process of its own.
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { ApiClient } from "../src/client/index.ts";
import { seededRandom } from "../src/kernel/index.ts";
import { type BenchTenant, imageOf, openTenant, pause, rebuilt } from "./fairness-tenant.ts";
import { METRICS } from "./telemetry-points.ts";

const WINDOW = 25;
const QUERIES_AT_ONCE = 8;
const SOURCES = 3;
const IMAGE_BYTES = 4 * 1024 ** 2;
const HOUR_MS = 3_600_000;

export interface LoadOrder {
  apiUrl: string;
  apiKey: string;
  tenant: string;
  mqttPort: number;
  devices: number;
}

export interface LoadFigures {
  messages: number;
  queries: number;
  rollouts: number;
  refused: number;
}

const figures: LoadFigures = { messages: 0, queries: 0, rollouts: 0, refused: 0 };
/** Counts the saturations: what belongs to an earlier one than the last has ended. */
let turn = 0;
let burning: NodeJS.Timeout | undefined;
let version = 0;

/** What the bench says to the load; `share` is of one processor. */
export type LoadWord =
  | { do: "begin" | "rest" | "figures" | "stop" }
  | { do: "burn"; share: number };

process.once("message", async (order: LoadOrder) => {
  const api = new ApiClient(await elsewhere(order.apiUrl), { apiKey: order.apiKey });
  const tenant = await openTenant(api, order);
  const random = seededRandom(2);
  const base = imageOf(IMAGE_BYTES, random);
  const sources = Array.from({ length: SOURCES }, () => rebuilt(base, random));
  for (const [index, image] of sources.entries()) await tenant.publish(`1.0.${index}`, image);
  for (const [index, device] of tenant.devices.entries()) {
    await device.beat(sources[index % SOURCES] as Buffer);
  }
  process.send?.({ ready: true });
  process.on("message", (word: LoadWord) => {
    if (word.do === "figures") {
      process.send?.(figures);
      return;
    }
    turn += 1;
    clearInterval(burning);
    if (word.do === "begin") saturate(tenant, base, random);
    if (word.do === "burn") burning = burn(word.share);
    if (word.do === "stop") void tenant.close().finally(() => process.exit());
  });
});

/**
 * The same platform, reached from an address of its own: what strangers may ask of the API is limited by
 * address, and the two tenants are no neighbours behind one.
 */
async function elsewhere(url: string): Promise<string> {
  const { port } = new URL(url);
  const relay = net.createServer((socket) => {
    const own = process.platform === "linux" ? { localAddress: "127.0.0.2" } : {};
    const onward = net.connect({ host: "127.0.0.1", port: Number(port), ...own });
    socket.pipe(onward).pipe(socket);
    for (const end of [socket, onward]) end.on("error", () => end.destroy());
    socket.once("close", () => onward.destroy());
    onward.once("close", () => socket.destroy());
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  return `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
}

/** Takes so much of a processor as the load does, and nothing of the platform. */
function burn(share: number): NodeJS.Timeout {
  let used = process.cpuUsage();
  let at = performance.now();
  return setInterval(() => {
    const elapsed = performance.now() - at;
    // No more than a moment at once, and nothing is made up for that the machine did not give.
    const end = performance.now() + Math.min(50, elapsed);
    while (performance.now() < end && cpuMsSince(used) < elapsed * share);
    if (elapsed < 1_000) return;
    used = process.cpuUsage();
    at = performance.now();
  }, 5);
}

function cpuMsSince(usage: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(usage);
  return (user + system) / 1_000;
}

function saturate(tenant: BenchTenant, base: Buffer, random: { next(): number }): void {
  const started = Date.now();
  for (const device of tenant.devices) {
    let ts = started - 3 * HOUR_MS;
    for (let slot = 0; slot < WINDOW; slot += 1) {
      void again("messages", () => {
        ts += 500;
        return device.measure(ts);
      });
    }
  }
  for (let number = 0; number < QUERIES_AT_ONCE; number += 1) {
    void again("queries", () => ask(tenant, number));
  }
  void again("rollouts", async () => {
    version += 1;
    const release = await tenant.publish(`2.0.${version}`, rebuilt(base, random));
    const rollout = await tenant.rollOut(release, "");
    await pause(2_000);
    await tenant.cancel(rollout);
  });
}

function ask({ api, params }: BenchTenant, number: number): Promise<unknown> {
  const metric = METRICS[number % METRICS.length] as string;
  const from = new Date(Date.now() - 4 * HOUR_MS).toISOString();
  if (number % 2 === 0) {
    const query = { metric, from, points: 1_000, aggregate: "p95" as const };
    return api.call("getFleetSeries", { params, query });
  }
  if (number % 4 === 1) return api.call("listDevices", { params, query: { limit: 200 } });
  const of = { ...params, device: "d-1" };
  return api.call("getSeries", { params: of, query: { metric, from, points: 1_000 } });
}

/** The same again as soon as it is done; a refusal counts as such and is not held against anybody. */
async function again(kind: "messages" | "queries" | "rollouts", work: () => Promise<unknown>) {
  const own = turn;
  while (own === turn) {
    try {
      await work();
      figures[kind] += 1;
    } catch (error) {
      figures.refused += 1;
      if (process.env.BENCH_VERBOSE) console.error(kind, error);
      await pause(100);
    }
  }
}
