import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Database, prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { systemClock } from "../src/kernel/index.ts";
import {
  createPresenceWorld,
  deviceId,
  seedHeard,
  TENANT,
} from "../test/support/presence-world.ts";
import { cpuMsOf } from "./process-figures.ts";
import { report } from "./report.ts";

/**
 * What it costs to know who is there: on a PostgreSQL of its own, synced to disk, in real time. CPU is
 * that of this process and of PostgreSQL with all its children. `--devices N` is the size of the large
 * fleet, `--seconds N` how long it is looked at; `--only death,outage` leaves the large fleet out.
 */

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "1000000" },
    seconds: { type: "string", default: "60" },
    only: { type: "string", default: "idle,death,outage" },
  },
});
const DEVICES = Number(values.devices);
const SECONDS = Number(values.seconds);
/** A long interval: nobody is due while the idle fleet is looked at. */
const IDLE_INTERVAL = 3_600;
const OUTAGE = 10_000;
const FEW = 500;
const SHORT_INTERVAL = 4;
const MISSED = 3;
const SECOND = 1_000;

type World = Awaited<ReturnType<typeof createPresenceWorld>>;

const parts = values.only.split(",");
if (parts.includes("idle")) await withWorld(IDLE_INTERVAL, DEVICES, idle);
if (parts.includes("death")) await withWorld(SHORT_INTERVAL, FEW, death);
if (parts.includes("outage")) await withWorld(SHORT_INTERVAL, OUTAGE, outage);

async function withWorld(
  interval: number,
  devices: number,
  measure: (world: World, cpuMs: () => number) => Promise<void>,
): Promise<void> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
  const server = await startPostgres({ directory: path.join(directory, "postgres") });
  let db: Database | undefined;
  try {
    const urls = await prepareEmbeddedDatabase(server);
    db = new Database({ url: urls.appUrl, maxConnections: 10 });
    const world = await createPresenceWorld(db, systemClock, interval);
    const heard = { nowMs: Date.now(), intervalSeconds: interval };
    await seedHeard(urls.ownerUrl, devices, heard);
    // The database is a child of this process: its backends are counted with it.
    await measure(world, () => cpuMsOf(process.pid));
  } finally {
    await db?.close();
    await server.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

/** Passes once a second over a fleet of which nothing falls due. */
async function idle(world: World, cpuMs: () => number): Promise<void> {
  await world.watch.begin();
  await world.pass();
  // What seeding has left to the database (checkpoint, vacuum) is not presence.
  await sleep(20 * SECOND);
  const quietBefore = cpuMs();
  await sleep((SECONDS * SECOND) / 2);
  const quiet = (cpuMs() - quietBefore) / (SECONDS / 2);
  const before = cpuMs();
  const started = performance.now();
  for (let second = 0; second < SECONDS; second += 1) {
    await world.pass();
    await sleep(Math.max(0, started + (second + 1) * SECOND - performance.now()));
  }
  const share = (cpuMs() - before) / (performance.now() - started);
  const label = `presence.idle.${DEVICES}`;
  // The database has a life of its own (checkpoints, vacuum, statistics) that is no part of presence.
  const own = Math.max(0, share * 100 - quiet / 10);
  report(`${label}.cpu`, own, "% of a core", "goal of 1 %", own);
  report(`${label}.cpu-with-idle-database`, share * 100, "% of a core");
  report(`${label}.cpu-of-idle-database`, quiet / 10, "% of a core");
}

/** One of a fleet that lives dies. */
async function death(world: World): Promise<void> {
  const others = Array.from({ length: FEW - 1 }, (_, number) => number + 1);
  await world.watch.begin();
  await world.beat([0, ...others]);
  const diedAt = Date.now();
  const limit = MISSED * SHORT_INTERVAL * SECOND;
  for (let second = 1; second < 60; second += 1) {
    if (second % SHORT_INTERVAL === 0) await world.beat(others);
    await world.pass();
    const { items } = await world.alerts.list(TENANT, { state: "open" });
    if (items.length > 0) break;
    await sleep(Math.max(0, diedAt + second * SECOND - Date.now()));
  }
  const after = Date.now() - diedAt - limit;
  report("presence.death.alert-after-limit", after, "ms", "goal of 5 s", after / 5_000);
}

/** Nobody is heard any more, then everybody: in real time, with an interval of seconds. */
async function outage(world: World, cpuMs: () => number): Promise<void> {
  const numbers = Array.from({ length: OUTAGE }, (_, number) => number);
  await world.watch.begin();
  // All but one are heard at one moment, and so is their end.
  await world.beat(numbers);
  const diedAt = Date.now();
  let noticed = 0;
  let [before, cpuAtLimit] = [cpuMs(), 0];
  const until = diedAt + (MISSED * SHORT_INTERVAL + 30) * SECOND;
  while (Date.now() < until) {
    if (Date.now() - diedAt < MISSED * SHORT_INTERVAL * SECOND) before = cpuMs();
    await world.pass();
    cpuAtLimit = cpuMs() - before;
    const { devices } = await world.devices.silence(TENANT, diedAt);
    if (devices === OUTAGE) {
      noticed = Date.now() - diedAt;
      break;
    }
    await sleep(SECOND);
  }
  const limit = MISSED * SHORT_INTERVAL * SECOND;
  report(
    "presence.outage.noticed-after-limit",
    noticed - limit,
    "ms",
    "goal of 5 s",
    (noticed - limit) / 5_000,
  );
  report("presence.outage.cpu-of-noticing", cpuAtLimit, "ms", "goal of 5 s", cpuAtLimit / 5_000);
  await sleep(2 * SECOND);
  await world.pass();
  const beating = world.beat(numbers);
  await beating;
  const cleared = Date.now();
  for (let pass = 0; pass < 10; pass += 1) {
    await world.pass();
    const { items } = await world.alerts.list(TENANT, { state: "open" });
    if (items.length === 0) break;
    await sleep(SECOND);
  }
  const { items } = await world.alerts.list(TENANT, { limit: 500 });
  report("presence.outage.alerts", items.length, "alerts", "goal of at most one", items.length);
  const open = items.filter(({ state }) => state !== "resolved").length;
  report("presence.outage.open-after-return", open, "alerts", "goal of none", open);
  report("presence.outage.cleared-after", Date.now() - cleared, "ms");
  const one = await world.devices.get(TENANT, deviceId(1));
  if (one.health !== "healthy") throw new Error(`a device that is back is ${one.health}`);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
