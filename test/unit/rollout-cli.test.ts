import { describe, expect, it } from "vitest";
import { differences } from "../../src/cli/rollout-file.ts";
import { decisionText } from "../../src/cli/rollout-view.ts";

type Rollout = Parameters<typeof differences>[0];

const AT = Date.UTC(2026, 10, 29, 12);
const iso = (seconds: number) => new Date(AT + seconds * 1_000).toISOString();

function running(policy: object): Rollout {
  const rollout = { name: "r", releaseId: "1", query: "", state: "running", kind: "update" };
  const times = { stageIndex: 0, stageStartedAt: iso(0), nextLookAt: iso(30) };
  return { ...rollout, ...times, policy } as unknown as Rollout;
}

describe("a rollout's file beside what runs", () => {
  const stages = [
    { name: "canary", devices: 5 },
    { percent: 100, name: "all" },
  ];
  const wanted = (policy: object) => ({ name: "r", releaseId: "1", query: "", policy });

  it("is the same in whatever order the platform keeps its parts", () => {
    const file = [
      { devices: 5, name: "canary" },
      { name: "all", percent: 100 },
    ];
    expect(differences(running({ stages, alpha: 0.02 }), wanted({ stages: file }))).toEqual([]);
  });

  it("differs at the very place, also where the file says less", () => {
    const file = [
      { name: "canary", devices: 6 },
      { name: "all", percent: 100 },
    ];
    const place = { path: "policy.stages[0].devices", running: 5, wanted: 6 };
    expect(differences(running({ stages }), wanted({ stages: file }))).toEqual([place]);
    const ramped = [{ ...stages[0], rampSeconds: 60 }, stages[1]];
    const left = { path: "policy.stages[0].rampSeconds", running: 60, wanted: null };
    expect(differences(running({ stages: ramped }), wanted({ stages }))).toEqual([left]);
    expect(differences(running({ stages }), wanted({ stages: [stages[1]] }))).toHaveLength(1);
  });
});

describe("when a rollout decides next", () => {
  it("names the look, the soak times and the day on which a person is asked", () => {
    const policy = { stages: [{ name: "canary" }], minSoakSeconds: 60, askAfterSeconds: 604_800 };
    const text = decisionText(running({ ...policy, maxSoakSeconds: 7_200 }), AT);
    expect(text).toBe(
      "look in 30 s, may promote in 60 s, promotes in 2 h (2026-11-29 14:00Z) where nothing " +
        "speaks against it, asks a person in 7 d (2026-12-06 12:00Z) at the latest",
    );
    expect(decisionText(running({ ...policy, maxSoakSeconds: null }), AT)).not.toContain("where");
  });

  it("says before the beginning what the rollout waits for", () => {
    const policy = { stages: [{ name: "canary" }] };
    const waiting = (more: object, startAt?: string) => ({
      ...running({ ...policy, ...(startAt ? { startAt } : {}) }),
      ...{ state: "preparing" as const, startedAt: null, needsApproval: false },
      ...more,
    });
    expect(decisionText(waiting({}), AT)).toBe("begins when its deltas are ready");
    expect(decisionText(waiting({ needsApproval: true }), AT)).toContain("a second person's");
    const later = new Date(AT + 86_400_000).toISOString();
    expect(decisionText(waiting({}, later), AT)).toMatch(/^begins in 24 h \(/);
  });
});
