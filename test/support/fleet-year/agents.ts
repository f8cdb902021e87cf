import { type Random, randomInteger } from "../../../src/kernel/random.ts";
import {
  type Assignment,
  NO_VERSIONS,
  type UpdateState,
  verifyAssignment,
} from "../../../src/protocol/index.ts";
import type { Agenda } from "./agenda.ts";
import type { Image, Unit } from "./units.ts";
import { TENANT, type World } from "./world.ts";

/** What is wrong with a release, as its devices get to feel it. */
export interface Character {
  image: Image;
  hardware: readonly string[];
  /** Share of boots that fall back to the image before, and that are never heard of again. */
  fallbackShare: number;
  brickShare: number;
  crashesPerDay: number;
}

/** What an agent tells of what no device may ever see. */
export type Accuse = (invariant: string, details: object) => void;

interface Surroundings {
  world: World;
  agenda: Agenda;
  random: Random;
  characters: ReadonlyMap<string, Character>;
  /** A device has been told to begin an update. */
  onBegin: (updateId: string) => void;
  accuse: Accuse;
  onBrick: (unit: Unit) => void;
}

const VERIFIED_SHARE = 0.05;
const LOST_REPORTS = 0.01;
const REPEATED_REPORTS = 0.02;
const FAILED_DOWNLOADS = 0.004;
const POWER_LOSSES = 0.01;

/** Agents that do as they are told, on lines that lose words and with power that fails. */
export function createAgents(around: Surroundings) {
  const { world, agenda, random, characters } = around;

  /** Does something when the device is on line; a step of an update that was stopped is left out. */
  function later(unit: Unit, minutes: number, updateId: string, work: () => Promise<void>): void {
    const step = (): Promise<void> | void => {
      if (unit.busy?.updateId !== updateId || unit.isBricked) return;
      if (!unit.isOnline) {
        unit.waiting.push(() => later(unit, 1, updateId, work));
        return;
      }
      return work();
    };
    agenda.in(minutes, step);
  }

  async function say(unit: Unit, updateId: string, state: Partial<UpdateState>): Promise<void> {
    if (random.next() < LOST_REPORTS) return;
    const report = { phase: "downloading" as const, ...state, updateId };
    const peer = { tenantId: TENANT, deviceId: unit.id };
    const send = () => world.engine().recordUpdateState(peer, report, world.clock.now());
    try {
      await send();
      if (random.next() < REPEATED_REPORTS) await send();
    } catch {
      // A platform that has died has not answered: the agent says it again.
      agenda.in(2 + randomInteger(random, 5), () => say(unit, updateId, state));
    }
  }

  async function beat(unit: Unit): Promise<void> {
    const receivedAt = world.clock.now();
    const { version, hash } = unit.running;
    const heartbeat = {
      ts: receivedAt,
      seq: unit.boot,
      bootId: `${unit.id}-${unit.boot}`,
      uptimeSeconds: 60,
      firmware: { version, hash, slot: unit.boot % 2 === 0 ? "a" : "b" },
      otherSlot: unit.other && { version: unit.other.version, hash: unit.other.hash },
      formats: ["full"],
    };
    const peer = { tenantId: TENANT, deviceId: unit.id };
    await world.devices.recordHeartbeats([{ ...peer, heartbeat, receivedAt }]);
    await world
      .engine()
      .recordHeartbeat(peer, heartbeat, receivedAt)
      .catch(() => agenda.in(3, () => beat(unit)));
  }

  function boot(unit: Unit, image: Image): void {
    unit.other = unit.running;
    unit.running = image;
    unit.boot += 1;
  }

  async function ask(unit: Unit): Promise<void> {
    if (!unit.isOnline || unit.isBricked) return;
    const envelope = await world
      .engine()
      .currentAssignment(TENANT, unit.id)
      .catch(() => undefined);
    if (envelope === undefined) return agenda.in(2, () => ask(unit));
    if (!envelope || envelope.signed.sequence <= unit.sequence) return;
    const assignment = envelope.signed;
    check(unit, assignment, envelope);
    unit.sequence = assignment.sequence;
    if (assignment.action === "cancel") return stop(unit, assignment);
    if (unit.busy?.updateId === assignment.updateId) return;
    unit.busy = { updateId: assignment.updateId, canStop: true };
    around.onBegin(assignment.updateId);
    await begin(unit, assignment);
  }

  function check(unit: Unit, assignment: Assignment, envelope: object): void {
    const release = assignment.release?.signed;
    if (release && !release.hardwareRevisions.includes(unit.hardware)) {
      around.accuse("nobody gets an image that is not for it", { device: unit.id });
    }
    if (random.next() >= VERIFIED_SHARE) return;
    const verdict = verifyAssignment(
      envelope as Parameters<typeof verifyAssignment>[0],
      { root: world.root, versions: NO_VERSIONS },
      {
        tenant: TENANT,
        device: unit.id,
        product: "hub",
        hardwareRevision: unit.hardware,
        runningVersion: unit.running.version,
        runningSha256: unit.running.hash,
        securityFloor: unit.floor,
        lastSequence: unit.sequence,
        slotSizeBytes: 1e9,
        trustedTimeMs: world.clock.now(),
      },
    );
    if (!verdict.accepted) around.accuse("no device is sent what it must refuse", { verdict });
  }

  async function stop(unit: Unit, { updateId }: Assignment): Promise<void> {
    const isMine = unit.busy?.updateId === updateId;
    if (isMine && !unit.busy?.canStop) return;
    if (isMine) unit.busy = null;
    const error = { phase: "offered", element: "cancelled", message: "told to stop" };
    await say(unit, updateId, { phase: "failed", error });
  }

  async function begin(unit: Unit, assignment: Assignment): Promise<void> {
    const { updateId } = assignment;
    const sha256 = assignment.release?.signed.image.sha256 ?? "";
    const target = characters.get(sha256);
    if (!target) return around.accuse("an image is one of the published", { sha256 });
    await say(unit, updateId, { phase: "downloading" });
    later(unit, 2 + randomInteger(random, 20), updateId, async () => {
      if (random.next() < FAILED_DOWNLOADS) {
        unit.busy = null;
        const error = { phase: "downloading", element: "network", message: "gave up" };
        return say(unit, updateId, { phase: "failed", error });
      }
      await say(unit, updateId, { phase: "installing" });
      later(unit, 1 + randomInteger(random, 4), updateId, async () => {
        if (unit.busy) unit.busy.canStop = false;
        const bootId = `${unit.id}-${unit.boot}`;
        await say(unit, updateId, { phase: "rebooting", bootId });
        const isDark = random.next() < POWER_LOSSES;
        later(unit, isDark ? 30 + randomInteger(random, 2_000) : 2, updateId, () =>
          start(unit, updateId, target),
        );
      });
    });
  }

  async function start(unit: Unit, updateId: string, target: Character): Promise<void> {
    const before = unit.running;
    boot(unit, target.image);
    const fate = random.next();
    if (fate < target.brickShare) {
      unit.isBricked = true;
      unit.busy = null;
      return around.onBrick(unit);
    }
    if (fate < target.brickShare + target.fallbackShare) {
      boot(unit, before);
      unit.busy = null;
      const error = { phase: "confirming", element: "self-test", message: "no network" };
      await say(unit, updateId, { phase: "fell-back", error, running: runningOf(unit) });
      return beat(unit);
    }
    await say(unit, updateId, { phase: "confirming" });
    later(unit, 2, updateId, async () => {
      unit.floor = Math.max(unit.floor, target.image.counter);
      unit.busy = null;
      await say(unit, updateId, { phase: "succeeded", running: runningOf(unit), format: "full" });
      await beat(unit);
    });
  }

  function runningOf({ running: { version, hash }, boot: boots }: Unit) {
    return { version, hash, slot: boots % 2 === 0 ? "a" : "b" };
  }

  return { ask, beat };
}
