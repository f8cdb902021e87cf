import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { ApiClient } from "../src/client/index.ts";
import { seededRandom } from "../src/kernel/index.ts";
import { fixedPorts, signInTo, startProcess } from "../test/support/platform-process.ts";
import type { LoadFigures, LoadWord } from "./fairness-load.ts";
import { type BenchTenant, imageOf, openTenant, pause, rebuilt } from "./fairness-tenant.ts";
import { cpuByProcess, cpuMsOf } from "./process-figures.ts";
import { report } from "./report.ts";
import { METRICS } from "./telemetry-points.ts";

/**
 * What one tenant feels of another that takes all it can get: a whole platform with its stores, synced
 * to disk, in processes of its own. In turns, so that what else the machine does falls on each alike:
 * the one tenant alone; beside another that saturates ingest, queries, rollouts and the building of
 * deltas; and alone again while the process that stands for the other takes as much of the processors
 * as before and asks the platform for nothing. The ratio is that of the 95th percentiles of the latter two.
 */

const { values } = parseArgs({
  options: {
    /** Of each of the three phases, of each round. */
    seconds: { type: "string", default: "15" },
    rounds: { type: "string", default: "3" },
    devices: { type: "string", default: "20" },
  },
});
const PHASE_MS = Number(values.seconds) * 1_000;
const ROUNDS = Number(values.rounds);
/** Between the phases: what is under way ends, and what is paced finds its pace. */
const SETTLE_MS = 5_000;
/** On a machine with much else to do. */
const START_TIMEOUT_MS = 300_000;
const GOAL = 1.5;
const CALM_DEVICES = 4;
const IMAGE_BYTES = 256 * 1024;
const DELTA_TIMEOUT_MS = 30_000;
/** Who wants the next delta as soon as it has one is not calm. */
const DELTA_EVERY_MS = 2_000;
const KINDS = {
  telemetry: "telemetry over MQTT until it is acknowledged",
  read: "a read of the API",
  series: "a query of points",
  command: "a command from the API to the device and its result",
  delta: "a delta from the rollout's creation until it is ready",
} as const;
type Kind = keyof typeof KINDS;
const NOTHING: LoadFigures = { messages: 0, queries: 0, rollouts: 0, refused: 0 };

class Latencies {
  readonly #samples = new Map<Kind, number[]>();
  failures = 0;

  async time(kind: Kind, work: () => Promise<unknown>): Promise<void> {
    const started = performance.now();
    try {
      await work();
      const samples = this.#samples.get(kind) ?? [];
      samples.push(performance.now() - started);
      this.#samples.set(kind, samples);
    } catch (error) {
      this.failures += 1;
      console.error(`${kind}: ${error}`);
    }
  }

  percentile(kind: Kind, share: number): number {
    const sorted = [...(this.#samples.get(kind) ?? [])].sort((a, b) => a - b);
    if (sorted.length === 0) throw new Error(`there is no sample of ${kind}`);
    return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] as number;
  }

  count = (kind: Kind) => this.#samples.get(kind)?.length ?? 0;
}

/** Orders that wait for their device's word. */
const results = new Map<string, () => void>();
let orders = 0;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
const ports = await fixedPorts();
const platform = startProcess(["up", "--no-fleet"], { VAUTN_DATA: folder, ...ports });
let load: ChildProcess | undefined;
try {
  await platform.untilSaid(/Ctrl-C stops everything/, START_TIMEOUT_MS);
  const apiUrl = `http://localhost:${ports.VAUTN_API_PORT}`;
  const mqttPort = Number(ports.VAUTN_MQTT_PORT);
  const administrator = await signInTo(apiUrl, platform.output());
  const calmKey = await tenantKey(administrator, "calm");
  const loadKey = await tenantKey(administrator, "greedy");
  const api = new ApiClient(apiUrl, { apiKey: calmKey });
  const calm = await openTenant(api, { tenant: "calm", devices: CALM_DEVICES, mqttPort });
  load = await startLoad({ apiUrl, apiKey: loadKey, mqttPort, tenant: "greedy" });
  // Whoever looks at the clock is not what is measured: it comes first, and the load's own work last.
  reprioritise(process.pid, -5);
  reprioritise(load.pid as number, 5);
  await run(calm, load);
} finally {
  load?.kill();
  await platform.stop();
  fs.rmSync(folder, { recursive: true, force: true });
}
process.exit();

async function run(calm: BenchTenant, greedy: ChildProcess): Promise<void> {
  const random = seededRandom(1);
  const base = imageOf(IMAGE_BYTES, random);
  await calm.publish("1.0.0", base);
  await calm.devices[0]?.beat(base);
  const deltas = deltaProbe(calm, base, random);
  answerCommands(calm);
  // What is loaded at the first use is loaded now.
  await probe(new Latencies(), calm, deltas, 5_000);
  const [alone, beside, burdened] = [new Latencies(), new Latencies(), new Latencies()];
  const sum = { seconds: 0, cpu: new Map<string, number>(), load: { ...NOTHING } };
  for (let round = 0; round < ROUNDS; round += 1) {
    await probe(alone, calm, deltas, PHASE_MS);
    tell(greedy, { do: "begin" });
    await pause(SETTLE_MS);
    const [before, cpuBefore, started] = [await figuresOf(greedy), cpu(), performance.now()];
    const loadBefore = cpuMsOf(greedy.pid as number);
    await probe(beside, calm, deltas, PHASE_MS);
    const elapsedMs = performance.now() - started;
    const share = (cpuMsOf(greedy.pid as number) - loadBefore) / elapsedMs;
    const after = await figuresOf(greedy);
    sum.seconds += elapsedMs / 1_000;
    for (const name of names(after)) sum.load[name] += after[name] - before[name];
    for (const [name, ms] of cpu()) {
      sum.cpu.set(name, (sum.cpu.get(name) ?? 0) + ms - (cpuBefore.get(name) ?? 0));
    }
    tell(greedy, { do: "burn", share });
    await pause(SETTLE_MS);
    await probe(burdened, calm, deltas, PHASE_MS);
    tell(greedy, { do: "rest" });
    await pause(1_000);
  }
  for (const [name, ms] of sum.cpu) {
    report(`fairness.cpu.${name}`, ms / 1_000 / sum.seconds, "cores");
  }
  for (const [name, title] of Object.entries(KINDS)) {
    const kind = name as Kind;
    for (const [phase, latencies] of Object.entries({ alone, burdened, beside })) {
      report(`fairness.${kind}.${phase}.p50`, latencies.percentile(kind, 0.5), "ms");
    }
    report(
      `fairness.${kind}.alone.p95`,
      alone.percentile(kind, 0.95),
      "ms",
      `${alone.count(kind)} of ${title}`,
    );
    const usual = burdened.percentile(kind, 0.95);
    const with95 = beside.percentile(kind, 0.95);
    report(`fairness.${kind}.burdened.p95`, usual, "ms", `${burdened.count(kind)} samples`);
    const against = `burdened, goal ${GOAL}; ${beside.count(kind)} samples`;
    report(`fairness.${kind}.beside.p95`, with95, "ms", against, with95 / usual);
  }
  for (const name of names(sum.load)) {
    report(`fairness.greedy.${name}`, sum.load[name] / sum.seconds, "1/s");
  }
  const failures = alone.failures + beside.failures + burdened.failures;
  report("fairness.failures", failures, "requests", "none", 0);
}

function names(figures: LoadFigures): (keyof LoadFigures)[] {
  return Object.keys(figures) as (keyof LoadFigures)[];
}

function cpu(): Map<string, number> {
  return cpuByProcess(process.pid);
}

/** What the calm tenant does for so long, each thing at its own pace, however long an answer takes. */
async function probe(
  latencies: Latencies,
  calm: BenchTenant,
  delta: (latencies: Latencies) => Promise<void>,
  durationMs: number,
): Promise<void> {
  const { api, params, devices } = calm;
  const under = new Set<Promise<void>>();
  const every = (delayMs: number, kind: Kind, work: (turn: number) => Promise<unknown>) => {
    let turn = 0;
    return setInterval(() => {
      turn += 1;
      const one = latencies.time(kind, () => work(turn));
      under.add(one);
      void one.finally(() => under.delete(one));
    }, delayMs);
  };
  const device = (turn: number) => devices[turn % devices.length] as (typeof devices)[0];
  const reads = [
    () => api.call("listDevices", { params, query: { limit: 100 } }),
    () => api.call("listCommands", { params, query: { limit: 50 } }),
    () => api.call("listRollouts", { params, query: { limit: 50 } }),
    () => api.call("listReleases", { params, query: { limit: 50 } }),
    () => api.call("listAlerts", { params, query: { limit: 50 } }),
  ];
  const timers = [
    every(100, "telemetry", (turn) => device(turn).measure(Date.now())),
    every(200, "read", (turn) => (reads[turn % reads.length] as () => Promise<unknown>)()),
    every(300, "series", (turn) => {
      const metric = METRICS[turn % METRICS.length] as string;
      const from = new Date(Date.now() - 600_000).toISOString();
      const of = { ...params, device: device(turn).id };
      return api.call("getSeries", { params: of, query: { metric, from, points: 200 } });
    }),
    every(500, "command", (turn) => order(calm, device(turn).id)),
  ];
  const end = Date.now() + durationMs;
  while (Date.now() < end) {
    const next = Date.now() + DELTA_EVERY_MS;
    await delta(latencies);
    await pause(Math.max(0, Math.min(next, end) - Date.now()));
  }
  for (const timer of timers) clearInterval(timer);
  await Promise.all(under);
}

function answerCommands({ devices }: BenchTenant): void {
  for (const { client, topic } of devices) {
    client.subscribe(topic("commands"), { qos: 1 });
    client.on("message", (name, payload) => {
      if (name !== topic("commands")) return;
      const { id, args } = JSON.parse(payload.toString());
      const result = JSON.stringify({ status: "succeeded", output: null });
      client.publish(topic(`commands/${id}/result`), result, { qos: 1 }, () => {
        results.get(args.turn)?.();
        results.delete(args.turn);
      });
    });
  }
}

async function order({ api, params }: BenchTenant, id: string): Promise<void> {
  orders += 1;
  const turn = String(orders);
  const answered = new Promise<void>((resolve) => results.set(turn, resolve));
  await api.call("sendCommand", { params, body: { devices: [id], name: "ping", args: { turn } } });
  await answered;
}

/** A rollout of a new build to the first device, until its deltas are there. */
function deltaProbe(calm: BenchTenant, base: Buffer, random: { next(): number }) {
  let version = 0;
  return async (latencies: Latencies): Promise<void> => {
    version += 1;
    const release = await calm.publish(`1.1.${version}`, rebuilt(base, random));
    let rollout: string | undefined;
    await latencies.time("delta", async () => {
      rollout = await calm.rollOut(release, "id = d-1");
      await untilReady(calm, release);
    });
    if (rollout) await calm.cancel(rollout);
  };
}

async function untilReady({ api, params }: BenchTenant, release: string): Promise<void> {
  const end = Date.now() + DELTA_TIMEOUT_MS;
  while (Date.now() < end) {
    const { items } = await api.call("listDeltas", { params: { ...params, release } });
    const open = items.some(({ status }) => status === "queued" || status === "building");
    if (!open && items.some(({ status }) => status === "ready")) return;
    await pause(50);
  }
  throw new Error(`no delta within ${DELTA_TIMEOUT_MS} ms`);
}

async function tenantKey(administrator: ApiClient, id: string): Promise<string> {
  await administrator.call("createTenant", { body: { id, name: id } });
  const body = { name: "bench", role: "administrator" };
  return (await administrator.call("createKey", { params: { tenant: id }, body })).key;
}

async function startLoad(order: object): Promise<ChildProcess> {
  const child = fork(path.join(import.meta.dirname, "fairness-load.ts"));
  child.send({ ...order, devices: Number(values.devices) });
  await once(child, "message");
  return child;
}

async function figuresOf(child: ChildProcess): Promise<LoadFigures> {
  tell(child, { do: "figures" });
  const [figures] = await once(child, "message");
  return { ...(figures as LoadFigures) };
}

function tell(child: ChildProcess, word: LoadWord): void {
  child.send(word);
}

function reprioritise(pid: number, by: number): void {
  try {
    os.setPriority(pid, Math.max(-20, Math.min(19, os.getPriority(pid) + by)));
  } catch {
    // Not allowed: then it shares as all others do.
  }
}
