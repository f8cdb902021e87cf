import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type HealthFacts, judgeHealth } from "../../src/devices/health.ts";

const NOW = Date.UTC(2026, 0, 5, 12, 0);
const DAY = 86_400_000;
const facts = (changes: Partial<HealthFacts> = {}): HealthFacts => ({
  presence: "online",
  presenceChangedAt: NOW - DAY,
  status: "active",
  lastSeenAt: NOW - 30_000,
  asleepUntil: null,
  linkDrops: 0,
  wasFlapping: false,
  incidents: [],
  alerts: [],
  ...changes,
});
const incidents = (kind: string, count: number) => [
  { kind, count, firstAt: NOW - 3_600_000, lastAt: NOW - 60_000 },
];
const judged = (changes: Partial<HealthFacts>) => {
  const { health, reasons } = judgeHealth(facts(changes), NOW);
  return [health, ...reasons.map(({ code }) => code)];
};

describe("the health of a device", () => {
  it.each<[string, Partial<HealthFacts>, string[]]>([
    ["is good when nothing speaks against it", {}, ["healthy"]],
    ["is unknown before it was heard", { presence: "never" }, ["unknown"]],
    ["is offline when it is silent", { presence: "offline" }, ["offline", "silent"]],
    ["is degraded when a heartbeat is overdue", { presence: "late" }, ["degraded", "late"]],
    ["is good when it sleeps as announced", { asleepUntil: NOW + DAY }, ["healthy", "asleep"]],
    ["is degraded by a crash", { incidents: incidents("crash", 1) }, ["degraded", "crashed"]],
    ["fails with the third", { incidents: incidents("crash", 3) }, ["failing", "crash-loop"]],
    [
      "fails with its self-test",
      { incidents: incidents("self-test-failed", 1) },
      ["failing", "self-test-failed"],
    ],
    [
      "is degraded by a fallback",
      { incidents: incidents("fallback", 1) },
      ["degraded", "fell-back"],
    ],
    ["is degraded by a link that breaks", { linkDrops: 5 }, ["degraded", "link-flapping"]],
    ["bears a link that broke twice", { linkDrops: 3 }, ["healthy"]],
    [
      "stays degraded until the link is calm",
      { linkDrops: 3, wasFlapping: true },
      ["degraded", "link-flapping"],
    ],
    [
      "is what the detectors have found",
      { alerts: [{ kind: "anomaly", title: "too warm", openedAt: NOW }] },
      ["degraded", "anomaly"],
    ],
    [
      "fails where they found a loop of restarts",
      { alerts: [{ kind: "restarts", title: "restarts", openedAt: NOW }] },
      ["failing", "restart-loop"],
    ],
  ])("%s", (_, changes, expected) => {
    expect(judged(changes)).toEqual(expected);
  });

  it("lists every reason, the worst first, each with a sentence and a time", () => {
    const { health, reasons } = judgeHealth(
      facts({ presence: "offline", incidents: incidents("crash", 3), linkDrops: 6 }),
      NOW,
    );
    expect(health).toBe("offline");
    expect(reasons.map(({ code }) => code)).toEqual(["silent", "crash-loop", "link-flapping"]);
    expect(reasons[1]).toEqual({
      code: "crash-loop",
      message: "crashed 3 times within a day, the last at 2026-01-05 11:59 UTC",
      since: new Date(NOW - 3_600_000).toISOString(),
    });
  });

  it("is looked at again when a day has passed, a link is calm or a sleep is over", () => {
    expect(judgeHealth(facts(), NOW).dueAt).toBe(null);
    expect(judgeHealth(facts({ asleepUntil: NOW + 5 }), NOW).dueAt).toBe(NOW + 5);
    const crashed = facts({ incidents: incidents("crash", 1) });
    expect(judgeHealth(crashed, NOW).dueAt).toBe(NOW - 3_600_000 + DAY);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 20, noNaN: true }), fc.nat(DAY), (drops, ahead) => {
        const { dueAt } = judgeHealth(facts({ linkDrops: drops, asleepUntil: NOW + ahead }), NOW);
        expect(dueAt === null || dueAt > NOW).toBe(true);
      }),
    );
  });
});
