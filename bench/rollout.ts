import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { parseArgs } from "node:util";
import pg from "pg";
import { createAlerts } from "../src/alerts/index.ts";
import { openBlobStore } from "../src/blobs/index.ts";
import { LocalBus } from "../src/bus/index.ts";
import { Database, prepareEmbeddedDatabase, startPostgres } from "../src/db/index.ts";
import { createDevices } from "../src/devices/index.ts";
import {
  createFirmware,
  createRoot,
  generateSigningKey,
  readSigningKey,
} from "../src/firmware/index.ts";
import { systemClock } from "../src/kernel/index.ts";
import { createLogger } from "../src/kernel/logger.ts";
import { createSealer } from "../src/kernel/sealing.ts";
import { signDocument, signingKeyOf } from "../src/protocol/index.ts";
import { createRollouts } from "../src/rollouts/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../src/tenancy/index.ts";
import { makeManifest } from "../test/support/signing.ts";
import { cpuMsOf } from "./process-figures.ts";

/**
 * The rollout engine on a PostgreSQL of its own with everything synced to disk: what creating costs,
 * whether a tick depends on the size of the fleet, how fast devices are told and their words taken.
 * References: AWS Jobs starts at most 1,000 devices a minute, ThingsBoard tells 100 in 60 seconds.
 */

const TENANT = "bench";
const AWS_PER_MINUTE = 1_000;
const THINGSBOARD_PER_MINUTE = 100;
const CHANGES = 1_000;
const TOLD = 5_000;
const GOAL_MS = 30_000;
const GOAL_DEVICES = 1_000_000;
const YEAR_MS = 365 * 86_400_000;

interface Line {
  name: string;
  value: number;
  unit: string;
  ratio: number | null;
  against: string | null;
}

function print(name: string, value: number, unit: string, ratio?: number, against?: string): void {
  const line: Line = {
    name,
    value: round(value),
    unit,
    ratio: ratio === undefined ? null : round(ratio),
    against: against ?? null,
  };
  console.log(JSON.stringify(line));
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const started = performance.now();
  const result = await work();
  return { ms: performance.now() - started, result };
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] as number;
}

async function seedFleet(ownerUrl: string, size: number, imageSha256: string): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    // A million rows as they come to be: without a trigger a row, and none of them written twice.
    await client.query("begin");
    await client.query("alter table devices disable trigger user");
    await client.query(
      `insert into devices (tenant_id, id, product, hardware_revision, region, created_at)
       select $1, 'd-' || lpad(n::text, 7, '0'), 'hub', 'a', 'r' || n % 8, now()
       from generate_series(1, $2::int) n`,
      [TENANT, size],
    );
    await client.query("alter table devices enable trigger user");
    // Some are always away: what they cost a tick is part of the figure.
    await client.query(
      `insert into device_states (tenant_id, device_id, presence, connected, firmware_version,
         firmware_sha256, last_heartbeat_at, formats)
       select $1, 'd-' || lpad(n::text, 7, '0'), case when n % 50 = 0 then 'offline' else 'online' end,
              n % 50 <> 0, '1.0.0', $3, now(), '{full,full-zstd,zstd-patch}'
       from generate_series(1, $2::int) n`,
      [TENANT, size, imageSha256],
    );
    await client.query("commit");
    await client.query("vacuum analyze");
  } finally {
    await client.end();
  }
}

/** Measures one fleet; returns the milliseconds of a tick that follows 1,000 changes. */
async function benchFleet(size: number): Promise<number> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));
  const server = await startPostgres({ directory: path.join(directory, "postgres") });
  let db: Database | undefined;
  try {
    const urls = await prepareEmbeddedDatabase(server);
    db = new Database({ url: urls.appUrl, maxConnections: 10 });
    return await measure(db, { ownerUrl: urls.ownerUrl, pid: server.pid }, directory, size);
  } finally {
    await db?.close();
    await server.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  db: Database,
  server: { ownerUrl: string; pid: number },
  directory: string,
  size: number,
): Promise<number> {
  const { rollouts, firmware, publish } = await compose(db, directory);
  const first = await publish("1.0.0");
  await seedFleet(server.ownerUrl, size, first.imageSha256);
  const next = await publish("1.1.0");
  const spec = {
    name: "bench",
    releaseId: next.id,
    query: "",
    policy: { stages: [{ name: "all", percent: 100 }], holdbackPercent: 0 },
  };
  const label = `${size / 1_000}k`;
  const before = cpuMsOf(server.pid);
  const plan = await timed(() => rollouts.plan(TENANT, spec));
  print(`rollout.plan.${label}`, plan.ms, "ms");
  const between = cpuMsOf(server.pid);
  const created = await timed(() => rollouts.create(TENANT, spec, SYSTEM_ACTOR));
  print(`rollout.create.${label}`, created.ms, "ms");
  // What other programs on the machine do not touch: the database's own processor time.
  print(`rollout.plan.${label}.database`, between - before, "ms of processor");
  print(`rollout.create.${label}.database`, cpuMsOf(server.pid) - between, "ms of processor");
  const both = plan.ms + created.ms;
  // The goal is one of a million devices: of fewer it says nothing.
  const isGoals = size === GOAL_DEVICES;
  const goal: [number?, string?] = isGoals ? [GOAL_MS / both, "goal of 30 s for 1M"] : [];
  print(`rollout.plan-and-create.${label}`, both, "ms", ...goal);
  while (await firmware.buildNextDelta(TENANT));

  const { id } = created.result;
  const offering = await timed(async () => {
    while ((await rollouts.get(TENANT, id)).totals.inProgress < Math.min(TOLD, size)) {
      await rollouts.tick(TENANT);
    }
  });
  const offered = (await rollouts.get(TENANT, id)).totals.inProgress;
  const perMinute = (offered / offering.ms) * 60_000;
  // Not measured to its end: so long it takes where the pace of these offers holds for all.
  const hours = size / perMinute / 60;
  const notified = `rollout.notify-all.${label}.extrapolated-from-${offered}-offers`;
  const awsHours = size / AWS_PER_MINUTE / 60;
  print(notified, hours, "h", awsHours / hours, `AWS Jobs, ${round(awsHours)} h`);
  const days = size / THINGSBOARD_PER_MINUTE / 1_440;
  const against = `ThingsBoard, ${round(days)} days`;
  print(`${notified}.days`, hours / 24, "days", (days * 24) / hours, against);
  print(
    `rollout.offers.${label}`,
    perMinute,
    "devices/min",
    perMinute / AWS_PER_MINUTE,
    "AWS Jobs",
  );
  print(
    `rollout.offers.${label}.thingsboard`,
    perMinute,
    "devices/min",
    perMinute / THINGSBOARD_PER_MINUTE,
    "ThingsBoard",
  );
  await rollouts.pause(TENANT, id, SYSTEM_ACTOR);
  await reportAll(db, rollouts, id, next.imageSha256, label);
  return tickAfterChanges(db, rollouts, id, label);
}

async function compose(db: Database, directory: string) {
  const clock = systemClock;
  const bus = new LocalBus();
  const logger = createLogger({ level: "error" });
  const sealer = createSealer(Buffer.alloc(32, 1));
  const blobs = openBlobStore({ directory: path.join(directory, "blobs") });
  const tenancy = createTenancy({ db, clock });
  const devices = createDevices({ db, clock, bus, tenancy });
  const firmware = createFirmware({ db, clock, blobs, sealer, tenancy, logger });
  const alerts = createAlerts({ db, clock, bus, sealer, logger });
  const absent = () => Promise.reject(new Error("the benchmark has no time-series store"));
  const rollouts = createRollouts({
    db,
    clock,
    bus,
    logger,
    tenancy,
    devices,
    firmware,
    alerts,
    telemetry: { metricByArm: absent, figuresByDevice: absent },
    queries: { series: absent, answerByDevice: absent, faultOf: () => undefined },
    logs: { errorRate: absent, errorsByHour: absent, devicesWithErrors: async () => [] },
    artifactUrl: (sha256) => `https://bench.invalid/artifacts/${sha256}`,
  });
  await tenancy.tenants.create({ id: TENANT, name: TENANT }, SYSTEM_ACTOR);
  const key = readSigningKey(generateSigningKey({}).privateKeyPem);
  const root = createRoot({
    tenant: TENANT,
    version: 1,
    expires: new Date(Date.now() + YEAR_MS).toISOString(),
    root: { keys: [signingKeyOf(key)], threshold: 1 },
    release: { keys: [signingKeyOf(key)], threshold: 1 },
    online: await firmware.ensureOnlineKeys(TENANT),
  });
  await firmware.setTrustRoot(TENANT, signDocument(root.signed, [key]), SYSTEM_ACTOR);
  const publish = (version: string) => {
    const image = Buffer.from(`image ${version} ${"x".repeat(4_000)}`);
    const manifest = makeManifest(image, { tenant: TENANT, version });
    const envelope = signDocument(manifest, [key]);
    return firmware.publish(TENANT, { envelope, image: Readable.from([image]) }, SYSTEM_ACTOR);
  };
  return { rollouts, firmware, publish };
}

type Rollouts = Awaited<ReturnType<typeof compose>>["rollouts"];

/** Every offered device but those kept for the tick goes through its phases, as fast as it goes. */
async function reportAll(
  db: Database,
  rollouts: Rollouts,
  id: string,
  hash: string,
  label: string,
): Promise<void> {
  const offered = await openUpdates(db, id);
  const reporting = offered.slice(0, offered.length - CHANGES);
  const running = { version: "1.1.0", hash, slot: "b" };
  const phases = ["downloading", "installing", "rebooting", "confirming", "succeeded"] as const;
  const { ms } = await timed(async () => {
    for (const phase of phases) {
      await Promise.all(
        reporting.map(({ device_id, update_id }) =>
          rollouts.recordUpdateState(
            { tenantId: TENANT, deviceId: device_id },
            { updateId: update_id, phase, bootId: randomUUID(), running },
            Date.now(),
          ),
        ),
      );
    }
  });
  const rate = (reporting.length * phases.length * 1_000) / ms;
  print(`rollout.status-events.${label}`, rate, "events/s", rate / 5_000, "goal of 5,000/s");
}

/** Ticks that each follow 1,000 changes of state: their cost must not know the fleet's size. */
async function tickAfterChanges(
  db: Database,
  rollouts: Rollouts,
  id: string,
  label: string,
): Promise<number> {
  const changing = (await openUpdates(db, id)).slice(0, CHANGES);
  const ticks: number[] = [];
  for (const phase of ["downloading", "installing", "rebooting", "confirming"] as const) {
    await Promise.all(
      changing.map(({ device_id, update_id }) =>
        rollouts.recordUpdateState(
          { tenantId: TENANT, deviceId: device_id },
          { updateId: update_id, phase, bootId: "b" },
          Date.now(),
        ),
      ),
    );
    // As the reconciler finds it: running, a look due, nothing left to offer in this stage.
    await db.tenant(TENANT, (tx) =>
      tx
        .updateTable("rollouts")
        .set({ state: "running", next_evaluation_at: new Date() })
        .where("id", "=", id)
        .execute(),
    );
    await db.tenant(TENANT, (tx) =>
      tx
        .updateTable("rollout_stages")
        .set({ cumulative_devices: 1 })
        .where("rollout_id", "=", id)
        .execute(),
    );
    ticks.push((await timed(() => rollouts.tick(TENANT))).ms);
  }
  const ms = median(ticks);
  print(`rollout.tick.${label}`, ms, "ms", 100 / ms, "goal of 100 ms");
  return ms;
}

function openUpdates(
  db: Database,
  id: string,
): Promise<{ device_id: string; update_id: string }[]> {
  return db.tenant(TENANT, (tx) =>
    tx
      .selectFrom("rollout_devices")
      .select(["device_id", "update_id"])
      .where("rollout_id", "=", id)
      .where("state", "in", ["offered", "downloading", "installing", "rebooting", "confirming"])
      .execute(),
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      devices: { type: "string", default: "10000,100000,1000000" },
    },
  });
  const sizes = values.devices.split(",").map(Number);
  if (sizes.some((size) => !Number.isSafeInteger(size) || size < 2 * CHANGES)) {
    console.error(`usage: bench:rollout [--devices N,N]   (N from ${2 * CHANGES})`);
    process.exit(2);
  }
  const ticks: number[] = [];
  for (const size of sizes) ticks.push(await benchFleet(size));
  const growth = (ticks.at(-1) as number) / (ticks[0] as number);
  const against = `the fleet grew ${(sizes.at(-1) as number) / (sizes[0] as number)} times`;
  print("rollout.tick.growth", growth, "times", growth, against);
}

await main();
