import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readFigures } from "../../src/rollouts/metric-figures.ts";
import { contractErrors } from "../support/answer-contract.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { createTelemetryFleet, FLEET_START, type FleetDevice } from "../support/telemetry-fleet.ts";
import { type ReferencePoint, together } from "../support/telemetry-reference.ts";

const MINUTE = 60_000;
let test: TestApi;
let fleet: { devices: FleetDevice[]; points: ReferencePoint[] };

beforeAll(async () => {
  test = await startTestApi();
  fleet = await createTelemetryFleet(test, "acme", { seed: 5, devices: 6, hours: 2 });
});
afterAll(() => test.close());

interface Line {
  metric: Record<string, string>;
  values: [number, string][];
}

/** What openapi.json calls the answers. */
const DESCRIBED: Record<string, string> = {
  labels: "PrometheusNames",
  series: "PrometheusSeries",
  metadata: "PrometheusMetadata",
};
const BASE = "/api/v1/tenants/acme/prometheus/api/v1";
const FORM = { "content-type": "application/x-www-form-urlencoded" };
const ask = (path: string, params: [string, string][] = [], key: string | null = test.acme) =>
  test.call("GET", `${BASE}/${path}?${new URLSearchParams(params)}`, { key });
/** What Grafana sends: a form, seconds, `step` in seconds. */
async function range(query: string, stepMs = 15_000, from = 40 * MINUTE, to = 80 * MINUTE) {
  const [start, end] = [FLEET_START + from, FLEET_START + to].map((ms) => ms / 1000);
  const params = { query, start: String(start), end: String(end), step: String(stepMs / 1000) };
  const payload = new URLSearchParams(params).toString();
  const { status, body } = await test.call("POST", `${BASE}/query_range`, {
    key: test.acme,
    headers: FORM,
    body: payload,
  });
  expect(status, JSON.stringify(body)).toBe(200);
  expect(body.data.resultType).toBe("matrix");
  return body.data.result as Line[];
}

/** Samples of a device in `(from, to]`, each moment once. */
function samples(device: string, metric: string, from: number, to: number): ReferencePoint[] {
  const unique = new Map<number, ReferencePoint>();
  for (const point of fleet.points) {
    if (point.deviceId !== device || point.metric !== metric) continue;
    if (point.ts <= from || point.ts > to) continue;
    const known = unique.get(point.ts);
    if (!known || point.seq >= known.seq) unique.set(point.ts, point);
  }
  return [...unique.values()].sort((left, right) => left.ts - right.ts);
}

function compare(lines: Line[], want: (device: string, at: number) => number | undefined) {
  expect(lines.length).toBe(fleet.devices.length);
  for (const { metric, values } of lines) {
    expect(values.length).toBeGreaterThan(50);
    for (const [seconds, text] of values) {
      const right = want(metric.device ?? "", seconds * 1000);
      expect(Number(text), `${metric.device} ${seconds}`).toBeCloseTo(right as number, 6);
    }
  }
}

describe("the Prometheus API", () => {
  it.each(["avg", "min", "max", "sum", "count", "last"])(
    "takes windows together as a slow reference does, of points and of rollups: %s_over_time",
    async (name) => {
      const want = (device: string, at: number) => {
        const values = samples(device, "fuel", at - 5 * MINUTE, at).map(({ value }) => value);
        return together(values, name);
      };
      compare(await range(`${name}_over_time(fuel[5m])`), want);
      // From minutes: no point lies at a whole minute, so that windows hold the same points.
      const lines = await range(`${name}_over_time(fuel[5m])`, MINUTE, 20 * MINUTE, 100 * MINUTE);
      compare(lines, want);
    },
  );

  it("gives quantiles and the newest value within five minutes", async () => {
    compare(await range("quantile_over_time(0.9, fuel[5m])"), (device, at) =>
      together(
        samples(device, "fuel", at - 5 * MINUTE, at).map(({ value }) => value),
        "p90",
      ),
    );
    const newest = (device: string, at: number) =>
      samples(device, "fuel", at - 5 * MINUTE, at).at(-1)?.value;
    compare(await range("fuel"), newest);
    compare(await range("fuel", MINUTE, 20 * MINUTE, 100 * MINUTE), newest);
    compare(await range("fuel offset 10m"), (device, at) => newest(device, at - 10 * MINUTE));
  });

  it("rates counters as Prometheus does, restarts included", async () => {
    const lines = await range("rate(odometer[5m])");
    compare(lines, (device, at) => {
      const list = samples(device, "odometer", at - 5 * MINUTE, at);
      const [first, last] = [list[0], list.at(-1)] as [ReferencePoint, ReferencePoint];
      let grown = last.value - first.value;
      list.forEach(({ value }, index) => {
        const before = list[index - 1]?.value ?? 0;
        if (index > 0 && value < before) grown += before;
      });
      const span = last.ts - first.ts;
      const gap = span / (list.length - 1);
      const edge = (distance: number) => (distance >= gap * 1.1 ? gap / 2 : distance);
      const start = Math.min(
        edge(first.ts - (at - 5 * MINUTE)),
        grown > 0 ? (span * first.value) / grown : Number.POSITIVE_INFINITY,
      );
      return (grown * ((span + start + edge(at - last.ts)) / span)) / 300;
    });
    const rolled = await range("increase(odometer[30m])", 5 * MINUTE, 30 * MINUTE, 110 * MINUTE);
    const exact = await range("increase(odometer[30m])", 150_000, 30 * MINUTE, 110 * MINUTE);
    for (const { metric, values } of rolled) {
      const same = new Map(exact.find((line) => line.metric.device === metric.device)?.values);
      for (const [at, text] of values) {
        expect(Number(text) / Number(same.get(at))).toBeGreaterThan(0.85);
        expect(Number(text) / Number(same.get(at))).toBeLessThan(1.15);
      }
    }
  });

  it("answers what Grafana's query builder puts together", async () => {
    const by = await range('sum by (firmware) (avg_over_time(fuel{device=~"truck-0[0-3]"}[5m]))');
    expect(by.map(({ metric }) => metric)).toEqual([{ firmware: "1.0.0" }, { firmware: "1.1.0" }]);
    const of = (at: number) =>
      ["truck-00", "truck-02"]
        .map((device) => samples(device, "fuel", at - 5 * MINUTE, at).map(({ value }) => value))
        .reduce((sum, values) => sum + together(values, "avg"), 0);
    for (const [at, text] of by[0]?.values ?? [])
      expect(Number(text)).toBeCloseTo(of(at * 1000), 6);

    const top = await range("topk(2, max_over_time(fuel[10m]))");
    const perStep = new Map<number, number>();
    for (const { values } of top) {
      for (const [at] of values) perStep.set(at, (perStep.get(at) ?? 0) + 1);
    }
    expect(new Set(perStep.values())).toEqual(new Set([2]));

    const without = await range("count without (device, firmware, tag_site, hardware) (fuel)");
    expect(new Set(without.map(({ metric }) => metric.region))).toEqual(new Set(["eu", "us"]));
    const scaled = await range('-(fuel{device="truck-01"} * 2 + 1) / 2 > bool -1000');
    expect(scaled[0]?.values.every(([, text]) => text === "1")).toBe(true);
    const ratio = await range("avg_over_time(fuel[5m]) / avg_over_time(fuel[5m])");
    expect(ratio.length).toBe(6);
    expect(ratio.every(({ values }) => values.every(([, text]) => text === "1"))).toBe(true);
    const quantiles = await range("quantile by (region) (0.5, fuel)");
    expect(quantiles.length).toBe(2);
    expect((await range('fuel{tag_site!="berlin", region="eu"}')).length).toBe(3);
    expect((await range('{__name__=~"od.*", tag_site=""}')).length).toBe(2);
    expect(await range('fuel{device="nobody"}')).toEqual([]);
  });

  it("gives the gate of rollouts one figure a device, of rollups, counters and queries", async () => {
    const queries = test.modules.telemetryQueries;
    const deps = { telemetry: test.modules.telemetry, queries };
    const [first, second] = fleet.devices.map(({ id }) => id) as [string, string];
    const window = { from: FLEET_START + 30 * MINUTE, to: FLEET_START + 60 * MINUTE };
    const figures = (metric: object, ids = [first, second]) => {
      const policy = { metric: "telemetry.fuel", worse: "higher" as const, ...metric };
      return readFigures(deps, "acme", policy, ids, window);
    };
    const mean = together(
      samples(first, "fuel", window.from - 1, window.to - 1).map(({ value }) => value),
      "avg",
    ) as number;
    const rolled = await figures({ source: "rollups" });
    expect([...rolled.keys()].sort()).toEqual([first, second].sort());
    expect(rolled.get(first)).toBeCloseTo(mean, 6);
    expect((await figures({})).get(first)).toBeCloseTo(mean, 6);
    const grown = await figures({ metric: "telemetry.odometer", transform: "increase" });
    expect(grown.get(first)).toBeGreaterThan(0);

    const query = (text: string) => figures({ metric: "query.own", query: text });
    const asked = await query("avg_over_time(fuel[30m])");
    expect(asked.size).toBe(2);
    const right = together(
      samples(first, "fuel", window.from, window.to).map(({ value }) => value),
      "avg",
    ) as number;
    expect(asked.get(first)).toBeCloseTo(right, 6);
    // A device that is named and not compared is not read.
    expect([...(await query(`fuel{device="${fleet.devices[2]?.id}"}`)).keys()]).toEqual([]);
    await expect(query("sum(fuel)")).rejects.toThrow("no label `device`");
    await expect(query("1 + 1")).rejects.toThrow("one number for all");
    await expect(query('{__name__=~"fuel|odometer"}')).rejects.toThrow("more than once");
    expect(queries.faultOf("rate(fuel")).toMatch(/./);
    expect(queries.faultOf("rate(fuel[5m])")).toBeUndefined();
    const policy = { metrics: [{ metric: "query.own", query: "rate(fuel", worse: "higher" }] };
    const body = { releaseId: "00000000-0000-7000-8000-000000000000", query: "", policy };
    const refused = await test.call("POST", "/tenants/acme/rollouts/plan", { body });
    expect([refused.status, refused.body.details?.path ?? refused.body.path]).toEqual([
      400,
      "/policy/metrics/0/query",
    ]);
  });

  it("answers moments, labels, series, metadata and what Grafana asks to learn whom it speaks to", async () => {
    const sum = await ask("query", [["query", "1+1"]]);
    expect(sum.body).toEqual({
      status: "success",
      data: { resultType: "scalar", result: [expect.any(Number), "2"] },
    });
    const time = new Date(FLEET_START + 60 * MINUTE).toISOString();
    const instant = await ask("query", [
      ["query", 'fuel{device="truck-00"}'],
      ["time", time],
    ]);
    expect(instant.body.data).toMatchObject({
      resultType: "vector",
      result: [
        { metric: { __name__: "fuel", device: "truck-00", firmware: "1.0.0", tag_site: "berlin" } },
      ],
    });
    const data = async (path: string, params?: [string, string][]) => {
      const { body } = await ask(path, params);
      const described = DESCRIBED[path.replace(/^label.*/, "labels")];
      if (described) expect(contractErrors(described, body)).toEqual([]);
      return body.data;
    };
    expect(contractErrors("PrometheusResult", instant.body)).toEqual([]);
    expect(await data("labels")).toEqual(
      ["__name__", "device", "firmware", "hardware", "product", "region", "tag_site"].sort(),
    );
    expect(await data("label/__name__/values")).toEqual(["fuel", "odometer"]);
    expect(await data("label/tag_site/values", [["match[]", "fuel"]])).toEqual(["berlin", "ulm"]);
    const series = await data("series", [["match[]", 'fuel{region="eu"}']]);
    expect(series.length).toBe(4);
    expect(Object.keys(await data("metadata"))).toEqual(["fuel", "odometer"]);
    expect(Object.keys(await data("metadata", [["limit", "1"]]))).toEqual(["fuel"]);
    expect((await data("labels", [["limit", "1"]])).length).toBe(1);
    expect(await data("label/constructor/values")).toEqual([]);
    expect(await data("series", [["match[]", 'fuel{constructor=~"x"}']])).toEqual([]);
    expect((await data("status/buildinfo")).version).toMatch(/^2\./);
    expect(await data("query_exemplars", [["query", "fuel"]])).toEqual([]);
    expect(await data("rules")).toEqual({ groups: [] });
  });

  it.each([
    ["fuel{", /parse error/],
    ["{}", /at least one non-empty matcher/],
    ['{__name__=~".*"}', /at least one non-empty matcher/],
    ["fuel[5m]", /needs a function/],
    ["rate(fuel)", /needs a range/],
    ["histogram_quantile(0.9, fuel)", /wrong|not supported/],
    ["fuel[1h:1m]", /needs a function/],
    ["max_over_time(fuel[1h:1ms])", /more than 11000 steps/],
    ["fuel / on (region) odometer", /many/],
    ["fuel * on (region) group_left odometer", /many/],
    ["1 and fuel", /set operator/],
    ["fuel and on (device) group_left odometer", /no grouping/],
    ["fuel + bool odometer", /bool modifier/],
    ["(fuel - odometer) offset 5m", /not supported/],
    ["max_over_time(1 + fuel[1h:1m])", /parentheses/],
    ['rate({__name__=~"fuel|odometer"}[5m])', /same labelset/],
    ['label_replace(sum by (device) (fuel), "device", "x", "device", ".*")', /same labelset/],
    ['label_replace(fuel, "1x", "x", "device", ".*")', /invalid destination/],
    ['label_replace(fuel, "x", "$1", "device", "(")', /invalid regular/],
    ["round(fuel, 1, 2)", /wrong number of arguments/],
    ["clamp(fuel, 1)", /wrong number of arguments/],
    ['fuel + "text"', /text/],
    ["fuel @ 1", /not supported/],
    ['fuel{device=~"("}', /regular expression/],
    ['fuel{device="\\x00"}', /no character/],
    ['fuel{device=~"truck-\\d+"}', /unknown escape sequence/],
    ["1 < 2", /BOOL/],
    [`${"(".repeat(60)}1${")".repeat(60)}`, /nested too deep/],
  ])("refuses %s and says why", async (query, why) => {
    const time = String((FLEET_START + 60 * MINUTE) / 1000);
    const { status, body } = await ask("query", [
      ["query", query],
      ["time", time],
    ]);
    expect([status, body.status, body.errorType]).toEqual([400, "error", "bad_data"]);
    expect(body.error).toMatch(why);
    expect(contractErrors("PrometheusError", body)).toEqual([]);
  });

  describe("at a moment", () => {
    const at = (FLEET_START + 60 * MINUTE) / 1000;
    const now = async (query: string) => {
      // A fraction that no whole number of milliseconds has, as clients compute it.
      const answer = await ask("query", [
        ["query", query],
        ["time", String(at + 0.0001)],
      ]);
      expect(answer.status, `${query} ${JSON.stringify(answer.body)}`).toBe(200);
      return answer.body.data.result as {
        metric: Record<string, string>;
        value: [number, string];
      }[];
    };
    const numbers = async (query: string) =>
      (await now(query)).map(({ value }) => Number(value[1]));
    const names = async (query: string) => (await now(query)).map(({ metric }) => metric.device);
    const fuelNow = async () =>
      new Map(
        (await now("fuel")).map(({ metric, value }) => [metric.device as string, Number(value[1])]),
      );
    const one = 'fuel{device="truck-01"}';

    it("puts series in order, and joins and chooses them as Prometheus does", async () => {
      const fuel = await fuelNow();
      expect(fuel.size).toBe(6);
      const ranked = [...fuel].sort((left, right) => right[1] - left[1]).map(([device]) => device);
      expect(await names("sort_desc(fuel)")).toEqual(ranked);
      expect(await names("sort(fuel)")).toEqual([...ranked].reverse());
      expect(await names("topk(3, fuel)")).toEqual(ranked.slice(0, 3));
      expect(await names("bottomk(2, fuel)")).toEqual([...ranked].reverse().slice(0, 2));

      expect(await names('fuel{device="truck-01"} or fuel{device=~"truck-0[12]"}')).toEqual([
        ...["truck-01", "truck-02"],
      ]);
      expect(await names('fuel and on (device) odometer{device="truck-03"}')).toEqual(["truck-03"]);
      expect((await names('fuel unless odometer{region="eu"}')).length).toBe(2);
      const share = await now("fuel / on (region) group_left sum by (region) (fuel)");
      const eu = share.filter(({ metric }) => metric.region === "eu");
      expect(eu.length).toBe(4);
      expect(eu.reduce((sum, { value }) => sum + Number(value[1]), 0)).toBeCloseTo(1, 9);
      expect(share[0]?.metric).toMatchObject({
        device: expect.any(String),
        firmware: expect.any(String),
      });
      const [joined] = await now('fuel{device="truck-01"} * ignoring (firmware) odometer');
      expect(joined?.metric).not.toHaveProperty("firmware");
      const named = await now(
        'count by (device) (fuel) * on (device) group_left (firmware) odometer{device="truck-00"} * 0',
      );
      expect(named.map(({ metric }) => metric)).toEqual([
        { device: "truck-00", firmware: "1.0.0" },
      ]);
    });

    it("changes numbers and labels, and computes over windows as a slow reference does", async () => {
      const value = (await fuelNow()).get("truck-01") as number;
      expect(await numbers(`round(${one}, 0.5)`)).toEqual([Math.round(value * 2) / 2]);
      const [earlier = 0] = await numbers(`${one} offset 20m`);
      expect(await numbers(`${one} - ${one} offset 20m`)).toEqual([value - earlier]);
      expect(await numbers(`1 * ${one} offset 20m + ${one}`)).toEqual([earlier + value]);
      expect(await numbers(`clamp(${one}, 1, 2)`)).toEqual([2]);
      expect(await numbers(`clamp_min(${one}, ${value + 1})`)).toEqual([value + 1]);
      expect(await numbers(`scalar(${one}) + 0 * ${one}`)).toEqual([value]);
      expect(await numbers("hour()")).toEqual([10]);
      expect(await now('absent(fuel{device="nobody"})')).toMatchObject([
        { metric: { device: "nobody" }, value: [expect.any(Number), "1"] },
      ]);
      expect(await now("absent(fuel)")).toEqual([]);
      const list = samples("truck-01", "fuel", at * 1000 - 5 * MINUTE, at * 1000);
      expect(await numbers(`timestamp(${one})`)).toEqual([(list.at(-1)?.ts ?? 0) / 1000]);
      const replaced = `label_replace(${one}, "number", "n-\${1}$$", "device", "truck-0(.)")`;
      expect((await now(replaced))[0]?.metric.number).toBe("n-1$");
      expect(
        (await now(`label_join(${one}, "both", "/", "region", "device")`))[0]?.metric.both,
      ).toBe("eu/truck-01");

      const turns = (counts: (before: number, after: number) => boolean) =>
        list.filter((point, index) => index > 0 && counts(list[index - 1]?.value ?? 0, point.value))
          .length;
      expect(await numbers(`changes(${one}[5m])`)).toEqual([
        turns((before, after) => before !== after),
      ]);
      expect(await numbers(`resets(${one}[5m])`)).toEqual([
        turns((before, after) => after < before),
      ]);
      const mean = (of: (point: ReferencePoint) => number) =>
        list.reduce((sum, point) => sum + of(point), 0) / list.length;
      const [x, y] = [mean(({ ts }) => ts / 1000), mean((point) => point.value)];
      const slope =
        mean(({ ts, value: v }) => (ts / 1000 - x) * (v - y)) /
        mean(({ ts }) => (ts / 1000 - x) ** 2);
      expect((await numbers(`deriv(${one}[5m])`))[0]).toBeCloseTo(slope, 9);
      expect((await numbers(`predict_linear(${one}[5m], 60)`))[0]).toBeCloseTo(
        y + slope * (at + 60 - x),
        6,
      );
      const inner = (await range(`sum(${one})`, MINUTE, 51 * MINUTE, 60 * MINUTE))[0]?.values ?? [];
      expect(inner.length).toBe(10);
      expect(await numbers(`max_over_time(sum(${one})[10m:])`)).toEqual([
        Math.max(...inner.map(([, text]) => Number(text))),
      ]);
      expect(await numbers(`count_over_time(sum(${one})[10m:2m] offset 1m)`)).toEqual([5]);
    });
  });

  it("names those series alone that there are", async () => {
    const body = { id: "idle", product: "idle", hardwareRevision: "a", region: "eu", tags: {} };
    const made = await test.call("POST", "/tenants/globex/devices", { body });
    expect(made.status).toBe(201);
    const add = async (deviceId: string, metric: string) => {
      const point = { deviceId, metric, ts: Date.now(), seq: 1, value: 1 };
      await test.timeseries.insert("telemetry", [{ tenantId: "globex", ...point }]);
    };
    await test.call("POST", "/tenants/globex/devices", {
      body: { ...body, id: "busy", product: "busy" },
    });
    await add("busy", "speed");
    await add("idle", "noise");
    const other = "/api/v1/tenants/globex/prometheus/api/v1";
    const data = async (path: string) =>
      (await test.call("GET", `${other}/${path}`, { key: test.globex })).body.data;
    expect(await data("label/device/values?match[]=speed")).toEqual(["busy"]);
    expect(await data('label/__name__/values?match[]={device="idle"}')).toEqual(["noise"]);
    expect(await data('series?match[]={region="eu"}&match[]=speed')).toMatchObject([
      { __name__: "noise", device: "idle" },
      { __name__: "speed", device: "busy" },
    ]);
    expect(await data("label/product/values")).toEqual(["busy", "idle"]);
  });

  it("keeps its bounds, and takes a hostile pattern in its stride", async () => {
    const wide = { query: "fuel", start: "0", end: "1000000000", step: "1" };
    const many = await ask("query_range", Object.entries(wide));
    expect([many.status, many.body.errorType]).toEqual([400, "bad_data"]);
    const evil = `fuel{device=~"${"(a|a)*".repeat(20)}b"}`;
    const started = process.cpuUsage();
    expect((await ask("query", [["query", evil]])).body.data.result).toEqual([]);
    expect(process.cpuUsage(started).user).toBeLessThan(20e6);
    const sum = "sum_over_time((fuel)[2h:1s])";
    const heavy = await ask("query_range", [
      ["query", Array(4).fill(sum).join(" + ")],
      ["start", String(FLEET_START / 1000 + 3_600)],
      ["end", String(FLEET_START / 1000 + 7_200)],
      ["step", "1"],
    ]);
    expect([heavy.status, heavy.body.errorType]).toEqual([422, "execution"]);
    expect(heavy.body.error).toMatch(/look at more than/);
    expect(contractErrors("PrometheusError", heavy.body)).toEqual([]);
    expect((await ask("query", [["time", "x"]])).status).toBe(400);
    const step = { query: "fuel", start: "1", end: "2", step: "0" };
    expect((await ask("query_range", Object.entries(step))).body.error).toMatch(/step/);
    expect((await ask("series")).body.error).toMatch(/match/);
  });

  it("lets in a key as a bearer or as a password, and nobody else", async () => {
    const basic = (key: string) => ({
      authorization: `Basic ${Buffer.from(`grafana:${key}`).toString("base64")}`,
    });
    const get = (headers: Record<string, string>) =>
      test.call("GET", `${BASE}/labels`, { key: null, headers });
    expect((await get(basic(test.acme))).status).toBe(200);
    const stranger = await get(basic(test.globex));
    expect([stranger.status, stranger.body.status]).toEqual([404, "error"]);
    const nobody = await get({});
    expect([nobody.status, nobody.body.errorType]).toEqual([401, "unauthorized"]);
    expect((await get(basic("vk_wrong"))).status).toBe(401);
  });

  it("shows nothing of another tenant", async () => {
    const other = "/api/v1/tenants/globex/prometheus/api/v1";
    const paths = ["labels", "label/device/values", "label/__name__/values", "metadata"];
    for (const path of [
      ...paths,
      "series?match[]=fuel",
      `query?query=fuel&time=${FLEET_START / 1000 + 3600}`,
    ]) {
      const { status, body } = await test.call("GET", `${other}/${path}`, { key: test.globex });
      expect(status).toBe(200);
      expect(JSON.stringify(body)).not.toMatch(/truck|odometer/);
    }
  });
});
