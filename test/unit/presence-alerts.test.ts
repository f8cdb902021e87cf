import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fleetAlert, isCommonCause, isOver, offlineAlert } from "../../src/jobs/presence-alerts.ts";

const silence = (devices: number, known: number) => ({ devices, known, deviceIds: [] });

describe("alerts for missed heartbeats", () => {
  it("name a device, when it was heard last, and where to look", () => {
    const lastSeenAt = new Date(Date.UTC(2026, 0, 5, 12, 34));
    expect(offlineAlert({ deviceId: "d-1", lastSeenAt }).title).toBe(
      "d-1 missed its heartbeats and was last heard at 2026-01-05 12:34 UTC. " +
        "See its last log lines: /devices/d-1",
    );
  });

  it("are one when many fall silent together, and say so when the platform has just started", () => {
    expect(fleetAlert(silence(50, 200), null).title).toMatch(
      /^50 of 200 devices \(25 %\) went offline at about the same time\. Look for what they share/,
    );
    const startedAt = new Date(Date.UTC(2026, 0, 5, 12, 34));
    expect(fleetAlert(silence(50, 200), startedAt).title).toContain(
      "since the platform started at 2026-01-05 12:34 UTC",
    );
  });

  it("take ten devices of a small fleet for a common cause, and two in a hundred of a large one", () => {
    expect(isCommonCause(silence(9, 12))).toBe(false);
    expect(isCommonCause(silence(10, 12))).toBe(true);
    expect(isCommonCause(silence(150, 10_000))).toBe(false);
    expect(isCommonCause(silence(200, 10_000))).toBe(true);
  });

  it("never call a common cause over while it is one", () => {
    fc.assert(
      fc.property(fc.nat(500), fc.nat(20_000), (devices, known) => {
        const state = silence(devices, known);
        expect(isCommonCause(state) && isOver(state)).toBe(false);
        expect(isOver(silence(0, known))).toBe(true);
      }),
    );
  });
});
