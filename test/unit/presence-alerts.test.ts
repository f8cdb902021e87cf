import { describe, expect, it } from "vitest";
import { alertsForOffline } from "../../src/jobs/presence-alerts.ts";

const offline = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    deviceId: `d-${index}`,
    presence: "offline" as const,
    lastSeenAt: new Date(0),
  }));

describe("alerts for missed heartbeats", () => {
  it("names each device while they are few", () => {
    expect(alertsForOffline(offline(3)).map((alert) => alert.subjectId)).toEqual([
      "d-0",
      "d-1",
      "d-2",
    ]);
  });

  it("raises one alert for a common cause", () => {
    const alerts = alertsForOffline(offline(500));
    expect(alerts).toHaveLength(1);
    expect(alerts[0]).toMatchObject({
      severity: "critical",
      title: "500 devices went offline together",
    });
  });

  it("says nothing of devices that are only late", () => {
    expect(alertsForOffline([{ deviceId: "d", presence: "late", lastSeenAt: null }])).toEqual([]);
  });
});
