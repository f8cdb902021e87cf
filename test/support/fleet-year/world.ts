import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import pg from "pg";
import { createAlerts } from "../../../src/alerts/index.ts";
import { openBlobStore } from "../../../src/blobs/index.ts";
import { LocalBus } from "../../../src/bus/index.ts";
import type { Database, Tx } from "../../../src/db/index.ts";
import { createDevices } from "../../../src/devices/index.ts";
import { createFirmware } from "../../../src/firmware/index.ts";
import { VirtualClock } from "../../../src/kernel/index.ts";
import { createLogger } from "../../../src/kernel/logger.ts";
import type { Random } from "../../../src/kernel/random.ts";
import { createSealer } from "../../../src/kernel/sealing.ts";
import { signDocument } from "../../../src/protocol/index.ts";
import { createRollouts } from "../../../src/rollouts/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../../src/tenancy/index.ts";
import { makeKey, makeManifest, makeRoot, type TrustKeys } from "../signing.ts";

export const TENANT = "year";
const TWO_YEARS_MS = 2 * 365 * 86_400_000;

/** The platform's process has died; whoever asked it gets no answer. */
export class PlatformCrash extends Error {}

export type World = Awaited<ReturnType<typeof createWorld>>;

/**
 * The real modules on a real database and virtual time. The process of the rollout engine dies when
 * it is told to: within a transaction, which is lost, or right after one, before anybody is told.
 */
export async function createWorld(options: { db: Database; ownerUrl: string; random: Random }) {
  const { db, random } = options;
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-year-"));
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  const bus = new LocalBus();
  const logger = createLogger({ level: "silent" });
  const sealer = createSealer(Buffer.alloc(32, 9));
  const blobs = openBlobStore({ directory });
  const tenancy = createTenancy({ db, clock });
  const devices = createDevices({ db, clock, bus, tenancy });
  const everything = createFirmware({ db, clock, blobs, sealer, tenancy, logger });
  const firmware = { ...everything, requestDeltas: async () => [] };
  const alerts = createAlerts({ db, clock, bus, sealer, logger });
  const absent = () => Promise.reject(new Error("this world has no time-series store"));

  /** Transactions until the process dies; infinite while it is to live. */
  let fuse = Number.POSITIVE_INFINITY;
  /** Of those that were lit while another one burnt. */
  const nextFuses: number[] = [];
  let crashes = 0;
  const process = () => {
    const life = { isAlive: true };
    const mortal = new Proxy(db, {
      get(target, key) {
        if (key !== "tenant") return Reflect.get(target, key) as unknown;
        return async (tenantId: string, work: (tx: Tx) => Promise<unknown>) => {
          if (!life.isAlive) throw new PlatformCrash("dead");
          fuse -= 1;
          const dies = fuse <= 0;
          const losesWork = dies && random.next() < 0.5;
          const result = await target.tenant(tenantId, async (tx) => {
            const done = await work(tx);
            if (losesWork || !life.isAlive) {
              life.isAlive = false;
              throw new PlatformCrash("in the middle of a transaction");
            }
            return done;
          });
          if (dies) life.isAlive = false;
          if (!life.isAlive) throw new PlatformCrash("right after a transaction");
          return result;
        };
      },
    });
    const rollouts = createRollouts({
      db: mortal,
      clock,
      bus: {
        ...bus,
        publish: (subject, message) => {
          if (life.isAlive) bus.publish(subject, message);
        },
        subscribe: bus.subscribe.bind(bus),
        close: bus.close.bind(bus),
      },
      logger,
      tenancy,
      devices,
      firmware,
      alerts,
      telemetry: { metricByArm: absent, figuresByDevice: absent },
      queries: { series: absent, answerByDevice: absent, faultOf: () => undefined },
      logs: { errorRate: absent, errorsByHour: absent, devicesWithErrors: async () => [] },
      artifactUrl: (sha256) => `https://year.invalid/artifacts/${sha256}`,
    });
    return { rollouts, life };
  };
  let running = process();

  await tenancy.tenants.create({ id: TENANT, name: TENANT }, SYSTEM_ACTOR);
  await tenancy.tenants.updateSettings(TENANT, { maxDevices: 1_000_000 }, SYSTEM_ACTOR);
  const keys: TrustKeys = { root: makeKey(), release: [makeKey()] };
  const expires = new Date(clock.now() + TWO_YEARS_MS).toISOString();
  const root = makeRoot(TENANT, keys, await firmware.ensureOnlineKeys(TENANT), { expires });
  await firmware.setTrustRoot(TENANT, root, SYSTEM_ACTOR);
  const owner = new pg.Pool({ connectionString: options.ownerUrl, max: 2 });

  return {
    clock,
    bus,
    db,
    tenancy,
    devices,
    root,
    /** For what a world does to its devices by the thousand. */
    owner,
    engine: () => running.rollouts,
    publish: (version: string, changes: object) => {
      const image = Buffer.from(`image ${version} ${"x".repeat(500)}`);
      const manifest = makeManifest(image, { tenant: TENANT, version, ...changes });
      const envelope = signDocument(manifest, keys.release);
      return firmware.publish(TENANT, { envelope, image: Readable.from([image]) }, SYSTEM_ACTOR);
    },
    /** Has the process die after so many more transactions. */
    lightFuse: (transactions: number) => {
      if (fuse === Number.POSITIVE_INFINITY) fuse = transactions;
      else nextFuses.push(transactions);
    },
    crashes: () => crashes,
    /** Starts a new process where the last one has died; whether it had to. */
    revive(): boolean {
      if (running.life.isAlive) return false;
      crashes += 1;
      fuse = nextFuses.shift() ?? Number.POSITIVE_INFINITY;
      running = process();
      return true;
    },
    async close() {
      await firmware.stop();
      await owner.end();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
