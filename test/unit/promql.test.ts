import { describe, expect, it } from "vitest";
import {
  Evaluation,
  type LoadSeries,
  type Steps,
} from "../../src/telemetry-queries/promql/evaluate.ts";
import { testOf } from "../../src/telemetry-queries/promql/labels.ts";
import { parsePromql } from "../../src/telemetry-queries/promql/syntax.ts";
import type { Line } from "../../src/telemetry-queries/promql/vectors.ts";

const MINUTE = 60_000;
const NOW = 1_800_000_000_000;
const MOMENT: Steps = { start: NOW, end: NOW, stepMs: 1 };

/** Of each device the series `a` and `b`: one value every `gapMs` up to now. */
function fleet(devices: number, count: number, gapMs = MINUTE): LoadSeries {
  return async ({ matchers, from, to }) => {
    const meets = testOf(matchers);
    return Array.from({ length: devices }, (_, device) => device)
      .flatMap((device) => ["a", "b"].map((name) => ({ device, name })))
      .map(({ device, name }) => ({
        device,
        labels: { __name__: name, device: `d${device}`, region: device % 2 ? "eu" : "us" },
      }))
      .filter(({ labels }) => meets(labels))
      .map(({ labels, device }) => {
        const ages = Array.from({ length: count }, (_, age) => age).toReversed();
        const points = ages
          .map((age) => ({ at: NOW - age * gapMs, value: device * 10 + (age % 7) }))
          .filter(({ at }) => at > from && at <= to);
        const samples = {
          times: points.map(({ at }) => at),
          values: points.map(({ value }) => value),
        };
        return { labels, samples };
      });
  };
}

async function ask(query: string, load = fleet(4, 20), steps = MOMENT) {
  return new Evaluation(steps, load).run(parsePromql(query));
}
async function lines(query: string, load?: LoadSeries): Promise<readonly Line[]> {
  const value = await ask(query, load);
  if (value.kind !== "vector") throw new Error("not a vector");
  return value.lines;
}
const numbers = async (query: string) =>
  (await lines(query)).map(({ values: [only = Number.NaN] }) => (Object.is(only, -0) ? 0 : only));

describe("PromQL", () => {
  it.each<[string, number[]]>([
    ["SUM(a)", [60]],
    ["topk(1 + 1, a)", [20, 30]],
    ['bottomk(scalar(a{device="d0"}) + 1, a)', [0]],
    ["topk(-1, a)", []],
    ["a offset 0s", [0, 10, 20, 30]],
    ['{device!="", __name__="a"}', [0, 10, 20, 30]],
    ['{region!=""}', [0, 0, 10, 10, 20, 20, 30, 30]],
    ["# how much\nsum(a) # of all", [60]],
    ['count(a{device="d1"} == 10 # ten "#"\n)', [1]],
    ['label_replace(a{device="d1"}, "x", "# not a comment", "device", ".*")', [10]],
    ['a{device="\\x641"}', [10]],
    ['a{device="\\U00000064\\061"}', [10]],
    // A bound above the other leaves nothing.
    ["clamp(a, 5, 1)", []],
    // 0 / 0 gives way to any number, and comes last.
    ["max by (region) (0 / (a - 10))", [0, 0]],
    ["min by (region) (0 / (a - 10))", [0, 0]],
    ["topk(1, 0 * (a - 10) / (a - 10))", [0]],
    ['max_over_time((0 / (a{device="d0"} - 3))[10m:1m])', [0]],
    ['changes((0 * a{device="d0"} / 0)[10m:1m])', [0]],
    ["quantile(0, 0 / (a - 10))", [Number.NaN]],
    // The name is one label among others where it is asked for.
    ["a + on (__name__, device) b", []],
    ["sum(a + on (__name__, device) a)", [120]],
    ['timestamp(a{device="d1"} + 0)', [NOW / 1000]],
    ["sum(a or on () b)", [60]],
    ["sum(a unless on () b)", []],
  ])("answers %s as Prometheus does", async (query, wanted) => {
    expect(await numbers(query)).toEqual(wanted);
  });

  it("foretells from the step, whatever the offset", async () => {
    const rising: LoadSeries = async ({ from, to }) => {
      const times = Array.from({ length: 60 }, (_, age) => NOW - (59 - age) * MINUTE);
      const seen = times.filter((at) => at > from && at <= to);
      return [
        { labels: { device: "d" }, samples: { times: seen, values: seen.map((at) => at / 1000) } },
      ];
    };
    const [plain] = await lines("predict_linear(a[20m], 60)", rising);
    const [moved] = await lines("predict_linear(a[20m] offset 30m, 60)", rising);
    expect(plain?.values[0]).toBeCloseTo(NOW / 1000 + 60, 3);
    expect(moved?.values[0]).toBeCloseTo(NOW / 1000 + 60, 3);
  });

  it("takes `constructor` for the name of a label like any other", async () => {
    expect((await lines('a{constructor=""}')).length).toBe(4);
    expect(await lines('a{constructor=~"x"}')).toEqual([]);
    expect((await lines('a{__proto__=~".*"}')).length).toBe(4);
    for (const query of [
      'label_join(a, "x", "", "constructor", "__proto__")',
      'label_replace(a, "x", "$1", "constructor", "(.*)")',
      `label_replace(a, "x", "\${toString}\${__proto__}", "device", "(.*)")`,
    ]) {
      expect((await lines(query))[0]?.labels).not.toHaveProperty("x");
    }
  });

  it.each([
    ['{device=~"d*"}', /non-empty matcher/],
    ['{device!="d1"}', /non-empty matcher/],
    ['a{device="\\d1"}', /unknown escape sequence/],
    ['a{device="\\ud800"}', /no character/],
    ['a{device="\\000"}', /no character/],
    ["topk(a, a)", /a number first/],
    [Array(200).fill("a").join(","), /parse error/],
    [`a{${Array(20).fill('device=~"(x{100}){10}"').join(",")}}`, /too large/],
    [`a{device=~"(?i)${"\\\\pL".repeat(600)}"}`, /too large/],
    [`label_replace(a, "x", "", "device", "(ab{900}){2}${"c".repeat(200)}")`, /too large/],
    [
      `sum(${Array(8)
        .fill(`(${Array(20).fill("a").join("+")})`)
        .join("+")})`,
      /100 selectors/,
    ],
  ])("refuses %s", async (query, why) => {
    await expect(ask(query)).rejects.toThrow(why);
  });

  describe("of a query that would take too much", () => {
    const FINE: Steps = { start: NOW - 10_999 * 1000, end: NOW, stepMs: 1000 };
    it.each([
      ["long windows, step by step", "sum_over_time(a[30d])", fleet(1, 200_000, 1000)],
      [
        "many parts at a time",
        `a${" + (a".repeat(20)}${")".repeat(20)}`,
        fleet(200, 10, 20 * MINUTE),
      ],
      ["parts within parts", "max_over_time((a or b)[10000s:2s])", fleet(1000, 20, 10 * MINUTE)],
    ])("refuses %s, and lets others go on meanwhile", async (_what, query, load) => {
      let turns = 0;
      const timer = setInterval(() => {
        turns += 1;
      }, 1);
      try {
        await expect(ask(query, load, FINE)).rejects.toMatchObject({
          code: "query-too-expensive",
        });
        expect(turns).toBeGreaterThan(0);
      } finally {
        clearInterval(timer);
      }
    });
  });
});
