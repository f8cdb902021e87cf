import type { DeclaredMetric, RolloutPolicyInput } from "../client/index.ts";

/** Who appears in the story, and at what pace. One second of the demo stands for one hour. */
export const SECONDS_PER_HOUR = 1;

/** How fast a fleet lives, and how soon its silence counts. */
export interface FleetPace {
  /** Hours of a device's life that pass in an hour. */
  timeScale: number;
  heartbeatIntervalMs: number;
  offlineAfterMissed: number;
}

/**
 * The pace of the story. Silence counts after two minutes only: on a busy machine a device that
 * restarts is easily late, and silence is evidence against a firmware.
 */
export const DEMO_PACE: FleetPace = {
  timeScale: 3_600 / SECONDS_PER_HOUR,
  heartbeatIntervalMs: 5_000,
  offlineAfterMissed: 24,
};

/** The pace of `up --demo`: an hour of a device's life in a minute. */
export const UP_PACE: FleetPace = {
  timeScale: 60,
  heartbeatIntervalMs: 10_000,
  offlineAfterMissed: 3,
};

export interface DemoTenant {
  id: string;
  name: string;
  /** Share of all devices, 0 to 1. */
  share: number;
  regions: readonly string[];
}

export const TENANTS: readonly DemoTenant[] = [
  { id: "acme", name: "Acme Pumps", share: 0.6, regions: ["berlin", "lyon", "porto"] },
  { id: "globex", name: "Globex Energy", share: 0.4, regions: ["oslo", "turin"] },
];

export const HARDWARE_REVISIONS = ["a", "b"] as const;
export const PRODUCT = "hub";
/** What the application of a hub measures. */
export const METRICS: readonly DeclaredMetric[] = [
  { name: "temperature", type: "number", unit: "°C", decimals: 2, description: "Of the water" },
  { name: "memory", type: "number", unit: "%", decimals: 2, description: "In use" },
  { name: "battery", type: "number", unit: "%", decimals: 2, description: "What is left of it" },
  { name: "rssi", type: "number", unit: "dBm", decimals: 2, description: "Strength of the signal" },
];
export const VERSIONS = { factory: "1.0.0", good: "1.1.0", bad: "1.2.0" } as const;

const hours = (count: number) => count * SECONDS_PER_HOUR;

/** The rollout policy of the demo: a day's soak at each stage, at the demo's pace. */
export const DEMO_POLICY: RolloutPolicyInput = {
  stages: [
    // What is wrong with a build mostly shows in its first hours.
    { name: "canary", devices: 5, minSoakSeconds: hours(10) },
    { name: "5 %", percent: 5 },
    { name: "25 %", percent: 25 },
    { name: "50 %", percent: 50 },
    { name: "100 %", percent: 100 },
  ],
  minSoakSeconds: hours(2),
  maxSoakSeconds: hours(5),
  askAfterSeconds: hours(7 * 24),
  evaluateEverySeconds: 0.5,
  alpha: 0.02,
  promoteLikelihoodRatio: 0.05,
  rateRatio: 3,
  holdbackPercent: 5,
  canaryCrashLimit: 2,
  // Not at the story's pace: a machine with other work to do makes every device wait.
  deadlines: {
    offered: 180_000,
    downloading: 180_000,
    installing: 180_000,
    rebooting: 180_000,
    confirming: 180_000,
  },
  thresholds: [
    { metric: "error-log-rate", above: 3600 * 2, minimumDevices: 2 },
    { metric: "offline-share", above: 0.5, minimumDevices: 4 },
  ],
  onBreach: "pause",
};

/** How many of `total` devices each tenant has; the last one takes what rounding leaves. */
export function devicesPerTenant(total: number): Map<string, number> {
  const counts = new Map<string, number>();
  let left = total;
  TENANTS.forEach((tenant, index) => {
    const count = index === TENANTS.length - 1 ? left : Math.round(total * tenant.share);
    counts.set(tenant.id, count);
    left -= count;
  });
  return counts;
}
