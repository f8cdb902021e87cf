import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareWithPeers, FleetSlots } from "../../src/health/fleet-slots.ts";
import { compileRules } from "../../src/health/metric-rules.ts";
import { MIN_PEERS, median, poissonTail, restartsTooOften } from "../../src/health/peers.ts";
import { RestartWatch } from "../../src/health/restarts.ts";
import { STATE_LENGTH } from "../../src/health/series-detector.ts";
import { SeriesSlab } from "../../src/health/series-slab.ts";
import { decodeAlerts, decodeSnapshot, encodeSnapshot } from "../../src/health/snapshots.ts";
import { type AlertChange, TenantWatch } from "../../src/health/tenant-watch.ts";
import { seededRandom } from "../../src/kernel/index.ts";

const START = Date.UTC(2026, 0, 5);
const SLOT_MS = 60_000;
const WARM_SLOTS = 400;

type Shape = (device: number, slot: number, noise: number) => number;

const makeWatch = () =>
  new TenantWatch({
    maxSeries: 10_000,
    slotMs: SLOT_MS,
    liveFrom: START + WARM_SLOTS * SLOT_MS,
  });

/** Points of one slot, the same for the same slot however often they are made. */
function pointsOf(devices: number, slot: number, value: Shape, metric = "heat") {
  const random = seededRandom(7 + slot * 1_000);
  return Array.from({ length: devices }, (_, device) => ({
    deviceId: `d${device}`,
    metric,
    ts: START + slot * SLOT_MS,
    value: value(device, slot, random.next() + random.next() + random.next() - 1.5),
  }));
}

/** Feeds `devices` one point a slot; returns what was found in each slot. */
function run(
  devices: number,
  slots: number,
  value: Shape,
  options: { watch?: TenantWatch; from?: number; metric?: string } = {},
): AlertChange[][] {
  const { watch = makeWatch(), from = 0, metric } = options;
  return Array.from({ length: slots - from }, (_, index) => {
    const points = pointsOf(devices, from + index, value, metric);
    return watch.take(points, START + (from + index) * SLOT_MS);
  });
}

const raised = (found: AlertChange[][]) =>
  found.flat().flatMap((change) => (change.kind === "raise" ? [change.report] : []));

describe("what people say about a metric", () => {
  const row = { metric: "heat", enabled: null, useful: 0, notUseful: 0 };

  it("moves the score that an alert takes, and within bounds", () => {
    const at = (useful: number, notUseful: number) =>
      compileRules([{ ...row, useful, notUseful }]).of("heat").threshold;
    expect([at(0, 0), at(0, 3), at(2, 0)]).toEqual([0.6, 0.66, 0.58]);
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (useful, notUseful) => {
        expect(at(useful, notUseful)).toBeGreaterThanOrEqual(0.55);
        expect(at(useful, notUseful)).toBeLessThanOrEqual(0.85);
      }),
    );
  });

  it("switches it off, alone or with all that have no rule", () => {
    const off = compileRules([{ ...row, enabled: false }]);
    expect([off.of("heat").enabled, off.of("cold").enabled]).toEqual([false, true]);
    const chosen = compileRules([
      { ...row, metric: "*", enabled: false },
      { ...row, enabled: true },
    ]);
    expect([chosen.of("heat").enabled, chosen.of("cold").enabled]).toEqual([true, false]);
    const watch = makeWatch();
    watch.setRules(off);
    const loud: Shape = (_device, slot, noise) => (slot >= 600 ? 90 : 20) + noise;
    expect(raised(run(1, 650, loud, { watch }))).toEqual([]);
    expect(watch.series).toBe(0);
    expect(raised(run(1, 650, loud))).not.toEqual([]);
  });
});

describe("a backlog", () => {
  it("teaches and is nobody's news, though it tells of something unusual", () => {
    const calm: Shape = (_device, _slot, noise) => 20 + noise;
    const watch = makeWatch();
    const last = START + 700 * SLOT_MS;
    run(1, 600, calm, { watch });
    // It was away for an hour and a half, in which something happened; it tells of it at once.
    const past = Array.from({ length: 100 }, (_, index) =>
      pointsOf(1, 600 + index, (_device, _slot, noise) => (index < 30 ? 90 : 20) + noise),
    ).flat();
    expect(raised([watch.take(past, last)])).toEqual([]);
    // The same as it happens is news, with its factor.
    const fresh = makeWatch();
    run(1, 600, calm, { watch: fresh });
    const found = run(1, 630, (_device, _slot, noise) => 90 + noise, { watch: fresh, from: 600 });
    expect(raised(found)[0]?.title).toMatch(/^heat of d0 is \d+.*, 4\.\d+× its usual (19|2\d)/);
  });
});

describe("restarts that come with a backlog", () => {
  it("count with those that follow, and are nobody's news by themselves", () => {
    const watch = makeWatch();
    const live = START + WARM_SLOTS * SLOT_MS;
    const uptime = (minute: number, value: number) => {
      const ts = live + minute * SLOT_MS;
      return { deviceId: "away", metric: "heartbeat.uptimeSeconds", ts, value };
    };
    const loop = Array.from({ length: 10 }, (_, minute) => uptime(minute, 100 - minute));
    expect(raised([watch.take(loop, live + 60 * SLOT_MS)])).toEqual([]);
    const next = watch.take([uptime(61, 5)], live + 61 * SLOT_MS);
    expect(raised([next])).toMatchObject([{ kind: "restarts", subjectId: "away" }]);
    const told = makeWatch().take(loop, live + 10 * SLOT_MS);
    expect(raised([told])).toMatchObject([{ kind: "restarts", subjectId: "away" }]);
  });
});

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

describe("a fleet of several firmwares", () => {
  const cohorts = (canaries: number) =>
    new Map(
      Array.from({ length: 40 }, (_, device) => [
        `d${device}`,
        { kind: "hub a", firmware: device < canaries ? "2.0.0" : "1.0.0" },
      ]),
    );

  it("compares its few canaries with the rest of their kind", () => {
    const watch = makeWatch();
    watch.setCohorts(cohorts(5));
    const swing = (slot: number) => 20 * Math.sin(slot / 15);
    const found = run(
      40,
      700,
      (device, slot, noise) => swing(slot) + noise + (device < 5 && slot >= 600 ? 9 : 0),
      { watch },
    );
    const subjects = new Set(raised(found).map((report) => report.subjectId));
    expect([...subjects].sort()).toEqual(["d0", "d1", "d2", "d3", "d4"]);
    expect(raised(found)[0]?.title).toMatch(
      /^heat of d\d is .* usual .* at this hour, while its 40 peers are steady at /,
    );
  });

  it("does not blame those on the new firmware for being as their new peers are", () => {
    const watch = makeWatch();
    watch.setCohorts(cohorts(20));
    const found = run(40, 700, (device, _, noise) => noise + (device < 20 ? 30 : 0), { watch });
    expect(raised(found)).toEqual([]);
  });

  it("notices who takes far more of the line than its peers, by the platform's own count", () => {
    const totals = new Map<number, number>();
    const found = run(
      30,
      700,
      (device, slot, noise) => {
        const rate = 600 + 20 * noise + (device === 7 && slot >= 600 ? 4_000 : 0);
        totals.set(device, (totals.get(device) ?? 0) + rate);
        return totals.get(device) as number;
      },
      { metric: "_platform.bytes_received" },
    );
    expect(new Set(raised(found).map((report) => report.subjectId))).toEqual(new Set(["d7"]));
    expect(raised(found)[0]?.title).toContain("Traffic from the device (bytes/s) of d7");
  });

  it("is compared by who is there, though one device's clock runs far ahead", () => {
    const watch = makeWatch();
    const found: AlertChange[] = [];
    for (let slot = 0; slot < 700; slot += 1) {
      const points = pointsOf(30, slot, (device, at, noise) =>
        device === 4 && at >= 600 ? noise + 8 : noise,
      );
      const hasty = {
        deviceId: "ahead",
        metric: "heat",
        ts: START + (slot + 9) * SLOT_MS,
        value: 0,
      };
      found.push(...watch.take([hasty, ...points], START + slot * SLOT_MS));
    }
    expect(raised([found]).map((report) => report.subjectId)).toContain("d4");
  });
});

describe("figures of one device that become unusual together", () => {
  /** Two names of one thing, and a third that follows a minute or an hour later. */
  const together = (laterBy: number, cut?: number) => {
    const faulty =
      (from: number): Shape =>
      (device, slot, noise) =>
        device === 1 && slot >= from && slot < from + 30 ? 40 : noise;
    let watch = makeWatch();
    const changes: AlertChange[] = [];
    for (let slot = 0; slot < 800; slot += 1) {
      const points = [
        ...pointsOf(25, slot, faulty(600), "battery"),
        ...pointsOf(25, slot, faulty(600), "heartbeat.battery"),
        ...pointsOf(25, slot, faulty(600 + laterBy), "volts"),
      ];
      changes.push(...watch.take(points, START + slot * SLOT_MS));
      if (slot !== cut) continue;
      const snapshot = structuredClone(watch.snapshot());
      watch = makeWatch();
      watch.restore(snapshot);
    }
    return changes;
  };

  it("are one alert, which names them and ends with the last", () => {
    const changes = together(1);
    expect(changes.map((change) => change.kind)).toEqual(["raise", "raise", "raise", "resolve"]);
    const reports = raised([changes]);
    expect(new Set(reports.map(({ key }) => key))).toEqual(new Set(["anomaly:d1:battery"]));
    expect(reports.at(-1)?.title).toMatch(
      /^3 figures of d1 are unusual at once: battery is 40, .*; heartbeat.battery is 40, .*; volts is 40, .*devices\/d1$/,
    );
    expect(reports.at(-1)?.details).toMatchObject({
      ...{ metric: "battery", value: 40 },
      also: [
        { metric: "heartbeat.battery", value: 40 },
        { metric: "volts", value: 40 },
      ],
    });
    expect(together(1, 600)).toEqual(changes);
  });

  it("are alerts of their own where one comes long after the others", () => {
    const keys = raised([together(20)]).map(({ key }) => key);
    expect(keys).toEqual(["anomaly:d1:battery", "anomaly:d1:battery", "anomaly:d1:volts"]);
  });
});

describe("what the detectors know", () => {
  /** Through the very bytes that are stored. */
  const reborn = async (watch: TenantWatch) => {
    const watermark = { receivedAt: 1, deviceId: "d", metric: "m", ts: 2 };
    const bytes = await encodeSnapshot({ watermark, watch: watch.snapshot() });
    const kept = await decodeSnapshot(bytes);
    expect(kept?.watermark).toEqual(watermark);
    const next = makeWatch();
    if (kept) next.restore(kept.watch);
    return next;
  };
  const fault: Shape = (device, slot, noise) =>
    device === 1 && slot >= 600 && slot < 605 ? 40 : noise;

  it("is the same after a restart at any moment: alerts and their ends come as they would have", async () => {
    const whole = run(25, 700, fault).flat();
    expect(whole.map((change) => change.kind)).toEqual(["raise", "resolve"]);
    for (const cut of [300, 600, 603, 610]) {
      const watch = makeWatch();
      const before = run(25, cut, fault, { watch }).flat();
      const after = run(25, 700, fault, { watch: await reborn(watch), from: cut }).flat();
      expect([...before, ...after], `cut at ${cut}`).toEqual(whole);
    }
  });

  it("is not read when another version has written it", async () => {
    const watch = makeWatch();
    run(2, 5, fault, { watch });
    const snapshot = watch.snapshot();
    const slab = { ...snapshot.slab, states: snapshot.slab.states.subarray(STATE_LENGTH) };
    const watermark = { receivedAt: 1, deviceId: "", metric: "", ts: 0 };
    const bytes = await encodeSnapshot({ watermark, watch: { ...snapshot, slab } });
    expect(await decodeSnapshot(bytes)).toBeUndefined();
  });

  it("is no longer known to the next version but for the alerts, which come to their end", async () => {
    const watch = makeWatch();
    expect(run(25, 603, fault, { watch }).flat()).toMatchObject([{ kind: "raise" }]);
    const watermark = { receivedAt: 1, deviceId: "", metric: "", ts: 0 };
    const bytes = await encodeSnapshot({ watermark, watch: watch.snapshot() });
    expect(await decodeAlerts(bytes)).toBeUndefined();
    const plain = zstdDecompressSync(bytes);
    const end = 4 + plain.readUInt32LE(0);
    const head = plain.toString("utf8", 4, end).replace(/"version":\d+/, '"version":1');
    const older = zstdCompressSync(Buffer.concat([plain.subarray(0, 4), Buffer.from(head)]));
    expect(await decodeSnapshot(older)).toBeUndefined();
    const next = makeWatch();
    next.restoreAlerts((await decodeAlerts(older)) ?? { open: [], restartAlerts: [] });
    const ends = run(25, 700, fault, { watch: next, from: 603 }).flat();
    expect(ends.map(({ kind }) => kind)).toEqual(["resolve"]);
  });

  it("gives the place of series that have gone to new ones", () => {
    const slab = new SeriesSlab(2);
    const day = 86_400_000;
    expect(slab.score("old", START, 1)).toBeDefined();
    expect(slab.score("steady", START, 1)).toBeDefined();
    expect(slab.score("new", START + day, 1)).toBeUndefined();
    expect(slab.score("steady", START + 20 * day, 1)).toBeDefined();
    expect(slab.score("new", START + 20 * day, 1)).toBeDefined();
    expect(slab.snapshot().names).toEqual(["steady", "new"]);
  });
});

describe("alerts that are open", () => {
  it("end together when many devices shared one", () => {
    const found = run(60, 700, (device, slot, noise) =>
      device < 15 && slot >= 600 && slot < 604 ? noise + 40 : noise,
    );
    const reports = raised(found);
    expect(reports.map((report) => report.kind)).toEqual(["fleet-anomaly"]);
    expect(reports[0]?.title).toMatch(/^heat is unusual on 1[0-9] devices at once since 2026-/);
    const resolved = found.flat().filter((change) => change.kind === "resolve");
    expect(resolved).toEqual([{ kind: "resolve", key: reports[0]?.key }]);
  });

  it("end when nothing comes of their device any more", () => {
    const watch = makeWatch();
    const found = run(3, 605, (device, slot, noise) => (device === 1 && slot >= 600 ? 90 : noise), {
      watch,
    });
    expect(raised(found)).toHaveLength(1);
    const end = START + 605 * SLOT_MS;
    expect(watch.settle(end + 30 * SLOT_MS)).toEqual([]);
    expect(watch.settle(end + 61 * SLOT_MS)).toEqual([{ kind: "resolve", key: "anomaly:d1:heat" }]);
  });

  it("about restarts end when the loop has been still for a while", () => {
    const watch = makeWatch();
    const live = START + WARM_SLOTS * SLOT_MS;
    const changes: AlertChange[] = [];
    for (let minute = 0; minute < 30; minute += 1) {
      const ts = live + minute * SLOT_MS;
      const uptime = (deviceId: string, value: number) => {
        return { deviceId, metric: "heartbeat.uptimeSeconds", ts, value };
      };
      const peers = Array.from({ length: 25 }, (_, index) => uptime(`d${index}`, minute * 60));
      const loop = uptime("bad", minute < 20 ? 100 - minute : minute * 60);
      changes.push(...watch.take([...peers, loop], ts));
    }
    const reports = raised([changes]);
    expect(reports).toMatchObject([{ kind: "restarts", subjectId: "bad" }]);
    expect(reports[0]?.title).toBe(
      "bad restarted 3 times within a day, its 25 peers 0 times all together. " +
        "Look at its log before each restart: /devices/bad",
    );
    const last = live + 19 * SLOT_MS;
    expect(watch.settle(last + 59 * SLOT_MS)).toEqual([]);
    expect(watch.settle(last + 61 * SLOT_MS)).toEqual([{ kind: "resolve", key: "restarts:bad" }]);
  });
});

describe("slices of time", () => {
  it("hand every point over once, in order, or refuse it", () => {
    const point = fc.record({ device: fc.nat(3), at: fc.nat(20 * SLOT_MS), value: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(fc.array(point, { maxLength: 10 }), { maxLength: 10 }), (batches) => {
        const slots = new FleetSlots({ slotMs: SLOT_MS, graceMs: 1000, maxOpenValues: 1000 });
        const expected = new Map<string, number[]>();
        const means = new Map<string, number>();
        let last = Number.NEGATIVE_INFINITY;
        const keyOf = (ts: number, deviceId: string) =>
          `${Math.floor(ts / SLOT_MS) * SLOT_MS}/${deviceId}`;
        const take = () => {
          for (const slot of slots.takeComplete()) {
            expect(slot.ts).toBeGreaterThan(last);
            last = slot.ts;
            for (const [id, mean] of slot.values) means.set(keyOf(slot.ts, id), mean);
          }
        };
        for (const batch of batches) {
          for (const { device, at, value } of batch) {
            const deviceId = `d${device}`;
            const accepted = slots.add({ kind: "", deviceId, metric: "heat", ts: at, value }, at);
            const key = keyOf(at, deviceId);
            if (accepted) expected.set(key, [...(expected.get(key) ?? []), value]);
          }
          take();
        }
        slots.add({ kind: "", deviceId: "end", metric: "other", ts: 1e9, value: 1 }, 1e9);
        take();
        const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
        expect(means).toEqual(new Map([...expected].map(([key, values]) => [key, mean(values)])));
      }),
    );
  });

  it("compare with the median only where there are peers enough", () => {
    const slot = (devices: number) => ({
      kind: "",
      metric: "heat",
      ts: 0,
      values: new Map(Array.from({ length: devices }, (_, index) => [`d${index}`, index])),
    });
    expect(compareWithPeers(slot(MIN_PEERS - 1), () => "")[0]?.median).toBeNull();
    const [group] = compareWithPeers(slot(MIN_PEERS + 1), () => "");
    expect(group).toMatchObject({ median: 10, peers: MIN_PEERS + 1, isOwnMedian: true });
    expect(group?.residuals[0]).toEqual({ deviceId: "d0", value: 0, residual: -10 });
    const canary = (deviceId: string) => (deviceId === "d0" ? "new" : "old");
    const groups = compareWithPeers(slot(MIN_PEERS + 1), canary);
    expect(groups.map(({ cohort, isOwnMedian }) => [cohort, isOwnMedian])).toEqual([
      ["new", false],
      ["old", true],
    ]);
    expect(groups[0]?.residuals[0]?.residual).toBe(-10);
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
    // Of a dozen, an update and a power cut have restarted each two or three times.
    expect(restartsTooOften(3, { devices: 11, restarts: 23 })).toBe(false);
    expect(restartsTooOften(9, { devices: 11, restarts: 23 })).toBe(true);
    expect(restartsTooOften(3, { devices: 11, restarts: 1 })).toBe(true);
    expect(restartsTooOften(3, { devices: 0, restarts: 0 })).toBe(true);
    const fleet = Array.from({ length: 30 }, (_, index) => `d${index}`);
    const watch = new RestartWatch(100);
    for (let round = 0; round <= 3; round += 1) {
      for (const id of fleet) {
        watch.observe(id, round * 10_000 + 1, 60);
        watch.observe(id, round * 10_000 + 2, 1);
      }
    }
    expect(watch.judge(new Map([["d3", 30_002]]), fleet)[0]?.deviceId).toBeNull();
  });

  it("that creep are found over days, though no single day is a loop", () => {
    const fleet = Array.from({ length: 30 }, (_, index) => `d${index}`);
    const watch = new RestartWatch(100);
    const day = 86_400_000;
    const found: number[] = [];
    for (const id of fleet) watch.observe(id, 0, 50);
    for (let count = 1; count <= 12; count += 1) {
      const ts = count * day;
      for (const id of fleet.slice(1)) watch.observe(id, ts, 50 + count * 86_400);
      watch.observe("d0", ts, 60 - count);
      watch.observe("d0", ts + 1, 10_000);
      const findings = watch.judge(new Map([["d0", ts]]), fleet);
      if (findings.length > 0) found.push(count);
      expect(findings.every(({ isCreep }) => isCreep)).toBe(true);
    }
    expect(found[0]).toBeGreaterThan(2);
    expect(found[0]).toBeLessThan(7);
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
