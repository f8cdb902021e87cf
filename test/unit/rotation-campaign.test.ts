import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  dueTimes,
  freeSlots,
  judgeRotation,
  type RotationFacts,
} from "../../src/identity/campaign-rules.ts";
import { alertsForCertificates } from "../../src/jobs/certificate-alerts.ts";
import { seededRandom } from "../../src/kernel/random.ts";

const DEADLINE_MS = 60_000;
const facts: RotationFacts = {
  sentAt: 0,
  renewed: false,
  command: { status: "delivered", error: null },
  failure: null,
  step: null,
};

const anyFacts: fc.Arbitrary<RotationFacts> = fc.record({
  sentAt: fc.integer({ min: 0, max: 1_000 }),
  renewed: fc.boolean(),
  command: fc.option(
    fc.record({
      status: fc.constantFrom(
        ...["queued", "delivered", "accepted", "running", "succeeded"],
        ...["failed", "rejected", "expired", "cancelled"],
      ),
      error: fc.option(fc.string()),
    }),
  ),
  failure: fc.option(
    fc.record({ step: fc.constantFrom("request", "trial"), message: fc.string() }),
  ),
  step: fc.option(fc.constantFrom("key", "store", "confirm")),
});

describe("a device of a campaign", () => {
  it("is done when a new certificate is in use, whatever it says itself", () => {
    const command = { status: "failed", error: "out of memory" };
    expect(judgeRotation({ ...facts, renewed: true, command }, DEADLINE_MS, 1)).toEqual({
      state: "succeeded",
    });
  });

  it("has not succeeded because it says so: until the deadline it is waited for", () => {
    const command = { status: "succeeded", error: null };
    expect(judgeRotation({ ...facts, command }, DEADLINE_MS, 1).state).toBe("rotating");
    expect(judgeRotation({ ...facts, command, step: "confirm" }, DEADLINE_MS, 60_000)).toEqual({
      state: "failed",
      step: "confirm",
      error: "not done by the deadline",
    });
  });

  it("fails with the step and the reason that are known", () => {
    const command = { status: "failed", error: "no" };
    expect(judgeRotation({ ...facts, command }, DEADLINE_MS, 1)).toMatchObject({
      step: "command",
      error: "no",
    });
    const failure = { step: "trial", message: "no route to host" };
    expect(judgeRotation({ ...facts, command, failure }, DEADLINE_MS, 1)).toMatchObject({
      step: "trial",
      error: "no route to host",
    });
  });

  it("always comes to an end at the deadline, and never goes on after one", () => {
    fc.assert(
      fc.property(anyFacts, fc.integer({ min: 0, max: 200_000 }), (given, now) => {
        const verdict = judgeRotation(given, DEADLINE_MS, now);
        if (verdict.state !== "rotating") return true;
        return now < given.sentAt + DEADLINE_MS && !given.renewed;
      }),
    );
  });
});

describe("the pace of a campaign", () => {
  it("never has more devices under way than it may, and uses what is free", () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.nat(2_000), (concurrency, underWay) => {
        const free = freeSlots(concurrency, underWay);
        return free >= 0 && (free === 0 || free + underWay === concurrency);
      }),
    );
  });

  it("scatters what becomes possible together over the jitter", () => {
    const due = dueTimes(1_000, 60, 5_000, seededRandom(7));
    expect(Math.min(...due)).toBeGreaterThanOrEqual(5_000);
    expect(Math.max(...due)).toBeLessThan(65_000);
    const buckets = new Set(due.map((at) => Math.floor((at - 5_000) / 1_000)));
    expect(buckets.size).toBe(60);
    expect(new Set(dueTimes(10, 0, 5_000, seededRandom(7)))).toEqual(new Set([5_000]));
  });
});

describe("alerts about certificates", () => {
  const none = { overdue: [], failing: [], knocks: 0 };
  const DAY_MS = 86_400_000;

  it("are none while nothing is wrong, and those of before are resolved", () => {
    const { raise, resolve } = alertsForCertificates(none, 0);
    expect(raise).toEqual([]);
    expect(resolve).toHaveLength(3);
  });

  it("name the device, and are critical when little time is left", () => {
    const overdue = [{ deviceId: "hub-1", notAfter: new Date(10 * DAY_MS) }];
    const [soon] = alertsForCertificates({ ...none, overdue }, 0).raise;
    expect(soon).toMatchObject({ severity: "warning", kind: "certificates-expiring" });
    expect(soon?.title).toContain("hub-1 ends in 10 days");
    const [late] = alertsForCertificates({ ...none, overdue }, 8 * DAY_MS).raise;
    expect(late?.severity).toBe("critical");
    const [over] = alertsForCertificates({ ...none, overdue }, 11 * DAY_MS).raise;
    expect(over?.title).toContain("has ended");
  });

  it("tell of repeated failures and of many strangers, one alert for all of them", () => {
    const error = { element: "issuer", message: "no" };
    const failing = ["a", "b"].map((deviceId) => ({ deviceId, step: "trial", error, failures: 3 }));
    const { raise, resolve } = alertsForCertificates({ ...none, failing, knocks: 50 }, 0);
    expect(raise.map((report) => report.kind)).toEqual(["rotation-failing", "certificate-knocks"]);
    expect(raise[0]?.details).toMatchObject({ devices: ["a", "b"], step: "trial" });
    expect(resolve).toEqual(["certificates:expiring"]);
    expect(alertsForCertificates({ ...none, knocks: 49 }, 0).raise).toEqual([]);
  });
});
