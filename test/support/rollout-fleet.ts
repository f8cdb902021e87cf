import { randomUUID } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { sql } from "kysely";
import { expect } from "vitest";
import { createAlerts } from "../../src/alerts/index.ts";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { createDevices, type Incident } from "../../src/devices/index.ts";
import { createFirmware } from "../../src/firmware/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import {
  type Assignment,
  type Envelope,
  type Heartbeat,
  NO_VERSIONS,
  type RootMetadata,
  signDocument,
  type UpdateState,
  verifyAssignment,
} from "../../src/protocol/index.ts";
import { createRollouts, type RolloutView } from "../../src/rollouts/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase } from "./database.ts";
import { makeKey, makeManifest, makeRoot, type TrustKeys } from "./signing.ts";

export const actor = { kind: "user" as const, id: "u-1", name: "Ada" };
export const SECOND = 1_000;

/** A device that does as it is told, as far as a rollout can see. */
export interface ScriptedDevice {
  id: string;
  running: { version: string; hash: string; slot: string };
  other: { version: string; hash: string } | null;
  bootId: string;
  seq: number;
  lastSequence: number;
  online: boolean;
}

/** A policy in seconds, so that a rollout takes minutes of virtual time. */
export const QUICK_POLICY = {
  stages: [
    { name: "canary", devices: 2 },
    { name: "half", percent: 50 },
    { name: "all", percent: 100 },
  ],
  minSoakSeconds: 10,
  maxSoakSeconds: 20,
  askAfterSeconds: 600,
  evaluateEverySeconds: 5,
  deadlines: {
    offered: 20 * SECOND,
    downloading: 20 * SECOND,
    installing: 20 * SECOND,
    rebooting: 20 * SECOND,
    confirming: 20 * SECOND,
  },
};

export type RolloutFleet = Awaited<ReturnType<typeof createRolloutFleet>>;

interface FleetOptions {
  devices: number;
  tenant?: string;
  /** Asks for deltas and builds them: seconds of CPU, for tests that are about them. */
  deltas?: boolean;
}

/** Real modules on a real database and virtual time, with one tenant's devices. */
export async function createRolloutFleet(options: FleetOptions) {
  const tenant = options.tenant ?? "acme";
  const test = await createTestDatabase();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-rollouts-"));
  const clock = new VirtualClock(Date.now());
  const bus = new LocalBus();
  const logger = createLogger({ level: "silent" });
  const sealer = createSealer(Buffer.alloc(32, 3));
  const blobs = openBlobStore({ directory });
  const tenancy = createTenancy({ db: test.db, clock });
  const devices = createDevices({ db: test.db, clock, bus, tenancy });
  const everything = createFirmware({ db: test.db, clock, blobs, sealer, tenancy, logger });
  // Whatever a rollout decides, it decides it with full images too.
  const firmware = options.deltas ? everything : { ...everything, requestDeltas: async () => [] };
  const alerts = createAlerts({ db: test.db, clock, bus, sealer, logger });
  /** What devices say of a metric, and who wrote errors; nothing unless a test says so. */
  let figures = (_ids: readonly string[]) => new Map<string, number>();
  let lines = (_query: { fromEach?: readonly number[] }): number => {
    throw new Error("no time-series store");
  };
  let errors: (query: { from: number; to: number }) => { deviceId: string; ts: number }[] =
    () => [];
  let looks = 0;
  const make = (brokenFirmware: object = {}) =>
    createRollouts({
      db: test.db,
      clock,
      bus,
      logger,
      tenancy,
      devices,
      firmware: { ...firmware, ...brokenFirmware },
      alerts,
      // The time-series store is away: only thresholds on it may notice.
      telemetry: {
        metricByArm: () => Promise.reject(new Error("no time-series store")),
        figuresByDevice: async (_tenant, query) => figures(query.deviceIds),
      },
      queries: {
        series: () => Promise.reject(new Error("no time-series store")),
        answerByDevice: async (_tenant, { deviceIds }) => figures(deviceIds),
        faultOf: () => undefined,
      },
      logs: {
        errorRate: async (_tenant, query) => ({ steadyLinesPerDevice: lines(query) }),
        errorsByHour: () => Promise.reject(new Error("no time-series store")),
        devicesWithErrors: async (_tenant, query) => {
          looks += 1;
          return errors(query);
        },
      },
      artifactUrl: (sha256) => `https://vautn.test/artifacts/${sha256}`,
    });
  const rollouts = make();

  const keys: TrustKeys = { root: makeKey(), release: [makeKey()] };
  const roots = new Map<string, Envelope<RootMetadata>>();
  const addTenant = async (id: string) => {
    await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    const root = makeRoot(id, keys, await firmware.ensureOnlineKeys(id));
    await firmware.setTrustRoot(id, root, SYSTEM_ACTOR);
    roots.set(id, root);
  };
  await addTenant(tenant);

  const publish = async (version: string, changes: object = {}, to = tenant) => {
    const image = Buffer.from(`image ${version} ${"x".repeat(2_000)}`);
    const manifest = makeManifest(image, { tenant: to, version, ...changes });
    const envelope = signDocument(manifest, keys.release);
    const given = { envelope, image: Readable.from([image]) };
    return firmware.publish(to, given, SYSTEM_ACTOR);
  };

  const first = await publish("1.0.0");
  const fleet: ScriptedDevice[] = [];
  for (let index = 0; index < options.devices; index += 1) {
    const id = `d-${String(index).padStart(3, "0")}`;
    await devices.register(null, tenant, {
      id,
      product: "hub",
      hardwareRevision: "a",
      region: index % 2 === 0 ? "eu" : "us",
    });
    fleet.push({
      id,
      running: { version: "1.0.0", hash: first.imageSha256, slot: "a" },
      other: null,
      bootId: randomUUID(),
      seq: 0,
      lastSequence: 0,
      online: true,
    });
  }
  const peer = (device: { id: string }) => ({ tenantId: tenant, deviceId: device.id });

  const heartbeat = (device: ScriptedDevice): Heartbeat => ({
    ts: clock.now(),
    seq: device.seq++,
    bootId: device.bootId,
    uptimeSeconds: 10,
    firmware: device.running,
    otherSlot: device.other,
    formats: ["full", "full-zstd", "zstd-patch"],
  });
  const beat = async (...speaking: ScriptedDevice[]) => {
    const receivedAt = clock.now();
    const beats = speaking.map((device) => ({
      tenantId: tenant,
      deviceId: device.id,
      heartbeat: heartbeat(device),
      receivedAt,
    }));
    await devices.recordHeartbeats(beats);
    await Promise.all(
      beats.map((entry) => rollouts.recordHeartbeat(entry, entry.heartbeat, receivedAt)),
    );
  };
  const connect = (device: ScriptedDevice) =>
    devices.connected(peer(device), { gatewayId: "g", connectionId: device.id });
  await Promise.all(fleet.map(connect));
  await beat(...fleet);

  const say = (device: ScriptedDevice, assignment: Assignment, state: Partial<UpdateState>) =>
    rollouts.recordUpdateState(
      peer(device),
      { updateId: assignment.updateId, phase: "downloading", ...state },
      clock.now(),
    );

  /** What the device has to do now, if it would accept it. */
  const assignmentOf = async (device: ScriptedDevice): Promise<Assignment | null> => {
    const envelope = await rollouts.currentAssignment(tenant, device.id);
    if (!envelope || envelope.signed.sequence <= device.lastSequence) return null;
    const root = roots.get(tenant) as Envelope<RootMetadata>;
    const verdict = verifyAssignment(
      envelope,
      { root, versions: NO_VERSIONS },
      {
        tenant,
        device: device.id,
        product: "hub",
        hardwareRevision: "a",
        runningVersion: device.running.version,
        runningSha256: device.running.hash,
        securityFloor: 0,
        lastSequence: device.lastSequence,
        slotSizeBytes: 1e9,
        trustedTimeMs: clock.now(),
      },
    );
    expect(verdict).toMatchObject({ accepted: true });
    device.lastSequence = envelope.signed.sequence;
    return envelope.signed;
  };

  const boot = (device: ScriptedDevice, image: { version: string; hash: string }) => {
    const { version, hash } = device.running;
    device.other = { version, hash };
    device.running = { ...image, slot: device.running.slot === "a" ? "b" : "a" };
    device.bootId = randomUUID();
  };

  type Fate = "well" | "falls-back" | "vanishes" | "ignores";

  /** Carries out what the device was told, with the fate that is meant for it. */
  const obey = async (device: ScriptedDevice, fate: Fate = "well"): Promise<boolean> => {
    if (!device.online || fate === "ignores") return false;
    const assignment = await assignmentOf(device);
    if (!assignment) return false;
    if (assignment.action === "cancel") {
      const error = { phase: "offered", element: "cancelled", message: "told to stop" };
      await say(device, assignment, { phase: "failed", error });
      return true;
    }
    const { image, version } = (assignment.release as NonNullable<Assignment["release"]>).signed;
    if (assignment.action === "install") {
      await say(device, assignment, { phase: "downloading" });
      await say(device, assignment, { phase: "installing" });
    }
    await say(device, assignment, { phase: "rebooting", bootId: device.bootId });
    if (fate === "vanishes") {
      device.online = false;
      return true;
    }
    const target = { version, hash: image.sha256 };
    const earlier = device.running;
    boot(device, target);
    if (fate === "falls-back") {
      boot(device, earlier);
      const error = { phase: "confirming", element: "self-test", message: "no network" };
      await say(device, assignment, { phase: "fell-back", error, running: device.running });
    } else {
      await say(device, assignment, { phase: "confirming" });
      const [offer] = assignment.artifacts;
      const bytes = assignment.action === "install" ? told(device, offer?.sizeBytes ?? 0) : {};
      await say(device, assignment, {
        phase: "succeeded",
        running: device.running,
        ...(offer ? { format: offer.format } : {}),
        ...bytes,
      });
    }
    await beat(device);
    return true;
  };

  let incidents = 0;
  const incident = async (device: ScriptedDevice, changes: Partial<Incident> = {}) => {
    await devices.recordIncidents([
      {
        tenantId: tenant,
        deviceId: device.id,
        kind: "crash",
        key: `${device.bootId}:${incidents++}`,
        occurredAt: clock.now(),
        firmwareSha256: device.running.hash,
        details: {},
        ...changes,
      },
    ]);
  };

  const buildDeltas = async () => {
    while (await firmware.buildNextDelta(tenant));
  };
  const create = async (releaseId: string, policy: object = {}, query = "") => {
    const spec = { name: "next", releaseId, query, policy: { ...QUICK_POLICY, ...policy } };
    const { id } = await rollouts.create(tenant, spec, actor);
    await buildDeltas();
    return id;
  };

  /** Those who have something to be told; the others need not be asked one by one. */
  const addressed = async () => {
    const rows = await test.db.tenant(tenant, (tx) =>
      tx
        .selectFrom("rollout_devices")
        .select("device_id")
        .where("state", "in", ["offered", "downloading", "installing", "rebooting", "confirming"])
        .execute(),
    );
    const ids = new Set(rows.map((row) => row.device_id));
    return fleet.filter((device) => ids.has(device.id));
  };

  /** Lets time pass in steps of five seconds, everybody doing as `fate` says. */
  const run = async (
    seconds: number,
    fate?: (device: ScriptedDevice) => Fate,
    until: () => Promise<boolean> = async () => false,
  ) => {
    for (let passed = 0; passed < seconds; passed += 5) {
      await rollouts.tick(tenant);
      const told = await addressed();
      // A fate may depend on what became of the device before.
      if (fate) for (const device of told) await obey(device, fate(device));
      else await Promise.all(told.map((device) => obey(device)));
      await rollouts.tick(tenant);
      if (await until()) return;
      await clock.advance(5 * SECOND);
    }
  };
  const runUntil = async (
    id: string,
    state: RolloutView["state"],
    fate?: (device: ScriptedDevice) => Fate,
  ): Promise<void> => {
    await run(900, fate, async () => (await rollouts.get(tenant, id)).state === state);
    const view = await rollouts.get(tenant, id);
    if (view.state === state) return;
    throw new Error(`the rollout is ${view.state} in stage ${view.stageIndex}, not ${state}`);
  };

  /** Counters and rows must tell the same story. */
  const expectCountersToMatch = async (id: string) => {
    const rows = await test.db.tenant(tenant, (tx) =>
      tx
        .selectFrom("rollout_devices")
        .select(["stage_index", "state", (build) => build.fn.countAll<number>().as("devices")])
        .where("rollout_id", "=", id)
        .groupBy(["stage_index", "state"])
        .execute(),
    );
    const counters = await test.db.tenant(tenant, (tx) =>
      tx
        .selectFrom("rollout_counters")
        .select(["stage_index", "state", "devices"])
        .where("rollout_id", "=", id)
        .where("devices", ">", 0)
        .execute(),
    );
    const sorted = (list: { stage_index: number; state: string; devices: number }[]) =>
      list.map((row) => `${row.stage_index} ${row.state} ${row.devices}`).sort();
    expect(sorted(counters)).toEqual(sorted(rows));
    const arms = await test.db.tenant(tenant, async (tx) => {
      const { rows: unlike } = await sql`
        select c.cohort, c.treated, c.control, n.treated as treated_rows, n.control as control_rows
        from rollout_cohorts c
        cross join lateral (
          select count(*) filter (where state in ('confirming', 'succeeded')) as treated,
                 count(*) filter (where state = 'pending') as control
          from rollout_devices d
          where d.rollout_id = c.rollout_id and d.cohort = c.cohort
            and d.excluded_reason is null and not d.is_absent) n
        where c.rollout_id = ${id} and (c.treated, c.control) <> (n.treated, n.control)`.execute(
        tx,
      );
      return unlike;
    });
    expect(arms).toEqual([]);
  };

  return {
    tenant,
    tenancy,
    setFigures: (of: typeof figures) => {
      figures = of;
    },
    setErrorLines: (of: typeof lines) => {
      lines = of;
    },
    setErrors: (list: ReturnType<typeof errors>) => {
      errors = () => list;
    },
    /** A log store that knows the time; it throws while it is away. */
    setErrorLog: (log: typeof errors) => {
      errors = log;
    },
    /** How often the gate has asked the log store. */
    looks: () => looks,
    db: test.db,
    superuserUrl: test.superuserUrl,
    clock,
    bus,
    devices,
    firmware,
    alerts,
    rollouts,
    /** Another process's module on the same stores. */
    make,
    fleet,
    addTenant,
    publish,
    first,
    peer,
    beat,
    boot,
    connect,
    say,
    assignmentOf,
    obey,
    incident,
    buildDeltas,
    create,
    run,
    runUntil,
    expectCountersToMatch,
    states: async (id: string) => {
      const { items } = await rollouts.devices(tenant, id, { limit: 500 });
      return new Map(items.map((item) => [item.deviceId, item.state]));
    },
    async close() {
      await firmware.stop();
      await test.close();
      fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Every third device is behind a cache, every third of an older agent that does not say from where. */
function told(device: ScriptedDevice, bytesDownloaded: number): Partial<UpdateState> {
  const kind = Number(/\d+$/.exec(device.id)?.[0] ?? 0) % 3;
  if (kind === 0) return { bytesDownloaded };
  const [cache, platform] = kind === 1 ? [bytesDownloaded, 0] : [0, bytesDownloaded];
  return { bytesDownloaded, bytesBySource: { platform, cache, store: 0 } };
}
