import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DEFAULT_POLICY,
  matchesAll,
  mutingOf,
  parseMatcher,
  planFlush,
  readPolicy,
  routesFor,
} from "../../src/alerts/index.ts";
import { isAppError } from "../../src/kernel/index.ts";

const matches = (text: string, labels: Record<string, string>) =>
  matchesAll([parseMatcher(text, "/matchers/0")], labels);

describe("a matcher", () => {
  it.each([
    ['site="berlin"', { site: "berlin" }, true],
    ['site="berlin"', { site: "berlin-2" }, false],
    ["site=berlin", { site: "berlin" }, true],
    ['site!="berlin"', {}, true],
    ['site=""', {}, true],
    ['device=~"hub-.*"', { device: "hub-1" }, true],
    ['device=~"hub-.*"', { device: "my-hub-1" }, false],
    ['device=~"hub-.*-a|gw-1"', { device: "gw-1" }, true],
    ['device=~"hub-.*-a"', { device: "hub-a" }, false],
    ['device!~".*-a"', { device: "hub-a" }, false],
    ['message="say \\"no\\""', { message: 'say "no"' }, true],
    ['constructor="x"', {}, false],
  ])("%s on %j is %s", (text, labels, expected) => {
    expect(matches(text, labels as Record<string, string>)).toBe(expected);
  });

  it("agrees with the regular expression that it stands for", () => {
    const piece = fc.stringMatching(/^[ab]{0,3}$/);
    const pieces = fc.array(piece, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(pieces, fc.stringMatching(/^[ab]{0,9}$/), (parts, value) => {
        const pattern = parts.join(".*");
        const expected = new RegExp(`^(?:${pattern})$`).test(value);
        expect(matches(`x=~"${pattern}"`, { x: value })).toBe(expected);
      }),
    );
  });

  it.each(["", "site", '="x"', 'site=~"(a+)+"', 'site=~"[a"', 'site=~"a{9}"', 'a="b" c="d"'])(
    "%j is refused with its place",
    (text) => {
      try {
        parseMatcher(text, "/routes/3/matchers/0");
        expect.unreachable();
      } catch (error) {
        expect(isAppError(error, "invalid-request")).toBe(true);
        expect((error as { details: object }).details).toMatchObject({
          errors: [{ path: "/routes/3/matchers/0" }],
        });
      }
    },
  );
});

describe("a policy", () => {
  const policy = readPolicy({
    default: { channels: ["all"], groupWaitSeconds: 5 },
    routes: [
      { name: "night", matchers: ['severity="info"'], channels: [] },
      { name: "site", matchers: ['site="berlin"'], channels: ["berlin"], continue: true },
      { name: "pager", matchers: ['severity="critical"'], groupBy: ["site"] },
    ],
    inhibitions: [
      { source: ['kind="site-down"'], target: ['kind="device-offline"'], equal: ["site"] },
    ],
    maintenance: [
      {
        name: "sundays",
        matchers: ['site="oslo"'],
        weekly: { from: "22:00", to: "02:00", days: ["sun"], timeZone: "Europe/Oslo" },
      },
    ],
  });
  const names = (labels: Record<string, string>) =>
    routesFor(policy, labels).map(({ name }) => name);

  it("takes the first route that fits, and those after it while they go on", () => {
    expect(names({ severity: "critical", site: "berlin" })).toEqual(["site", "pager"]);
    expect(names({ severity: "info", site: "berlin" })).toEqual(["night"]);
    expect(names({ severity: "warning" })).toEqual(["default"]);
  });

  it("hides what another alert explains, at the same site and nowhere else", () => {
    const cause = { id: "1", labels: { kind: "site-down", site: "berlin" } };
    const at = (site: string) =>
      mutingOf(
        { id: "2", labels: { kind: "device-offline", site } },
        { policy, silences: [], active: [cause], nowMs: 0 },
      );
    expect(at("berlin")).toEqual({ by: "inhibition", of: "1" });
    expect(at("oslo")).toBeUndefined();
  });

  it("keeps a window of maintenance in its own zone, past midnight too", () => {
    const at = (time: string) =>
      mutingOf(
        { id: "2", labels: { site: "oslo" } },
        { policy, silences: [], active: [], nowMs: Date.parse(time) },
      )?.by;
    // Sunday, 29 November 2026: Oslo is an hour ahead.
    expect(at("2026-11-29T20:59:00Z")).toBeUndefined();
    expect(at("2026-11-29T21:00:00Z")).toBe("maintenance");
    expect(at("2026-11-30T00:59:00Z")).toBe("maintenance");
    expect(at("2026-11-30T01:00:00Z")).toBeUndefined();
  });

  it("lets a silent fleet speak for its devices where a tenant has said nothing", () => {
    const own = readPolicy(DEFAULT_POLICY);
    const fleet = { id: "1", labels: { kind: "devices-offline" } };
    const device = { id: "2", labels: { kind: "device-offline" } };
    const context = { policy: own, silences: [], active: [fleet, device], nowMs: 0 };
    expect(mutingOf(device, context)?.by).toBe("inhibition");
    expect(mutingOf(fleet, context)).toBeUndefined();
  });
});

describe("a group of alerts", () => {
  const { fallback: route } = readPolicy({
    default: {
      channels: ["chat"],
      escalation: [
        { afterSeconds: 600, channels: ["pager"] },
        { afterSeconds: 1_200, channels: ["boss"] },
      ],
    },
  });
  const fresh = { createdAt: 0, notifiedAt: null, notified: {}, escalated: 0, heardSteps: 0 };
  const open = { id: "a", state: "open" as const, openedAt: 0, isMuted: false };
  const told = { ...fresh, notifiedAt: 30_000, notified: { a: "firing" as const } };
  const channelsOf = (plan: ReturnType<typeof planFlush>) =>
    plan.sayings.map(({ channels, firing, resolved }) => [channels[0], firing, resolved]);

  it("says what is new once, and again after the repeat interval only", () => {
    expect(channelsOf(planFlush(route, fresh, [open], 30_000))).toEqual([["chat", ["a"], []]]);
    expect(planFlush(route, told, [open], 330_000).sayings).toEqual([]);
    const later = { ...told, escalated: 2 };
    expect(planFlush(route, later, [open], 30_000 + 14_400_000).sayings).toHaveLength(1);
  });

  it("says the end of what it told, and ends", () => {
    const plan = planFlush(route, told, [{ ...open, state: "resolved" }], 60_000);
    expect(channelsOf(plan)).toEqual([["chat", [], ["a"]]]);
    expect(plan.flushAt).toBeNull();
  });

  it("says nothing of what ended before anybody was told", () => {
    const plan = planFlush(route, fresh, [{ ...open, state: "resolved" }], 30_000);
    expect(plan).toMatchObject({ sayings: [], flushAt: null, leave: ["a"] });
  });

  it("goes up a step for each time that nobody has reacted", () => {
    const first = planFlush(route, told, [open], 600_000);
    expect(channelsOf(first)).toEqual([["pager", ["a"], []]]);
    expect(first.next.escalated).toBe(1);
    // The next step is looked at when it is due, not an interval later.
    expect(first.flushAt).toBe(900_000);
    const both = planFlush(route, told, [open], 1_300_000);
    expect(channelsOf(both).map(([channel]) => channel)).toEqual(["pager", "boss"]);
  });

  it("goes up no further once somebody has acknowledged it, and tells the channels so", () => {
    const seen = { ...open, state: "acknowledged" as const };
    const plan = planFlush(route, { ...told, escalated: 1 }, [seen], 1_300_000);
    expect(plan.sayings).toMatchObject([{ isAcknowledged: true, escalation: null }]);
    expect(plan.next).toMatchObject({ escalated: 0, notified: { a: "acknowledged" } });
    expect(
      planFlush(route, { ...told, notified: plan.next.notified }, [seen], 99e6).sayings,
    ).toEqual([]);
  });

  it("tells who was called that somebody looks after it, and that it has ended", () => {
    const seen = { ...open, state: "acknowledged" as const };
    const called = { ...told, escalated: 1, heardSteps: 1 };
    const plan = planFlush(route, called, [seen], 700_000);
    expect(plan.sayings.map(({ channels }) => channels)).toEqual([["chat", "pager"]]);
    const after = { ...called, ...plan.next };
    expect(after).toMatchObject({ escalated: 0, heardSteps: 1 });
    const end = planFlush(route, after, [{ ...open, state: "resolved" }], 800_000);
    expect(end.sayings).toMatchObject([{ channels: ["chat", "pager"], resolved: ["a"] }]);
    expect(end.next.heardSteps).toBe(0);
  });

  it("tells that it is acknowledged when nothing of it waits any more, and not one by one", () => {
    const group = { ...told, notified: { a: "firing" as const, b: "firing" as const } };
    const seen = { ...open, state: "acknowledged" as const };
    const half = planFlush(route, group, [seen, { ...open, id: "b" }], 60_000);
    expect(half.sayings).toEqual([]);
    const whole = planFlush(
      route,
      { ...group, ...half.next },
      [seen, { ...seen, id: "b" }],
      70_000,
    );
    expect(whole.sayings).toMatchObject([{ firing: ["a", "b"], isAcknowledged: true }]);
  });

  it("stays silent while all of it is muted, and speaks when that ends", () => {
    const muted = { ...open, isMuted: true };
    const plan = planFlush(route, fresh, [muted], 30_000);
    expect(plan).toMatchObject({ sayings: [], next: { notified: {} } });
    expect(planFlush(route, fresh, [open], 330_000).sayings).toHaveLength(1);
  });

  it("never says twice what it remembers having said, whatever happens in between", () => {
    const step = fc.record({
      state: fc.constantFrom("open" as const, "acknowledged" as const, "resolved" as const),
      isMuted: fc.boolean(),
      waitMs: fc.integer({ min: 1, max: 400_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let group: Parameters<typeof planFlush>[1] = fresh;
        let now = 0;
        let firings = 0;
        for (const { state, isMuted, waitMs } of steps) {
          now += waitMs;
          const quiet = { ...route, escalation: [], repeatIntervalMs: 1e15 };
          const plan = planFlush(quiet, group, [{ ...open, state, isMuted }], now);
          const opened = plan.sayings.filter(
            ({ firing, isAcknowledged }) => firing.length > 0 && !isAcknowledged,
          );
          firings += opened.length;
          if (plan.flushAt === null) break;
          const isNews = group.notified.a !== "firing";
          expect(opened.length).toBeLessThanOrEqual(isNews ? 1 : 0);
          group = { ...group, ...plan.next };
        }
        expect(firings).toBeLessThanOrEqual(steps.length);
      }),
    );
  });
});
