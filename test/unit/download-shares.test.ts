import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DownloadPace, type Ticket } from "../../src/device-http/download-pace.ts";
import { DownloadShares } from "../../src/device-http/download-shares.ts";
import { shareOut, usefulPlaces } from "../../src/device-http/share-out.ts";
import type { DownloadShareStore, HeldShare } from "../../src/firmware/index.ts";
import { isAppError, sleep } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { seededRandom } from "../../src/kernel/random.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";

const FREE = { concurrent: 1_000_000, bytesPerSecond: 0 };
const CHUNK = 16 * 1024;
const logger = createLogger({ level: "silent" });

/** As the database does it: one exchange at a time, each takes a moment, leases end. */
class SharedMemory implements DownloadShareStore {
  readonly rows = new Map<string, HeldShare & { key: string; until: number }>();
  readonly cutOff = new Set<string>();
  exchanges = 0;
  readonly #clock: VirtualClock;
  #last: Promise<unknown> = Promise.resolve();

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  exchange(...[process, keys, leaseMs, decide]: Parameters<DownloadShareStore["exchange"]>) {
    return this.#inTurn(process, () => {
      this.exchanges += 1;
      const names = keys.map((key) => `${key.tenantId}/${key.rolloutId}`);
      const now = this.#clock.now();
      const others = [...this.rows.values()].filter(
        (row) => row.process !== process && row.until > now,
      );
      const held = decide(names.map((name) => others.filter((row) => row.key === name)));
      for (const [index, key] of names.entries()) {
        const row = { ...(held[index] as HeldShare), process, key, until: now + leaseMs };
        this.rows.set(`${process} ${key}`, row);
      }
    });
  }

  release(process: string, keys: Parameters<DownloadShareStore["release"]>[1]) {
    return this.#inTurn(process, () => {
      for (const key of keys) this.rows.delete(`${process} ${key.tenantId}/${key.rolloutId}`);
    });
  }

  leave(process: string) {
    return this.#inTurn(process, () => {
      for (const [name, row] of this.rows) if (row.process === process) this.rows.delete(name);
    });
  }

  #inTurn(process: string, work: () => void): Promise<void> {
    const turn = this.#last.then(async () => {
      if (this.cutOff.has(process)) throw new Error("no way to the database");
      await sleep(this.#clock, 3);
      work();
    });
    this.#last = turn.catch(() => {});
    return turn;
  }
}

function world(processes = ["left", "right"]) {
  const clock = new VirtualClock(0);
  const memory = new SharedMemory(clock);
  const paces = processes.map((process, index) => {
    const shares = new DownloadShares({ clock, logger, store: memory, process });
    return new DownloadPace({ clock, random: seededRandom(index) }, FREE, shares);
  });
  return { clock, memory, paces: paces as [DownloadPace, DownloadPace] };
}

describe("a pace that several processes keep together", () => {
  /** Devices ask whatever process they come to, and come back when they are told to. */
  async function storm(processes: string[], devices: number) {
    const { clock, paces, memory } = world(processes);
    const limits = { concurrent: 40, bytesPerSecond: 1_000_000 };
    const perSecond = new Map<number, number>();
    const finished = [0, 0];
    let active = 0;
    let mostActive = 0;
    let doneAt = 0;
    async function device(index: number) {
      const random = seededRandom(1_000 + index);
      await sleep(clock, random.next() * 5_000);
      for (;;) {
        const at = Math.floor(random.next() * processes.length) as 0 | 1;
        const request = { tenantId: "acme", deviceId: `d-${index}`, tenant: FREE };
        let ticket: Ticket;
        try {
          ticket = await paces[at].admit({ ...request, rollout: { id: "r", limits } });
        } catch (error) {
          if (!isAppError(error)) throw error;
          await sleep(clock, Number(error.details.retryAfterSeconds) * 1_000);
          continue;
        }
        active += 1;
        mostActive = Math.max(mostActive, active);
        for (let chunk = 0; chunk < 8; chunk += 1) {
          await ticket.take(CHUNK);
          const second = Math.floor(clock.now() / 1000);
          perSecond.set(second, (perSecond.get(second) ?? 0) + CHUNK);
        }
        active -= 1;
        ticket.leave();
        finished[at] = (finished[at] ?? 0) + 1;
        doneAt = clock.now();
        return;
      }
    }
    for (let index = 0; index < devices; index += 1) void device(index);
    await clock.advance(20 * 60_000);
    const mostBytes = Math.max(...perSecond.values());
    return { finished, mostActive, mostBytes, seconds: doneAt / 1_000, memory };
  }

  it("never lets more in, or more bytes out, than one process alone would", async () => {
    const alone = await storm(["one"], 400);
    const together = await storm(["left", "right"], 400);
    const { finished, memory } = together;
    expect((finished[0] as number) + (finished[1] as number)).toBe(400);
    expect(Math.min(...finished)).toBeGreaterThan(130);
    expect(together.mostActive).toBeLessThanOrEqual(40);
    // For each process one chunk may fall on the edge of a second.
    expect(together.mostBytes).toBeLessThanOrEqual(1_000_000 + 2 * CHUNK);
    // What is allowed is used as well as by one.
    expect(together.seconds).toBeLessThan(1.5 * alone.seconds);
    // One statement a second for each process, whatever the devices do; none when all is over.
    expect(memory.exchanges).toBeLessThan(3 * (together.seconds + 60));
    expect(memory.rows.size).toBe(0);
  });

  it("hands the only place from one process to the other", async () => {
    const { clock, paces } = world();
    const tenant = { concurrent: 1, bytesPerSecond: 0 };
    const served = [0, 0];
    let active = 0;
    async function customer(at: 0 | 1) {
      for (;;) {
        let ticket: Ticket | undefined;
        try {
          ticket = await paces[at].admit({ tenantId: "acme", deviceId: `d-${at}`, tenant });
        } catch {
          await sleep(clock, 500);
          continue;
        }
        active += 1;
        expect(active).toBe(1);
        await sleep(clock, 700);
        active -= 1;
        ticket.leave();
        served[at] = (served[at] ?? 0) + 1;
      }
    }
    void customer(0);
    void customer(1);
    await clock.advance(10 * 60_000);
    expect(Math.min(...served)).toBeGreaterThan(100);
  });

  it("gives a device of a quiet process its part of the bytes beside many of a busy one", async () => {
    const { clock, paces } = world();
    const tenant = { concurrent: 1_000, bytesPerSecond: 1_000_000 };
    const got = [0, 0];
    async function stream(at: 0 | 1, index: number) {
      let ticket: Ticket | undefined;
      while (!ticket) {
        const request = { tenantId: "acme", deviceId: `d-${at}-${index}`, tenant };
        ticket = await paces[at].admit(request).catch(() => undefined);
        if (!ticket) await sleep(clock, 1_000);
      }
      for (;;) {
        await ticket.take(CHUNK);
        got[at] = (got[at] ?? 0) + CHUNK;
      }
    }
    for (let index = 0; index < 19; index += 1) void stream(0, index);
    await clock.advance(5_000);
    void stream(1, 0);
    await clock.advance(5_000);
    const before = [...got] as [number, number];
    await clock.advance(100_000);
    const [busy, quiet] = [got[0]! - before[0], got[1]! - before[1]] as const;
    expect((quiet * 19) / busy).toBeGreaterThan(0.9);
    expect((quiet * 19) / busy).toBeLessThan(1.1);
    expect(busy + quiet).toBeLessThanOrEqual(100_000_000 + 2 * CHUNK);
    expect(busy + quiet).toBeGreaterThan(95_000_000);
  });

  it("lets a process without a way to the others use nothing of theirs", async () => {
    const { clock, paces, memory } = world();
    const tenant = { concurrent: 10, bytesPerSecond: 0 };
    async function enter(at: 0 | 1, index: number): Promise<Ticket | undefined> {
      const asked = paces[at].admit({ tenantId: "acme", deviceId: `d-${at}-${index}`, tenant });
      const answer = asked.catch(() => undefined);
      await clock.advance(10);
      return answer;
    }
    const held = [await enter(0, 0), await enter(0, 1), await enter(0, 2)];
    expect(held.every(Boolean)).toBe(true);
    memory.cutOff.add("left");
    await clock.advance(15_000);
    expect(await enter(0, 3)).toBeUndefined();
    for (let index = 0; index < 10; index += 1) expect(await enter(1, index)).toBeDefined();
    for (const ticket of held) ticket?.leave();
    memory.cutOff.clear();
    await clock.advance(2_000);
    expect(await enter(0, 4)).toBeUndefined();
  });

  it("needs no word of the others where a limit is not shared", async () => {
    const pace = new DownloadPace({ clock: new VirtualClock(0), random: seededRandom(1) }, FREE);
    await pace.admit({ tenantId: "acme", deviceId: "d", tenant: FREE });
    expect(pace.underWay("acme")).toBe(1);
  });
});

describe("the division of a limit", () => {
  const process = fc.record({
    wanted: fc.nat(200),
    /** Of what it may have under way it has so much. */
    use: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  const total = fc.record({
    concurrent: fc.integer({ min: 1, max: 100 }),
    bytesPerSecond: fc.oneof(fc.constant(0), fc.integer({ min: 1_024, max: 10_000_000 })),
  });

  it("never hands out more than there is, and gives everybody what is due to them", () => {
    fc.assert(
      fc.property(
        total,
        fc.array(fc.array(process, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 6 }),
        (limits, history) => {
          const whole = usefulPlaces(limits);
          const rows = new Map<string, HeldShare>();
          const allowed = [0, 0, 0];
          const exchange = (index: number, wanted: number, active: number, round: number) => {
            const name = `p-${index}`;
            const others = [...rows.values()].filter((row) => row.process !== name);
            const mine = { process: name, wanted, active };
            const share = shareOut(limits, mine, others, round);
            rows.set(name, { ...mine, ...share });
            allowed[index] = share.admits;
            const sum = (key: "places" | "bytesPerSecond") =>
              [...rows.values()].reduce((all, row) => all + row[key], 0);
            expect(sum("places")).toBeLessThanOrEqual(whole);
            expect(sum("bytesPerSecond")).toBeLessThanOrEqual(limits.bytesPerSecond);
            return share;
          };
          for (const [round, processes] of history.entries()) {
            for (const [index, { wanted, use }] of processes.entries()) {
              const active = Math.floor((allowed[index] as number) * use);
              exchange(index, Math.max(wanted, active), active, round);
            }
          }
          // Once the downloads under way have ended, two rounds settle it.
          const wants = (history.at(-1) as { wanted: number }[]).map(({ wanted }) => wanted);
          for (const settle of [true, true, false]) {
            for (const [index, wanted] of wants.entries()) {
              const share = exchange(index, wanted, 0, 99);
              if (settle) continue;
              const least = Math.min(wanted, Math.floor(whole / wants.length));
              expect(share.admits).toBeGreaterThanOrEqual(least);
              expect(share.isOwed).toBe(false);
              if (wanted > 0 && limits.bytesPerSecond >= 3 * 4_096 && least > 0) {
                expect(share.bytesPerSecond).toBeGreaterThan(0);
              }
            }
          }
        },
      ),
    );
  });
});
