import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UPDATE_PHASES, type UpdateState } from "../../src/protocol/index.ts";
import {
  armOf,
  DEVICE_STATES,
  type DeviceProgress,
  type DeviceState,
  moveByDeadline,
  moveByReport,
  moveBySighting,
} from "../../src/rollouts/index.ts";

const TARGET = "a".repeat(64);
const OTHER = "b".repeat(64);
const running = (hash: string) => ({ version: "1.0.0", hash, slot: "a" });
const device = (changes: Partial<DeviceProgress> = {}): DeviceProgress => ({
  state: "offered",
  targetSha256: TARGET,
  cancelled: false,
  bootId: null,
  ...changes,
});
const report = (phase: UpdateState["phase"], changes: Partial<UpdateState> = {}): UpdateState => ({
  updateId: "u",
  phase,
  ...changes,
});
/** Where a device ends after reports in turn. */
const stateAfter = (start: DeviceProgress, reports: readonly UpdateState[]): DeviceState => {
  const now = { ...start };
  for (const next of reports) now.state = moveByReport(now, next)?.state ?? now.state;
  return now.state;
};

const arbitraryState = fc.constantFrom(...DEVICE_STATES);
const arbitraryReport = fc.record({
  updateId: fc.constant("u"),
  phase: fc.constantFrom(...UPDATE_PHASES),
  running: fc.constantFrom(undefined, running(TARGET), running(OTHER)),
}) as fc.Arbitrary<UpdateState>;

describe("what a device's report does", () => {
  it("takes success only with the target's hash after the boot", () => {
    expect(moveByReport(device(), report("succeeded", { running: running(TARGET) }))?.state).toBe(
      "succeeded",
    );
    expect(moveByReport(device(), report("succeeded"))?.state).toBe("confirming");
    expect(moveByReport(device(), report("succeeded", { running: running(OTHER) }))).toMatchObject({
      state: "fell-back",
      failure: { element: "hash" },
    });
  });

  it("lets a device that was taken for silent go on", () => {
    expect(stateAfter(device({ state: "silent" }), [report("installing")])).toBe("installing");
  });

  it("does not take the refusal of a repeat for a refusal", () => {
    expect(stateAfter(device({ state: "installing" }), [report("rejected")])).toBe("installing");
    expect(stateAfter(device(), [report("rejected")])).toBe("rejected");
  });

  it("takes a device that was told to stop off the list when it has stopped", () => {
    expect(stateAfter(device({ cancelled: true }), [report("failed")])).toBe("withdrawn");
  });

  it("keeps a fallback that follows a success", () => {
    const done = report("succeeded", { running: running(TARGET) });
    expect(stateAfter(device(), [done, report("fell-back")])).toBe("fell-back");
  });

  it("never ends well without the target running", () => {
    fc.assert(
      fc.property(
        arbitraryState,
        fc.array(arbitraryReport, { maxLength: 12 }),
        (state, reports) => {
          fc.pre(state !== "succeeded");
          const proof = reports.some(
            ({ phase, running: claimed }) => phase === "succeeded" && claimed?.hash === TARGET,
          );
          return proof || stateAfter(device({ state }), reports) !== "succeeded";
        },
      ),
    );
  });

  it("changes nothing when told the same twice in a row", () => {
    fc.assert(
      fc.property(arbitraryState, fc.boolean(), arbitraryReport, (state, cancelled, given) => {
        const start = device({ state, cancelled });
        expect(stateAfter(start, [given, given])).toBe(stateAfter(start, [given]));
      }),
    );
  });

  it("ends the same whatever the order of the phases around the end", () => {
    const phases = ["downloading", "installing", "rebooting", "confirming"] as const;
    const ends = [report("succeeded", { running: running(TARGET) }), report("fell-back")];
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...phases]),
        fc.constantFrom(...ends),
        fc.nat(4),
        (order, end, position) => {
          const reports = order.map((phase) => report(phase));
          reports.splice(position, 0, end);
          expect(stateAfter(device(), reports)).toBe(end.phase);
        },
      ),
    );
  });
});

describe("what a heartbeat does", () => {
  const seen = (hash: string, bootId = "boot-2") => ({ hash, bootId });

  it("confirms a device that reports no phases", () => {
    expect(moveBySighting(device(), seen(TARGET))?.state).toBe("succeeded");
    expect(moveBySighting(device(), seen(OTHER))).toBeUndefined();
  });

  it("does not confirm for a device that is still testing itself", () => {
    expect(moveBySighting(device({ state: "confirming" }), seen(TARGET))).toBeUndefined();
  });

  it("sees that a device came back with another image", () => {
    const rebooting = device({ state: "rebooting", bootId: "boot-1" });
    expect(moveBySighting(rebooting, seen(OTHER, "boot-1"))).toBeUndefined();
    expect(moveBySighting(rebooting, seen(OTHER, "boot-2"))?.state).toBe("fell-back");
    expect(moveBySighting(device({ state: "succeeded" }), seen(OTHER))?.state).toBe("fell-back");
  });
});

describe("what a deadline does", () => {
  const known = { offline: false, held: false, runningSha256: OTHER };

  it("leaves a device that is away with its offer, and calls every other silence a failure", () => {
    expect(moveByDeadline(device(), { ...known, offline: true })).toBe("wait");
    expect(moveByDeadline(device(), { ...known, held: true })).toBe("wait");
    expect(moveByDeadline(device(), known)).toMatchObject({ state: "silent" });
    expect(
      moveByDeadline(device({ state: "rebooting" }), { ...known, offline: true }),
    ).toMatchObject({ state: "silent", failure: { phase: "rebooting", element: "deadline" } });
  });

  it("believes what the device was last seen to run", () => {
    const move = moveByDeadline(device({ state: "installing" }), {
      ...known,
      runningSha256: TARGET,
    });
    expect(move).toMatchObject({ state: "succeeded" });
  });
});

describe("to which arm an incident speaks", () => {
  const crash = (firmwareSha256: string | null) => ({ kind: "crash" as const, firmwareSha256 });
  const row = (state: DeviceState, excluded_reason: string | null = null) => ({
    state,
    target_sha256: TARGET,
    excluded_reason,
  });

  it.each([
    ["succeeded", TARGET, "treated"],
    ["confirming", TARGET, "treated"],
    ["succeeded", null, "treated"],
    ["succeeded", OTHER, undefined],
    ["installing", OTHER, undefined],
    ["pending", OTHER, "control"],
    ["pending", null, "control"],
    ["pending", TARGET, undefined],
    ["withdrawn", OTHER, undefined],
  ] as const)("a crash on a device that is %s with image %s: %s", (state, hash, arm) => {
    expect(armOf(row(state), crash(hash))).toBe(arm);
  });

  it("to none on a device that is left out", () => {
    expect(armOf(row("succeeded", "chronic"), crash(TARGET))).toBeUndefined();
  });
});
