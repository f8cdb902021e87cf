import { EventEmitter } from "node:events";
import type net from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Admission } from "../../src/gateway/admission.ts";
import { AdmissionQueue } from "../../src/gateway/admission-queue.ts";
import { DEFAULT_GATEWAY_LIMITS, readGatewayLimits } from "../../src/gateway/limits.ts";
import { Allowance, Allowances } from "../../src/gateway/pacing.ts";
import { seededRandom } from "../../src/kernel/random.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";

let ports = 0;

/** As much of a socket as waits in a queue. */
function socketFrom(address: string): net.Socket & { destroyed: boolean } {
  ports += 1;
  const socket = Object.assign(new EventEmitter(), {
    remoteAddress: address,
    remotePort: ports,
    destroyed: false,
    destroy() {
      if (socket.destroyed) return;
      socket.destroyed = true;
      socket.emit("close");
    },
  });
  return socket as never;
}

describe("the queue of connections", () => {
  it("gives addresses their turns and keeps the order within each", () => {
    const arrivals = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(arrivals, (addresses) => {
        const queue = new AdmissionQueue();
        const sockets = addresses.map((address) => socketFrom(`10.0.0.${address}`));
        for (const socket of sockets) queue.add(socket, 0);
        const order: net.Socket[] = [];
        for (let next = queue.take(); next; next = queue.take()) order.push(next.socket);
        expect(new Set(order)).toEqual(new Set(sockets));
        expect(queue.size).toBe(0);
        for (const socket of sockets) {
          const own = sockets.filter((one) => one.remoteAddress === socket.remoteAddress);
          const place = own.indexOf(socket);
          expect(order.filter((one) => own.includes(one)).indexOf(socket)).toBe(place);
          // Before it go its own, and of each other address no more than its own line is long.
          const others = new Set(addresses).size - 1;
          expect(order.indexOf(socket)).toBeLessThanOrEqual(place + (place + 1) * others);
        }
      }),
    );
  });

  it("forgets who has gone", () => {
    const queue = new AdmissionQueue();
    const [one, two] = [socketFrom("a"), socketFrom("a")];
    queue.add(one, 1);
    queue.add(two, 2);
    queue.remove(one);
    expect(queue.take()).toEqual({ socket: two, since: 2 });
    expect(queue.take()).toBeUndefined();
  });
});

describe("admission", () => {
  /** Handshakes take 20 ms of a virtual clock; who is turned away comes again after its back-off. */
  async function storm(count: number, addresses: number, patienceMs: number) {
    const clock = new VirtualClock(0);
    const random = seededRandom(7);
    let [inside, turnedAway, mostWaiting, inProgress] = [0, 0, 0, 0];
    const waits: number[] = [];
    const since = new Map<net.Socket, number>();
    const admission = new Admission({
      ...{ clock, random, slots: 8, queue: 20_000, patienceMs },
      admit(socket) {
        inProgress += 1;
        waits.push(clock.now() - (since.get(socket) ?? 0));
        clock.after(20, () => {
          inside += 1;
          inProgress -= 1;
          admission.leave(socket);
        });
      },
    });
    const arrive = (address: string) => {
      const socket = socketFrom(address);
      since.set(socket, clock.now());
      socket.once("close", () => {
        turnedAway += 1;
        clock.after(1_000 + 30_000 * random.next(), () => arrive(address));
      });
      admission.enter(socket);
    };
    for (let index = 0; index < count; index += 1) arrive(`10.0.0.${index % addresses}`);
    while (inside < count && clock.now() < 600_000) {
      mostWaiting = Math.max(mostWaiting, count - inside - inProgress);
      await turn();
      await clock.advance(10);
    }
    const elapsedMs = clock.now();
    admission.close();
    return { inside, turnedAway, longestMs: Math.max(...waits), elapsedMs };
  }

  it("lets 3,000 devices in that come at once, and none of them waits beyond its patience", async () => {
    const { inside, longestMs, elapsedMs } = await storm(3_000, 50, 30_000);
    expect(inside).toBe(3_000);
    expect(longestMs).toBeLessThanOrEqual(30_000);
    // 8 at a time of 20 ms each are 400 a second at the most.
    expect(elapsedMs).toBeLessThan(20_000);
  });

  it("turns away at once who would wait too long, and gets them in later", async () => {
    const { inside, turnedAway, longestMs } = await storm(1_500, 3, 2_000);
    expect(inside).toBe(1_500);
    expect(turnedAway).toBeGreaterThan(0);
    expect(longestMs).toBeLessThanOrEqual(2_000);
  });

  it("does not wait for clients that take their time", async () => {
    const clock = new VirtualClock(0);
    let admitted = 0;
    const admission = new Admission({
      ...{ clock, random: seededRandom(1), slots: 4, queue: 5_000, patienceMs: 30_000 },
      admit() {
        admitted += 1;
      },
    });
    for (let index = 0; index < 100; index += 1) admission.enter(socketFrom("10.0.0.1"));
    for (let elapsedMs = 0; elapsedMs < 7_000; elapsedMs += 50) {
      await turn();
      await clock.advance(50);
    }
    expect(admitted).toBe(100);
    admission.close();
  });

  it("does not keep an address waiting behind another one's flood", async () => {
    const clock = new VirtualClock(0);
    const admitted: net.Socket[] = [];
    const admission = new Admission({
      ...{ clock, random: seededRandom(1), slots: 4, queue: 5_000, patienceMs: 60_000 },
      admit: (socket) => admitted.push(socket),
    });
    for (let index = 0; index < 2_000; index += 1) admission.enter(socketFrom("10.0.0.1"));
    const quiet = socketFrom("10.0.0.2");
    admission.enter(quiet);
    for (let round = 0; round < 3 && !admitted.includes(quiet); round += 1) {
      await turn();
      for (const socket of admitted) admission.leave(socket);
    }
    expect(admitted).toContain(quiet);
    expect(admitted.length).toBeLessThan(30);
    admission.close();
  });
});

describe("an allowance", () => {
  it("is spent when its messages or its bytes are, and fills again", () => {
    const rates = { messageRate: 10, messageBurst: 5, byteRate: 1_000, byteBurst: 500 };
    const allowance = new Allowance(rates);
    for (let count = 0; count < 5; count += 1) expect(allowance.take(1, 1_000)).toBe(0);
    expect(allowance.isSpent(1, 1_000)).toBe(true);
    expect(allowance.isSpent(1, 1_101)).toBe(false);
    expect(new Allowance(rates).isSpent(501, 1_000)).toBe(true);
    expect(new Allowance(rates).isSpent(500, 1_000)).toBe(false);
  });

  it("is one for each key", () => {
    const all = new Allowances({ messageRate: 1, messageBurst: 1, byteRate: 1e6, byteBurst: 1e6 });
    expect(all.of("acme")).toBe(all.of("acme"));
    all.of("acme").take(1, 0);
    expect(all.of("acme").isSpent(1, 0)).toBe(true);
    expect(all.of("globex").isSpent(1, 0)).toBe(false);
  });
});

describe("limits that an operator sets", () => {
  it("are those that the gateway has, and no others", () => {
    expect(readGatewayLimits({ deviceMessageRate: 10 })).toEqual({ deviceMessageRate: 10 });
    expect(() => readGatewayLimits({ deviceMessagRate: 10 })).toThrow(
      /no limit "deviceMessagRate"/,
    );
    expect(() => readGatewayLimits({ toString: 1 } as never)).toThrow(/no limit/);
    for (const value of Object.values(DEFAULT_GATEWAY_LIMITS)) expect(value).toBeGreaterThan(0);
  });
});
