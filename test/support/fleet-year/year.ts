import { type Random, randomInteger, seededRandom } from "../../../src/kernel/random.ts";
import { Agenda } from "./agenda.ts";
import { type Character, createAgents } from "./agents.ts";
import { checkBegun, checkEnd, checkRollouts } from "./invariants.ts";
import { createOperators, somePolicy } from "./operators.ts";
import { createUnits, type Image, type Unit, writeOnline } from "./units.ts";
import { createWorld, TENANT } from "./world.ts";

const DAY = 1_440;
const AT_ONCE = 200;
const BASE_CRASHES_PER_DAY = 0.005;

export interface YearOptions {
  db: Parameters<typeof createWorld>[0]["db"];
  ownerUrl: string;
  devices: number;
  days: number;
  /** Days between releases. */
  releaseEvery: number;
  /** Minutes that pass at once: what happens within them happens together. */
  tickMinutes: number;
  /** Crashes of the platform in the year, at random transactions. */
  crashes: number;
  seed: number;
  progress?: (line: string) => void;
}

export interface YearReport {
  seed: number;
  devices: number;
  days: number;
  rollouts: number;
  updatesBegun: number;
  platformCrashes: number;
  checks: number;
  operators: Record<string, number>;
  states: Record<string, number>;
  violations: { invariant: string; day: number; details: object }[];
}

/**
 * A fleet's year with the real engine: releases good and bad, devices that come and go, lose power
 * and words, operators who pause and roll back, and a platform that dies wherever it happens to be.
 */
export async function simulateYear(options: YearOptions): Promise<YearReport> {
  const { seed, days, devices: size } = options;
  const random = seededRandom(seed);
  const world = await createWorld({ ...options, random });
  try {
    const agenda = new Agenda(days * DAY);
    const violations: YearReport["violations"] = [];
    const accuse = (invariant: string, details: object) => {
      if (violations.length < 50) {
        violations.push({ invariant, day: Math.floor(agenda.now / DAY), details });
      }
    };
    const characters = new Map<string, Character>();
    const publish = releases(world, random, characters);
    const first = await publish("1.0.0", "good");
    const units = await createUnits(world, size, first, random);
    const byId = new Map(units.map((unit) => [unit.id, unit]));
    const begun: string[] = [];
    let updatesBegun = 0;
    const turned = new Set<Unit>();
    const turn = (unit: Unit, isOnline: boolean) => {
      if (unit.isOnline === isOnline || (isOnline && unit.isBricked)) return;
      unit.isOnline = isOnline;
      turned.add(unit);
    };
    const agents = createAgents({
      world,
      agenda,
      random,
      characters,
      accuse,
      onBegin: (updateId) => begun.push(updateId),
      onBrick: (unit) => {
        turn(unit, false);
        // Somebody drives there and puts the first image on it.
        agenda.in(randomInteger(random, 20 * DAY) + DAY, () => {
          unit.isBricked = false;
          unit.running = unit.floor > first.counter ? unit.running : first;
          unit.boot += 1;
          turn(unit, true);
          return agents.beat(unit);
        });
      },
    });
    const comeBack = (unit: Unit) => {
      for (const work of unit.waiting.splice(0)) work();
      agenda.in(1, () => agents.ask(unit));
    };
    world.bus.subscribe("device.>", (message, subject) => {
      const unit = byId.get(decodeURIComponent(subject.split(".").at(-1) ?? ""));
      if (message.kind === "update" && unit) agenda.in(1, () => agents.ask(unit));
    });
    planOutages(agenda, units, random, days, turn);
    planIncidents(agenda, { world, units, random, characters, days });
    const operators = createOperators(world, random);
    planReleases(agenda, options, { random, publish, operators, accuse });
    planCrashes(agenda, options, random, (transactions) => world.lightFuse(transactions));

    let checks = 0;
    let dueMinute = 0;
    let reported = 0;
    let checked = 0;
    while (agenda.now < agenda.length - 1) {
      const next = agenda.next(Math.max(agenda.now + 1, dueMinute));
      const minute = Math.ceil(next / options.tickMinutes) * options.tickMinutes;
      if (minute >= agenda.length) break;
      await world.clock.advance((minute - agenda.now) * 60_000);
      const work = agenda.take(minute);
      for (let start = 0; start < work.length; start += AT_ONCE) {
        await Promise.all(work.slice(start, start + AT_ONCE).map((step) => step()));
      }
      await writeOnline(world, [...turned]);
      const returned = [...turned].filter((unit) => unit.isOnline);
      turned.clear();
      for (const unit of returned) comeBack(unit);
      await checkBegun(world, begun, options.tickMinutes, accuse);
      updatesBegun += begun.splice(0).length;
      await world
        .engine()
        .tick(TENANT)
        .catch(() => undefined);
      if (world.revive()) {
        // All connections ended with it: everybody connects again and asks.
        for (const unit of units) {
          if (unit.isOnline) agenda.in(1 + randomInteger(random, 10), () => agents.ask(unit));
        }
        await checkRollouts(world, accuse);
        checks += 1;
      }
      // What is published is heard after the present turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      dueMinute = await nextDue(world, agenda);
      if (agenda.now >= checked + 7 * DAY) {
        checked = agenda.now;
        await checkRollouts(world, accuse);
        checks += 1;
      }
      if (agenda.now >= reported + 30 * DAY) {
        reported = agenda.now;
        options.progress?.(`day ${Math.floor(minute / DAY)}: ${updatesBegun} updates begun`);
      }
    }
    await checkRollouts(world, accuse);
    const states = await checkEnd(world, units, accuse);
    const { rows } = await world.owner.query("select count(*)::int as n from rollouts");
    return {
      seed,
      devices: size,
      days,
      rollouts: rows[0].n,
      updatesBegun,
      platformCrashes: world.crashes(),
      checks: checks + 1,
      operators: operators.done,
      states,
      violations,
    };
  } finally {
    await world.close();
  }
}

type Surroundings = Awaited<ReturnType<typeof createWorld>>;

/** Publishes releases of a character and knows what each image is like. */
function releases(world: Surroundings, random: Random, characters: Map<string, Character>) {
  let counter = 1;
  return async (version: string, kind: string): Promise<Image & { releaseId: string }> => {
    // Now and then a release raises the floor: who has started it cannot go back below.
    if (version !== "1.0.0" && random.next() < 0.15) counter += 1;
    const hardware = random.next() < 0.2 && version !== "1.0.0" ? ["a", "b"] : ["a", "b", "c"];
    const changes = { hardwareRevisions: hardware, securityCounter: counter };
    const release = await world.publish(version, changes);
    const image = { version, hash: release.imageSha256, counter };
    characters.set(image.hash, {
      image,
      hardware,
      fallbackShare: kind === "falls-back" ? 0.3 : 0.001,
      brickShare: kind === "bricks" ? 0.2 : 0.0002,
      crashesPerDay: BASE_CRASHES_PER_DAY * (kind === "crashes" ? 10 : 1),
    });
    return { ...image, releaseId: release.id };
  };
}

/** Most devices are seldom away, some for weeks, some come once in a while. */
function planOutages(
  agenda: Agenda,
  units: readonly Unit[],
  random: Random,
  days: number,
  turn: (unit: Unit, isOnline: boolean) => void,
): void {
  const last = (days - 12) * DAY;
  for (const unit of units) {
    const kind = random.next();
    const everyDays = kind < 0.9 ? 90 : kind < 0.97 ? 14 : 60;
    const awayMinutes = () =>
      kind < 0.9
        ? 20 + randomInteger(random, 600)
        : kind < 0.97
          ? 5 * DAY + randomInteger(random, 5 * DAY)
          : 20 * DAY + randomInteger(random, 20 * DAY);
    for (let at = randomInteger(random, everyDays * DAY); at < last; ) {
      const until = Math.min(last, at + awayMinutes());
      agenda.in(at, () => turn(unit, false));
      agenda.in(until, () => turn(unit, true));
      at = until + DAY + randomInteger(random, 2 * everyDays * DAY);
    }
  }
}

/** Crashes by the hour, more of them from devices on an image that makes them. */
function planIncidents(
  agenda: Agenda,
  around: {
    world: Surroundings;
    units: readonly Unit[];
    random: Random;
    characters: ReadonlyMap<string, Character>;
    days: number;
  },
): void {
  const { world, units, random, characters, days } = around;
  let number = 0;
  for (let hour = 1; hour < days * 24; hour += 1) {
    agenda.in(hour * 60, async () => {
      const worst = BASE_CRASHES_PER_DAY * 10;
      const expected = (units.length * worst) / 24;
      const count = Math.floor(expected) + (random.next() < expected % 1 ? 1 : 0);
      const struck = Array.from(
        { length: count },
        () => units[randomInteger(random, units.length)] as Unit,
      ).filter((unit) => {
        const rate = characters.get(unit.running.hash)?.crashesPerDay ?? 0;
        return unit.isOnline && random.next() < rate / worst;
      });
      if (struck.length === 0) return;
      await world.devices.recordIncidents(
        struck.map((unit) => ({
          tenantId: TENANT,
          deviceId: unit.id,
          kind: "crash" as const,
          key: `crash-${number++}`,
          occurredAt: world.clock.now(),
          firmwareSha256: unit.running.hash,
          details: {},
        })),
      );
    });
  }
}

const KINDS = ["good", "good", "crashes", "good", "falls-back", "good", "bricks"];

/** A release and its rollout every few weeks, the operators' rounds, and an end to everything. */
function planReleases(
  agenda: Agenda,
  { days, releaseEvery }: YearOptions,
  around: {
    random: Random;
    publish: ReturnType<typeof releases>;
    operators: ReturnType<typeof createOperators>;
    accuse: (invariant: string, details: object) => void;
  },
): void {
  const { random, publish, operators } = around;
  const lastDay = days - 15;
  for (let day = 1, number = 1; day < lastDay - 5; day += releaseEvery, number += 1) {
    agenda.in(day * DAY + 60, async () => {
      const kind = KINDS[(number - 1) % KINDS.length] as string;
      const release = await publish(`1.${number}.0`, kind);
      await operators.setApprovals(random.next() < 0.3 ? 1 : 0);
      await operators.begin({
        name: `${kind} ${number}`,
        releaseId: release.releaseId,
        query: random.next() < 0.2 ? "region in (eu, us)" : "",
        policy: { ...somePolicy(random), dynamic: random.next() < 0.15 },
      });
    });
  }
  for (let hour = 6; hour < lastDay * 24; hour += 6) {
    agenda.in(hour * 60 + 30, () => operators.lookIn());
  }
  for (let hour = 0; hour < 48; hour += 6) {
    agenda.in(lastDay * DAY + hour * 60, () => operators.endAll());
  }
}

function planCrashes(
  agenda: Agenda,
  { days, crashes }: YearOptions,
  random: Random,
  lightFuse: (transactions: number) => void,
): void {
  for (let count = 0; count < crashes; count += 1) {
    agenda.in(randomInteger(random, (days - 16) * DAY), () =>
      lightFuse(1 + randomInteger(random, 200)),
    );
  }
}

/** The minute in which the engine has something to do by itself. */
async function nextDue(world: Surroundings, agenda: Agenda): Promise<number> {
  const { rows } = await world.owner.query(
    `select least((select min(next_evaluation_at) from rollouts where tenant_id = $1),
                  (select min(phase_deadline_at) from rollout_devices where tenant_id = $1)) as due`,
    [TENANT],
  );
  const due: Date | null = rows[0].due;
  if (!due) return agenda.length;
  return agenda.now + Math.max(1, Math.ceil((due.getTime() - world.clock.now()) / 60_000));
}
