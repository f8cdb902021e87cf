import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareWithPeers, FleetSlots, VOLUME } from "../../src/health/fleet-slots.ts";
import { MIN_PEERS, median, poissonTail, restartsTooOften } from "../../src/health/peers.ts";
import { RestartWatch } from "../../src/health/restarts.ts";
import { SeriesSlab } from "../../src/health/series-slab.ts";
import { type AlertChange, TenantWatch } from "../../src/health/tenant-watch.ts";
import { seededRandom } from "../../src/kernel/index.ts";

const START = Date.UTC(2026, 0, 5);
const SLOT_MS = 60_000;
const WARM_SLOTS = 400;

/** Feeds `devices` one point a slot; returns what was found in each slot. */
function run(
  devices: number,
  slots: number,
  value: (device: number, slot: number, noise: number) => number,
): AlertChange[][] {
  const random = seededRandom(7);
  const watch = new TenantWatch({
    tenantId: "acme",
    slab: new SeriesSlab(10_000),
    slotMs: SLOT_MS,
    liveFrom: START + WARM_SLOTS * SLOT_MS,
  });
  return Array.from({ length: slots }, (_, slot) =>
    watch.take(
      Array.from({ length: devices }, (_, device) => ({
        deviceId: `d${device}`,
        metric: "heat",
        ts: START + slot * SLOT_MS,
        value: value(device, slot, random.next() + random.next() + random.next() - 1.5),
      })),
    ),
  );
}

const raised = (found: AlertChange[][]) =>
  found.flat().flatMap((change) => (change.kind === "raise" ? [change.report] : []));

describe("a device among its peers", () => {
  it("is found when it alone leaves them, though all of them swing", () => {
    const swing = (slot: number) => 20 * Math.sin(slot / 15);
    const found = run(30, 700, (device, slot, noise) => {
      const fault = device === 4 && slot >= 600 ? 8 : 0;
      return device + swing(slot) + noise + fault;
    });
    const subjects = new Set(raised(found).map((report) => report.subjectId));
    expect([...subjects]).toEqual(["d4"]);
    expect(raised(found)[0]).toMatchObject({ kind: "anomaly", details: { peers: 30 } });
  });

  it("is not blamed when the whole fleet moves: there is one alert for the fleet", () => {
    const found = run(40, 660, (_, slot, noise) => noise + (slot >= 600 ? 60 : 0));
    const reports = raised(found);
    expect(reports.length).toBeGreaterThan(0);
    expect(new Set(reports.map((report) => report.kind))).toEqual(new Set(["fleet-anomaly"]));
    expect(new Set(reports.map((report) => report.key)).size).toBe(1);
  });

  it("is judged by its own past where the cohort is small", () => {
    const found = run(3, 700, (device, slot, noise) =>
      device === 1 && slot >= 600 && slot < 605 ? 40 : noise,
    );
    const [first] = raised(found);
    expect(first).toMatchObject({ subjectId: "d1", details: { peers: 0, median: null } });
    const resolved = found.flat().filter((change) => change.kind === "resolve");
    expect(resolved).toEqual([{ kind: "resolve", key: first?.key }]);
  });

  it("raises nothing about the past that it learns from", () => {
    const found = run(3, WARM_SLOTS, (_, slot, noise) => (slot === 300 ? 90 : noise));
    expect(raised(found)).toEqual([]);
  });
});

describe("slices of time", () => {
  it("hand every point over once, in order, or refuse it", () => {
    const point = fc.record({ device: fc.nat(3), at: fc.nat(20 * SLOT_MS), value: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(fc.array(point, { maxLength: 10 }), { maxLength: 10 }), (batches) => {
        const slots = new FleetSlots({ slotMs: SLOT_MS, graceMs: 1000, maxOpenValues: 1000 });
        let accepted = 0;
        let counted = 0;
        let last = Number.NEGATIVE_INFINITY;
        const take = () => {
          for (const slot of slots.takeComplete()) {
            expect(slot.ts).toBeGreaterThan(last);
            last = slot.ts;
            for (const count of slot.values.values()) counted += count;
          }
        };
        for (const batch of batches) {
          for (const { device, at } of batch) {
            if (slots.add("", `d${device}`, VOLUME, at, 1)) accepted += 1;
          }
          take();
        }
        slots.add("", "end", "other", 1e9, 1);
        take();
        expect(counted).toBe(accepted);
      }),
    );
  });

  it("compare with the median only where there are peers enough", () => {
    const slot = (devices: number) => ({
      cohort: "",
      metric: "heat",
      ts: 0,
      values: new Map(Array.from({ length: devices }, (_, index) => [`d${index}`, index])),
    });
    expect(compareWithPeers(slot(MIN_PEERS - 1)).median).toBeNull();
    const { median: middle, residuals } = compareWithPeers(slot(MIN_PEERS + 1));
    expect(middle).toBe(10);
    expect(residuals[0]).toEqual({ deviceId: "d0", value: 0, residual: -10 });
  });
});

describe("restarts", () => {
  it("are seen in uptimes that fall, and not in repeated or late heartbeats", () => {
    const watch = new RestartWatch(10);
    const seen = [
      watch.observe("d", 1_000, 100),
      watch.observe("d", 2_000, 101),
      watch.observe("d", 2_000, 5),
      watch.observe("d", 1_500, 5),
      watch.observe("d", 3_000, 1),
    ];
    expect(seen).toEqual([false, false, false, false, true]);
  });

  it("concern nobody one by one, a device when it alone repeats them, the fleet when it does", () => {
    expect(restartsTooOften(1, { devices: 50, restarts: 0 })).toBe(false);
    expect(restartsTooOften(5, { devices: 50, restarts: 2 })).toBe(true);
    expect(restartsTooOften(5, { devices: 50, restarts: 200 })).toBe(false);
    const fleet = Array.from({ length: 30 }, (_, index) => `d${index}`);
    const watch = new RestartWatch(100);
    for (let round = 0; round <= 3; round += 1) {
      for (const id of fleet) {
        watch.observe(id, round * 10_000 + 1, 60);
        watch.observe(id, round * 10_000 + 2, 1);
      }
    }
    expect(watch.judge("d3", 30_002, fleet)?.deviceId).toBeNull();
  });
});

describe("the figures behind it", () => {
  it("take the median of any values", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([10, 9, 100])).toBe(10);
  });

  it("give the tail of a Poisson distribution, far out as well", () => {
    expect(poissonTail(0, 2)).toBeCloseTo(1, 9);
    expect(poissonTail(1, 2)).toBeCloseTo(1 - Math.exp(-2), 9);
    expect(poissonTail(10, 0.1)).toBeGreaterThan(0);
    expect(poissonTail(10, 0.1)).toBeLessThan(1e-15);
  });
});
