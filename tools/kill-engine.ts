/**
 * Kills the embedded engine by SIGKILL again and again while devices send, then looks at every point:
 * what was acknowledged is there, once. `npm run kill:engine -- [--kills N] [--seed N] [--json]`; prints
 * its figures, and ends with 1 where a point is lost or doubled.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { seededRandom, systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import type { DeclaredProduct } from "../src/protocol/index.ts";
import { createDeclaredMetrics, createTelemetry } from "../src/telemetry/index.ts";
import { createTimeseries, startEmbeddedClickHouse, withJournal } from "../src/timeseries/index.ts";

const { values: flags } = parseArgs({
  options: {
    kills: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
  },
});
const kills = Number(flags.kills);
const random = seededRandom(Number(flags.seed));
const DEVICES = 40;
const TENANT = "killed";
const START = Date.now() - 86_400_000;
/** The machine may have much else to do; an engine that never comes back is found all the same. */
const PATIENCE_MS = 300_000;
const HUB: DeclaredProduct = {
  product: "hub",
  metrics: [{ name: "wide", type: "integer" }],
  slots: [{ slot: 1, name: "wide", decimals: 0, from: 0 }],
};

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-kills-"));
const logger = createLogger({ level: "silent" });
const engine = await startEmbeddedClickHouse({ directory: path.join(directory, "ch"), logger });
const direct = createTimeseries({ url: engine.url, logger });
await direct.migrate();
const timeseries = withJournal(direct, {
  ...{ directory: path.join(directory, "journal"), name: "kills", logger, feedEveryMs: 20 },
});
const declared = createDeclaredMetrics({
  clock: systemClock,
  productsOf: async () => [HUB],
  productByDevice: async (_tenantId, ids) => new Map(ids.map((id) => [id, "hub"])),
});
const telemetry = createTelemetry({
  ...{ timeseries, clock: systemClock, declared, batchDelayMs: 3, maxWrites: 2 },
});

let acknowledged = 0;
let refused = 0;
let running = true;
const sent = new Array<number>(DEVICES).fill(0);
const acks = Array.from({ length: DEVICES }, () => new Set<number>());

async function send(device: number): Promise<void> {
  while (running) {
    const seq = sent[device] as number;
    sent[device] = seq + 1;
    const sample = { ts: START + seq * 5, seq, values: { narrow: seq + 0.5, wide: seq } };
    const peer = { tenantId: TENANT, deviceId: `d-${device}` };
    try {
      await telemetry.ingestTelemetry(peer, sample, Date.now());
      // One in ten comes again, as after an acknowledgement that was lost.
      if (seq % 10 === 0) await telemetry.ingestTelemetry(peer, sample, Date.now());
      acks[device]?.add(seq);
      acknowledged += 2;
    } catch {
      refused += 1;
    }
    if (seq % 20 === 0) await pause(1);
  }
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await pause(5);
  }
}

const senders = Array.from({ length: DEVICES }, (_, device) => send(device));
for (let kill = 0; kill < kills; kill += 1) {
  const { pid } = engine;
  const settled = direct.rollUp(["1m"]).catch(() => {});
  await pause(5 + random.next() * 300);
  process.kill(pid, "SIGKILL");
  await settled;
  await until("the engine starts again", async () => engine.pid !== pid && engine.pid > 0);
  await until("the engine answers", async () => {
    await direct.ping();
    return true;
  });
  if (process.stderr.isTTY) process.stderr.write(`\r${kill + 1} of ${kills} kills`);
}
running = false;
await Promise.all(senders);
await telemetry.close();
await timeseries.fed();

let lost = 0;
let doubled = 0;
for (const [device, wanted] of acks.entries()) {
  const rows = await direct.tenantQuery<{ metric: string; seq: number; value: number }>(TENANT, {
    table: "points",
    select: "metric, seq, value",
    where: ["device_id = {device:String}"],
    limit: 1_000_000,
    final: true,
    params: { device: `d-${device}` },
  });
  const found = new Map<string, number>();
  for (const { metric, seq, value } of rows) {
    const key = `${metric} ${metric === "wide" ? value : value - 0.5}`;
    if (metric === "narrow" && seq !== value - 0.5) lost += 1;
    found.set(key, (found.get(key) ?? 0) + 1);
  }
  for (const seq of wanted) {
    for (const metric of ["narrow", "wide"]) if (!found.has(`${metric} ${seq}`)) lost += 1;
  }
  for (const count of found.values()) doubled += count - 1;
}
const figures = { kills, seed: Number(flags.seed), acknowledged, refused, lost, doubled };
console.log(flags.json ? JSON.stringify(figures) : Object.entries(figures).flat().join(" "));
await timeseries.close();
await engine.stop();
fs.rmSync(directory, { recursive: true, force: true });
if (lost > 0 || doubled > 0) process.exitCode = 1;

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
