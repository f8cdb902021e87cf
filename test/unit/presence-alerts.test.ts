import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  fleetAlert,
  isBurst,
  isCommonCause,
  isOver,
  offlineAlert,
  platformAlert,
} from "../../src/jobs/presence-alerts.ts";

const silence = (devices: number, known: number, fallen = devices) => {
  return { devices, known, fallen, deviceIds: [] };
};

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

  it("take a burst for a common cause long before it is a share of the fleet", () => {
    // Ten thousand devices that speak every five minutes lose the platform: 33 a second.
    expect(isBurst(33, 0)).toBe(true);
    expect(isBurst(33, 0.5)).toBe(true);
    expect(isBurst(9, 0)).toBe(false);
    // A large fleet of which twenty go every two seconds on any day.
    expect(isBurst(30, 20)).toBe(false);
    expect(isBurst(80, 20)).toBe(true);
  });

  it("call it over when a tenth of those who fell are away, and few enough to be named", () => {
    expect(isOver(silence(2, 30, 30))).toBe(true);
    expect(isOver(silence(4, 30, 30))).toBe(false);
    expect(isOver(silence(101, 10_000, 10_000))).toBe(false);
    fc.assert(
      fc.property(fc.nat(500), fc.nat(20_000), (devices, fallen) => {
        expect(isOver(silence(0, 20_000, fallen))).toBe(true);
        if (devices > 0) expect(isOver(silence(devices, 20_000, devices))).toBe(false);
      }),
    );
  });

  it("are one of the platform, which says so, when its own gateway is away", () => {
    const report = platformAlert(["gw-2", "gw-1"], 40);
    expect(report.title).toMatch(/^The gateways gw-1, gw-2 do not answer\. Devices .* not judged/);
    expect(report).toMatchObject({ key: "presence:platform", kind: "platform-outage" });
  });
});
