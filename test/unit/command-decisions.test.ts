import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  COMMAND_STATUSES,
  effectOfResult,
  isFinalStatus,
  outcomeWhenDue,
  retryAt,
} from "../../src/commands/lifecycle.ts";
import { nextRelease, RELEASE_CHUNK } from "../../src/commands/pacing.ts";

const NOW = Date.UTC(2026, 5, 1);
const status = fc.constantFrom(...COMMAND_STATUSES);
const reported = fc.constantFrom(
  ...(["accepted", "running", "succeeded", "failed", "rejected"] as const),
);
const moment = fc.integer({ min: NOW - 1_000, max: NOW + 1_000 });

describe("a device's report", () => {
  it("never takes a command back, and never changes an end that the platform has set", () => {
    fc.assert(
      fc.property(status, reported, (current, report) => {
        const effect = effectOfResult(current, report);
        if (["expired", "timed-out", "replaced", "cancelled"].includes(current)) {
          expect(effect).toBe("record-late");
        } else if (isFinalStatus(current)) expect(effect).toBe("ignore");
        if (effect === "finish") expect(isFinalStatus(report)).toBe(true);
      }),
    );
  });

  it("ends in the same state in whatever order and however often reports come", () => {
    const reports = fc.uniqueArray(fc.constantFrom(...(["accepted", "running"] as const)));
    fc.assert(
      fc.property(reports, fc.array(fc.nat(20)), (before, echoes) => {
        const said = [...before, "succeeded" as const];
        const heard = [...said, ...echoes.map((at) => said[at % said.length] as "running")];
        let current: Parameters<typeof effectOfResult>[0] = "queued";
        for (const report of heard) {
          const effect = effectOfResult(current, report);
          if (effect === "advance" || effect === "finish") current = report;
        }
        expect(current).toBe("succeeded");
      }),
    );
  });
});

describe("the moment of a command", () => {
  const facts = fc.record({
    status,
    expiresAtMs: moment,
    deadlineAtMs: fc.option(moment),
    releaseAtMs: fc.option(moment),
  });

  it("expires what is late before anything else, and leaves ends alone", () => {
    fc.assert(
      fc.property(facts, (given) => {
        const outcome = outcomeWhenDue(given, NOW);
        if (isFinalStatus(given.status)) expect(outcome.act).toBe("wait");
        if (outcome.act === "release") {
          expect(given.status).toBe("waiting");
          expect(given.expiresAtMs).toBeGreaterThan(NOW);
        }
        if (outcome.act === "end" && outcome.status === "timed-out") {
          expect(given.expiresAtMs).toBeGreaterThan(NOW);
          expect(given.deadlineAtMs).toBeLessThanOrEqual(NOW);
        }
        const isOnItsWay = !isFinalStatus(given.status) && given.status !== "waiting";
        if (isOnItsWay && given.expiresAtMs <= NOW) {
          expect(outcome).toMatchObject({ act: "end", status: "expired" });
        }
      }),
    );
  });

  it("names the phase that took too long", () => {
    const late = (of: (typeof COMMAND_STATUSES)[number]) =>
      outcomeWhenDue(
        { status: of, expiresAtMs: NOW + 1, deadlineAtMs: NOW, releaseAtMs: null },
        NOW,
      );
    expect(late("queued")).toMatchObject({ error: "it was not delivered in time" });
    expect(late("delivered")).toMatchObject({ error: "the device did not accept it in time" });
    expect(late("running")).toMatchObject({ error: "the device did not finish it in time" });
    expect(late("waiting")).toEqual({ act: "wait" });
  });
});

describe("another attempt", () => {
  const facts = {
    attempt: 1,
    maxAttempts: 3,
    retryOn: ["failed"],
    retrySeconds: 10,
    expiresAtMs: NOW + 60_000,
  };

  it.each([
    [{}, "failed", NOW + 10_000],
    [{}, "timed-out", undefined],
    [{ retryOn: ["failed", "timed-out"] }, "timed-out", NOW + 10_000],
    [{}, "rejected", undefined],
    [{}, "succeeded", undefined],
    [{ attempt: 3 }, "failed", undefined],
    [{ expiresAtMs: NOW + 10_000 }, "failed", undefined],
  ] as const)("with %j after %s begins at %s", (change, end, expected) => {
    expect(retryAt({ ...facts, ...change }, end, NOW)).toBe(expected);
  });
});

describe("the pace of a batch", () => {
  const pace = fc.record(
    {
      concurrency: fc.integer({ min: 1, max: 5_000 }),
      batchSize: fc.integer({ min: 1, max: RELEASE_CHUNK }),
      intervalSeconds: fc.integer({ min: 1, max: 100 }),
    },
    { requiredKeys: [] },
  );

  it("keeps every bound and always looks again while commands wait", () => {
    fc.assert(
      fc.property(pace, fc.nat(20_000), fc.nat(10_000), (given, waiting, underWay) => {
        const { count, againAtMs } = nextRelease({ pace: given, waiting, underWay }, NOW);
        expect(count).toBeGreaterThanOrEqual(0);
        expect(count).toBeLessThanOrEqual(Math.min(waiting, RELEASE_CHUNK));
        if (given.batchSize) expect(count).toBeLessThanOrEqual(given.batchSize);
        if (given.concurrency) {
          expect(count + underWay).toBeLessThanOrEqual(Math.max(given.concurrency, underWay));
        }
        expect(againAtMs === null).toBe(count === waiting);
        if (againAtMs !== null) expect(againAtMs).toBeGreaterThanOrEqual(NOW);
      }),
    );
  });

  it("releases all of them where nothing bounds it", () => {
    expect(nextRelease({ pace: {}, waiting: 7, underWay: 100 }, NOW)).toEqual({
      count: 7,
      againAtMs: null,
    });
  });

  it("waits the interval between two releases", () => {
    const bounds = { batchSize: 10, intervalSeconds: 30 };
    expect(nextRelease({ pace: bounds, waiting: 25, underWay: 10 }, NOW)).toEqual({
      count: 10,
      againAtMs: NOW + 30_000,
    });
  });
});
