import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CrashReport, matchCrashes } from "../../src/devices/crash-reports.ts";
import { incidentsOf } from "../../src/gateway/incidents.ts";

const START = Date.UTC(2026, 0, 5);
const MINUTE = 60_000;

const crash = (bootId: string, seq: number, at: number): CrashReport => ({
  deviceId: "d",
  key: `${bootId}:${seq}`,
  bootId,
  toldByBoot: false,
  occurredAt: START + at,
  alsoKey: null,
});
const boot = (bootId: string, at: number): CrashReport => ({
  ...crash(bootId, 0, at),
  key: `boot:${bootId}`,
  toldByBoot: true,
});
/** Takes reports one by one, as separate messages would come. */
const take = (reports: readonly CrashReport[]): CrashReport[] => {
  const known: CrashReport[] = [];
  for (const report of reports) {
    const { fresh, paired } = matchCrashes(known, [report]);
    known.push(...fresh);
    for (const { key, alsoKey } of paired) {
      const row = known.find((item) => item.key === key);
      if (row) row.alsoKey = alsoKey;
    }
  }
  return known;
};
const keys = (reports: readonly CrashReport[]) => take(reports).map(({ key }) => key);

describe("reports of crashes", () => {
  it("are one crash when a program tells of it and the next boot does again", () => {
    expect(keys([crash("b1", 7, 0), boot("b2", MINUTE)])).toEqual(["b1:7"]);
    expect(keys([boot("b2", MINUTE), crash("b1", 7, 0)])).toEqual(["boot:b2"]);
  });

  it("are one crash when a device tells of it only after the boot", () => {
    expect(keys([boot("b2", 0), crash("b2", 1, 5_000)])).toEqual(["boot:b2"]);
    expect(keys([crash("b2", 1, 5_000), boot("b2", 0)])).toEqual(["b2:1"]);
  });

  it("count every turn of a boot loop once, told of or not", () => {
    expect(keys([boot("b2", 0), boot("b3", 10_000), boot("b4", 20_000)])).toHaveLength(3);
    const told = [1, 2, 3, 4].flatMap((turn) => [
      crash(`b${turn}`, 1, turn * 2 * MINUTE),
      boot(`b${turn + 1}`, turn * 2 * MINUTE + 20_000),
    ]);
    expect(keys(told)).toHaveLength(4);
  });

  it("count every crash of a program that is restarted within one boot", () => {
    expect(keys([crash("b1", 1, 0), crash("b1", 2, 1_000), crash("b1", 3, 2_000)])).toHaveLength(3);
  });

  it("do not tie a boot to a crash of long ago, nor to one that another boot has had", () => {
    expect(keys([crash("b1", 1, 0), boot("b2", 60 * MINUTE)])).toHaveLength(2);
    expect(keys([crash("b1", 1, 0), boot("b2", 1_000), boot("b3", 2_000)])).toHaveLength(2);
  });

  it("change nothing when they come again, in whatever portions they come", () => {
    const report = fc.record({
      bootNumber: fc.nat(3),
      seq: fc.nat(3),
      at: fc.nat(20 * MINUTE),
      isBoot: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(report, { maxLength: 12 }), (plan) => {
        const reports = plan.map(({ bootNumber, seq, at, isBoot }) =>
          isBoot ? boot(`b${bootNumber}`, at) : crash(`b${bootNumber}`, seq, at),
        );
        const once = keys(reports);
        expect(keys([...reports, ...reports])).toEqual(once);
        expect(matchCrashes([], reports).fresh.map(({ key }) => key)).toEqual(once);
        expect(new Set(once).size).toBe(once.length);
      }),
    );
  });
});

describe("events of a device", () => {
  const peer = { tenantId: "acme", deviceId: "d-1" };
  it("name a crash by its boot and number, and a boot after a crash by its boot alone", () => {
    const events = [
      { ts: START, seq: 4, type: "crash", bootId: "b1", reason: "out of memory" },
      { ts: START, seq: 5, type: "boot", bootId: "b2", reason: "watchdog" },
      { ts: START, seq: 6, type: "boot", bootId: "b3", reason: "power-on" },
    ];
    expect(incidentsOf(peer, events)).toMatchObject([
      { kind: "crash", key: "b1:4", toldByBoot: false },
      { kind: "crash", key: "boot:b2", bootId: "b2", toldByBoot: true },
    ]);
  });
});
