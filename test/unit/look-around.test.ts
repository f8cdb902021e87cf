import { describe, expect, it } from "vitest";
import { LocalBus, subjects } from "../../src/bus/index.ts";
import type { Connection } from "../../src/gateway/connection.ts";
import { LookAround } from "../../src/gateway/look-around.ts";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** As many connections as asked for, of which each listens to commands, and who was looked at how often. */
function fleet(count: number) {
  const looks = new Map<string, number>();
  const connections = Array.from({ length: count }, (_, index) => {
    const deviceId = `d-${index}`;
    looks.set(deviceId, 0);
    return {
      isOpen: true,
      peer: { tenantId: "acme", deviceId },
      subscriptions: { match: (topic: string) => topic.endsWith("/commands") },
      deliveries: { wake: () => looks.set(deviceId, (looks.get(deviceId) ?? 0) + 1) },
    } as unknown as Connection;
  });
  return { looks, connections: new Set(connections) };
}

describe("looking around for what other machines may have said", () => {
  it("does nothing where there are none", async () => {
    const { looks, connections } = fleet(3);
    const around = new LookAround(new LocalBus(), connections);
    for (let step = 0; step < 5; step += 1) around.step();
    expect([...looks.values()]).toEqual([0, 0, 0]);
  });

  it("looks at all in turns while the bus is away, and once more when it is back", async () => {
    const bus = new LocalBus();
    const { looks, connections } = fleet(3);
    const around = new LookAround(bus, connections);
    bus.setUplink(false);
    around.step();
    around.step();
    expect([...looks.values()]).toEqual([2, 2, 2]);
    bus.setUplink(true);
    await turn();
    for (let step = 0; step < 5; step += 1) around.step();
    expect([...looks.values()]).toEqual([3, 3, 3]);
  });

  it("begins anew for those whom it has looked at before the bus was away", async () => {
    const bus = new LocalBus();
    const { looks, connections } = fleet(350);
    const around = new LookAround(bus, connections);
    bus.setUplink(false);
    bus.setUplink(true);
    await turn();
    around.step();
    expect(looks.get("d-0")).toBe(1);
    // Away in the middle of the round, and back before its end.
    bus.setUplink(false);
    around.step();
    bus.setUplink(true);
    await turn();
    for (let step = 0; step < 20; step += 1) around.step();
    expect(looks.get("d-0")).toBe(2);
    expect(Math.min(...looks.values())).toBeGreaterThan(0);
  });

  it("notices that the bus was away though it is back before the next step", async () => {
    const bus = new LocalBus();
    const { looks, connections } = fleet(2);
    const around = new LookAround(bus, connections);
    bus.setUplink(true);
    await turn();
    for (let step = 0; step < 5; step += 1) around.step();
    bus.setUplink(false);
    bus.setUplink(true);
    await turn();
    for (let step = 0; step < 5; step += 1) around.step();
    expect([...looks.values()]).toEqual([2, 2]);
  });

  it("looks once where another machine says that it could not tell something, until it is stopped", async () => {
    const bus = new LocalBus();
    const { looks, connections } = fleet(2);
    const around = new LookAround(bus, connections);
    bus.deliver(subjects.lost, {});
    await turn();
    for (let step = 0; step < 5; step += 1) around.step();
    expect([...looks.values()]).toEqual([1, 1]);
    around.stop();
    bus.deliver(subjects.lost, {});
    await turn();
    for (let step = 0; step < 5; step += 1) around.step();
    expect([...looks.values()]).toEqual([1, 1]);
  });
});
