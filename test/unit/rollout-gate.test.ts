import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  acknowledge,
  completePolicy,
  evaluate,
  type GateFacts,
  type GateState,
  initialGateState,
  type MetricTotals,
  takenBack,
} from "../../src/rollouts/index.ts";

const HOUR_MS = 3_600_000;
const policy = completePolicy({});
const NO_UPDATES = { pending: 0, offered: 0, underway: 0, succeeded: 0, failed: 0 };

function totals(treated: [number, number], control: [number, number]): MetricTotals {
  const arm = ([events, hours]: [number, number]) => ({
    events,
    rawEvents: events,
    exposureMs: hours * HOUR_MS,
  });
  return { treated: arm(treated), control: arm(control) };
}

function facts(changes: Partial<GateFacts> = {}): GateFacts {
  return {
    stageIndex: 1,
    stageName: "5 %",
    stageStartedAtMs: 0,
    isCanary: false,
    isLast: false,
    isFinal: false,
    isHoldback: false,
    fullyOffered: true,
    evidence: {},
    stageAbsent: 0,
    stageUpdates: { ...NO_UPDATES, succeeded: 495 },
    updates: { ...NO_UPDATES, pending: 9_500, succeeded: 500 },
    excluded: {},
    observations: [],
    unobserved: [],
    ...changes,
  };
}

const canary = (changes: Partial<GateFacts> = {}) =>
  facts({
    stageIndex: 0,
    stageName: "canary",
    isCanary: true,
    stageUpdates: { ...NO_UPDATES, succeeded: 5 },
    updates: { ...NO_UPDATES, pending: 9_995, succeeded: 5 },
    ...changes,
  });

const look = (given: GateFacts, hours = 1, state: GateState = initialGateState(), by = policy) =>
  evaluate(by, state, given, hours * HOUR_MS);

describe("updates that failed and are tried again", () => {
  const failing = (failed: number) =>
    facts({ updates: { ...NO_UPDATES, pending: 9_500, succeeded: 500, failed } });
  const evidence = (state: GateState) => state.processes["update-failure"];

  it("do not stand for others that fail later", () => {
    const seen = look(failing(10)).state;
    const begunAnew = takenBack(seen, { failed: 10, inStage: 0, succeeded: 0 });
    const others = look(failing(10), 2, begunAnew).state;
    expect(evidence(others)).not.toEqual(evidence(seen));
    // The control: without it the ten others would not be seen.
    expect(evidence(look(failing(10), 2, seen).state)).toEqual(evidence(seen));
  });

  it("stop canaries again after a resume", () => {
    const one = canary({ stageUpdates: { ...NO_UPDATES, succeeded: 4, failed: 1 } });
    const resumed = acknowledge(one);
    expect(look(one, 2, resumed).verdict.decision).not.toBe("pause");
    const begunAnew = takenBack(resumed, { failed: 1, inStage: 1, succeeded: 0 });
    expect(look(one, 2, begunAnew).verdict.decision).toBe("pause");
  });
});

describe("a figure that both arms are compared by", () => {
  const metrics = [{ metric: "telemetry.temperature", worse: "higher" as const, minimumPairs: 10 }];
  const compared = completePolicy({ metrics });
  const pairs = (worse: number, better: number) =>
    facts({ evidence: { "telemetry.temperature": totals([worse, 0], [better, 0]) } });

  it("pauses when the updated device is the worse one in nearly every pair", () => {
    const { verdict } = look(pairs(30, 2), 1, initialGateState(), compared);
    expect(verdict).toMatchObject({ decision: "pause", rule: "e-process:telemetry.temperature" });
    expect(verdict.sentence).toContain("worse on the updated device in 30 of 32 pairs");
  });

  it("does not pause when it is as often the one as the other", () => {
    const { verdict } = look(pairs(150, 150), 1, initialGateState(), compared);
    expect(verdict.decision).toBe("wait");
  });

  it("has to have been compared before the stage widens", () => {
    const { verdict } = look(pairs(2, 3), 5, initialGateState(), compared);
    expect(verdict).toMatchObject({ decision: "wait", rule: "minimum-evidence" });
  });
});

describe("the gate among the canaries", () => {
  it.each(["failed"] as const)("pauses on one update that %s", () => {
    const stageUpdates = { ...NO_UPDATES, succeeded: 4, failed: 1 };
    const { verdict } = look(canary({ stageUpdates }));
    expect(verdict).toMatchObject({ decision: "pause", rule: "canary-failure" });
    expect(verdict.sentence).toContain("1 update not ended well");
  });

  it.each(["self-test", "fallback"])("pauses on one %s", (metric) => {
    const { verdict } = look(canary({ evidence: { [metric]: totals([1, 5], [0, 100]) } }));
    expect(verdict).toMatchObject({ decision: "pause", rule: "canary-failure" });
  });

  it("pauses at the crash limit, counting each crash of one boot-looping device", () => {
    const crash = totals([1, 5], [0, 10_000]);
    crash.treated.rawEvents = 2;
    expect(look(canary({ evidence: { crash } })).verdict.rule).toBe("canary-crashes");
  });

  it("soaks from when the canaries have the update, then promotes without asking for evidence", () => {
    const slow = canary({ stageUpdates: { ...NO_UPDATES, succeeded: 4, underway: 1 } });
    const before = look(slow, 10);
    expect(before.verdict).toMatchObject({ decision: "wait", rule: "updates-underway" });
    const { verdict, state } = look(canary(), 11, before.state);
    expect(verdict).toMatchObject({ decision: "wait", rule: "min-soak" });
    expect(look(canary(), 14.9, state).verdict.rule).toBe("min-soak");
    const after = look(canary(), 15, state).verdict;
    expect(after).toMatchObject({ decision: "promote", rule: "canaries-well" });
    expect(after.sentence).toBe("canary: 5 canaries updated and well for 4 h.");
  });

  it("does not promote while no canary has been updated", () => {
    const stageUpdates = { ...NO_UPDATES, offered: 5 };
    expect(look(canary({ stageUpdates }), 100).verdict.rule).toBe("updates-underway");
  });

  it("does not trigger again on what a person has accepted by resuming", () => {
    const stageUpdates = { ...NO_UPDATES, succeeded: 4, failed: 1 };
    const given = canary({ stageUpdates });
    const resumed = look(given, 5, acknowledge(given));
    expect(resumed.verdict.rule).toBe("min-soak");
    expect(look(given, 9, resumed.state).verdict.decision).toBe("promote");
    const worse = canary({ stageUpdates: { ...stageUpdates, succeeded: 3, failed: 2 } });
    expect(look(worse, 5, acknowledge(given)).verdict.decision).toBe("pause");
  });
});

describe("the gate on evidence", () => {
  it("pauses when crashes gather on the updated devices, and says so in numbers", () => {
    const { verdict } = look(facts({ evidence: { crash: totals([12, 500], [10, 9_500]) } }));
    expect(verdict).toMatchObject({ decision: "pause", rule: "e-process:crash" });
    expect(verdict.sentence).toBe(
      "Crashes: 12 on updated devices in 500 device-hours, 10 on the others in 9,500 device-hours; " +
        "if the new firmware were no worse, evidence this strong would come up in fewer than 1 of " +
        `62.5 rollouts (E = ${verdict.sentence.match(/E = (.*)\)/)?.[1]}).`,
    );
    expect(verdict.numbers.metrics.crash).toMatchObject({
      treated: { events: 12, deviceHours: 500 },
      control: { events: 10, deviceHours: 9_500 },
      pauseAt: 62.5,
    });
  });

  it("promotes when three times worse has become unlikely, not before the soak", () => {
    const given = facts({ evidence: { crash: totals([2, 16_000], [63, 304_000]) } });
    expect(look(given, 3).verdict.rule).toBe("min-soak");
    expect(look(given, 32).verdict).toMatchObject({ decision: "promote", rule: "evidence" });
  });

  it("waits while the evidence is thin", () => {
    const given = facts({ evidence: { crash: totals([1, 2_000], [8, 38_000]) } });
    expect(look(given, 10).verdict).toMatchObject({ decision: "wait", rule: "gathering-evidence" });
  });

  it("pauses when more updates fail than are tolerated", () => {
    const given = facts({ updates: { ...NO_UPDATES, pending: 9_500, succeeded: 40, failed: 9 } });
    expect(look(given).verdict.rule).toBe("e-process:update-failure");
  });

  it("does not mistake a storm over the whole fleet for bad firmware", () => {
    const given = facts({ evidence: { crash: totals([50, 500], [950, 9_500]) } });
    expect(look(given).verdict.decision).not.toBe("pause");
  });

  it("promotes by age where the policy says so and nothing speaks against it", () => {
    const aged = completePolicy({ maxSoakSeconds: 6 * 3_600 });
    expect(look(facts(), 5, undefined, aged).verdict.decision).toBe("wait");
    expect(look(facts(), 6, undefined, aged).verdict.rule).toBe("max-soak");
    const adverse = facts({ evidence: { crash: totals([2, 500], [2, 9_500]) } });
    expect(look(adverse, 6, undefined, aged).verdict.decision).toBe("wait");
  });

  it("asks a person after a week without a decision", () => {
    expect(look(facts(), 7 * 24).verdict).toMatchObject({ decision: "ask", rule: "ask-after" });
  });

  it("ends with the hold-back", () => {
    const last = facts({
      stageIndex: 4,
      isLast: true,
      evidence: { crash: totals([60, 300_000], [62, 304_000]) },
    });
    expect(look(last, 12).verdict.decision).toBe("promote");
    const heldBack = facts({ stageIndex: 5, isFinal: true, isHoldback: true });
    expect(look(heldBack, 0).verdict.decision).toBe("finish");
  });

  it("ends with the last stage where there are too few devices to hold one back", () => {
    expect(policy.holdbackPercent).toBeGreaterThan(0);
    const last = facts({
      stageIndex: 4,
      isLast: true,
      isFinal: true,
      evidence: { crash: totals([60, 300_000], [62, 304_000]) },
    });
    expect(look(last, 12).verdict.decision).toBe("finish");
  });
});

describe("plain thresholds", () => {
  const limited = completePolicy({
    thresholds: [{ metric: "telemetry.temperature", above: 80, minimumDevices: 10 }],
  });
  const observed = (value: number, devices: number) =>
    facts({
      observations: [{ metric: "telemetry.temperature", value, devices, deviceHours: 100 }],
    });

  it("pause above the limit with enough evidence only", () => {
    expect(look(observed(81, 10), 1, undefined, limited).verdict).toMatchObject({
      decision: "pause",
      rule: "threshold:telemetry.temperature",
    });
    expect(look(observed(81, 9), 1, undefined, limited).verdict.decision).toBe("wait");
    expect(look(observed(80, 10), 1, undefined, limited).verdict.decision).toBe("wait");
  });

  it("trigger again after a resume only when it has become clearly worse", () => {
    const seen = acknowledge(observed(90, 10));
    expect(look(observed(95, 10), 1, seen, limited).verdict.decision).toBe("wait");
    expect(look(observed(113, 10), 1, seen, limited).verdict.decision).toBe("pause");
  });
});

const count = (max: number) => fc.integer({ min: 0, max });
const steps = fc.array(
  fc.record({ treated: count(5), control: count(50), hours: fc.integer({ min: 1, max: 24 }) }),
  { maxLength: 30 },
);

/** Looks in turn at totals that grow by `steps`, in the 5 % stage. */
function run(given: { treated: number; control: number; hours: number }[]) {
  const sum = { treated: 0, control: 0, hours: 0 };
  let state = initialGateState();
  return given.map((step) => {
    sum.treated += step.treated;
    sum.control += step.control;
    sum.hours += step.hours;
    const crash = totals([sum.treated, sum.hours * 500], [sum.control, sum.hours * 9_500]);
    const result = look(facts({ evidence: { crash } }), sum.hours, state);
    state = result.state;
    return result.verdict;
  });
}

describe("properties of the gate", () => {
  it("never pauses on crashes of the others alone", () => {
    fc.assert(
      fc.property(steps, (given) => {
        const verdicts = run(given.map((step) => ({ ...step, treated: 0 })));
        return verdicts.every((verdict) => verdict.decision !== "pause");
      }),
    );
  });

  it("never lowers E for one more crash on an updated device, nor raises it for one elsewhere", () => {
    fc.assert(
      fc.property(steps, fc.nat(), (given, pick) => {
        if (given.length === 0) return true;
        const index = pick % given.length;
        const more = (arm: "treated" | "control") =>
          given.map((step, at) => (at === index ? { ...step, [arm]: step[arm] + 1 } : step));
        const lastE = (looks: typeof given) =>
          run(looks).at(-1)?.numbers.metrics.crash?.eValue as number;
        const base = lastE(given);
        return lastE(more("treated")) >= base && lastE(more("control")) <= base * (1 + 1e-9);
      }),
    );
  });

  it("decides the same from the same facts, also through JSON", () => {
    fc.assert(
      fc.property(steps, (given) => {
        const sum = { treated: 0, control: 0, hours: 0 };
        let state = initialGateState();
        for (const step of given) {
          sum.treated += step.treated;
          sum.control += step.control;
          sum.hours += step.hours;
          const crash = totals([sum.treated, sum.hours * 500], [sum.control, sum.hours * 9_500]);
          const given = facts({ evidence: { crash } });
          const stored = JSON.parse(JSON.stringify(state)) as GateState;
          const [first, again] = [look(given, sum.hours, state), look(given, sum.hours, stored)];
          expect(again).toEqual(first);
          state = first.state;
        }
      }),
      { numRuns: 50 },
    );
  });

  it("does not move when nothing new has come in", () => {
    fc.assert(
      fc.property(steps, (given) => {
        let state = initialGateState();
        for (const step of given) {
          const evidence = { crash: totals([step.treated, 500], [step.control, 9_500]) };
          const first = look(facts({ evidence }), 1, initialGateState());
          state = first.state;
          expect(look(facts({ evidence }), 1, state).state).toEqual(state);
        }
      }),
      { numRuns: 50 },
    );
  });
});
