import { Counter, Gauge, Registry } from "prom-client";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { LocalBus, subjects } from "../../src/bus/index.ts";
import { answerMetrics, gatherMetrics } from "../../src/bus/metrics-exchange.ts";
import { counter, gauge, metricsRegistry, Tally } from "../../src/kernel/metrics.ts";

const messages = counter("test_messages_total", "Messages", ["kind"]);
const held = gauge("test_held", "Connections");
const delay = gauge("test_delay_seconds", "Delay", [], "max");
const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

afterAll(() => {
  for (const { name } of metricsRegistry.getMetricsAsArray()) {
    if (name.startsWith("test_")) metricsRegistry.removeSingleMetric(name);
  }
});

/** Another process with figures of its own under the same names. */
function joinAnother(bus: LocalBus, figures: { a: number; held: number; delay: number }): void {
  const registry = new Registry();
  const registers = [registry];
  const name = "test_messages_total";
  new Counter({ name, help: "Messages", labelNames: ["kind"], registers }).inc(
    { kind: "a" },
    figures.a,
  );
  new Gauge({ name: "test_held", help: "Connections", registers }).set(figures.held);
  const seconds = { name: "test_delay_seconds", help: "Delay", aggregator: "max" as const };
  new Gauge({ ...seconds, registers }).set(figures.delay);
  stops.push(
    bus.subscribe(subjects.metricsWanted, async ({ askId }) => {
      bus.publish(subjects.metricsAnswer, { askId, metrics: await registry.getMetricsAsJSON() });
    }),
  );
}

describe("the figures of several processes", () => {
  it("are summed up, delays are the longest, and one that does not answer holds up nobody", async () => {
    const bus = new LocalBus();
    stops.push(answerMetrics(bus));
    messages.inc({ kind: "a" }, 3);
    messages.inc({ kind: "b" }, 1);
    held.set(10);
    delay.set(0.2);
    joinAnother(bus, { a: 4, held: 5, delay: 0.7 });
    joinAnother(bus, { a: 1, held: 7, delay: 0.1 });
    // A fourth one is dead.
    const text = await gatherMetrics(bus, 4);
    expect(text).toContain('test_messages_total{kind="a"} 8');
    expect(text).toContain('test_messages_total{kind="b"} 1');
    expect(text).toContain("test_held 22");
    expect(text).toContain("test_delay_seconds 0.7");
  });

  it("hold what was counted the quick way, each time that they are read", async () => {
    const packets = counter("test_packets_total", "Packets", ["direction"]);
    const tally = new Tally(packets, { direction: "in" });
    tally.inc();
    tally.inc(4);
    const read = () => gatherMetrics(new LocalBus(), 1);
    expect(await read()).toContain('test_packets_total{direction="in"} 5');
    expect(await read()).toContain('test_packets_total{direction="in"} 5');
    tally.inc();
    packets.inc({ direction: "in" });
    expect(await read()).toContain('test_packets_total{direction="in"} 7');
  });

  it("are its own where there is one process", async () => {
    held.set(3);
    expect(await gatherMetrics(new LocalBus(), 1)).toContain("test_held 3");
  });
});
