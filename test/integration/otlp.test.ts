import { gzipSync } from "node:zlib";
import { SpanStatusCode } from "@opentelemetry/api";
import { OTLPLogExporter as JsonLogs } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtoLogs } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter as JsonMetrics } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtoMetrics } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as JsonSpans } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtoSpans } from "@opentelemetry/exporter-trace-otlp-proto";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createLogs } from "../../src/logs/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";

const GZIP = { compression: "gzip" as never };

describe("OpenTelemetry's exporters", () => {
  let test: TestApi;
  let base: string;
  let headers: Record<string, string>;
  beforeAll(async () => {
    test = await startTestApi();
    base = await test.listen();
    headers = { authorization: `Bearer ${test.acme}` };
  });
  afterAll(() => test.close());

  const post = (path: string, body: Buffer | string, extra: Record<string, string> = {}) =>
    fetch(`${base}${path}`, {
      method: "POST",
      headers: { ...headers, "content-type": "application/json", ...extra },
      body: body as string,
    });
  const register = (id: string) =>
    test.modules.devices.register(null, "acme", { id, product: "hub", hardwareRevision: "a" });
  const search = async (words: string, tenantId = "acme") =>
    (await test.modules.logs.search(tenantId, { words, limit: 10 })).items;

  it.each([
    ["JSON", JsonLogs, {}],
    ["JSON and gzip", JsonLogs, GZIP],
    ["protobuf", ProtoLogs, {}],
    ["protobuf and gzip", ProtoLogs, GZIP],
  ])("send log records by %s", async (name, Exporter, options) => {
    const url = `${base}/api/v1/tenants/acme/otlp/v1/logs`;
    const exporter = new Exporter({ url, headers, ...options });
    const provider = new LoggerProvider({
      processors: [new BatchLogRecordProcessor({ exporter })],
    });
    const word = `way${name.replaceAll(/\W/g, "")}`;
    provider.getLogger("pump").emit({
      severityNumber: 17,
      body: `valve ${word} is stuck`,
      attributes: {
        "vautn.device": "hub-1",
        pressure: 2.5,
        tries: 3,
        path: ["a", "b"],
        open: false,
      },
    });
    await provider.shutdown();
    expect(await search(word)).toMatchObject([
      {
        level: "error",
        deviceId: "hub-1",
        logger: "pump",
        message: `valve ${word} is stuck`,
        attributes: { pressure: 2.5, tries: 3, path: ["a", "b"], open: false },
      },
    ]);
    expect(await search(word, "globex")).toEqual([]);
  });

  it.each([
    ["JSON", JsonSpans],
    ["protobuf", ProtoSpans],
  ])(
    "send spans by %s at OTLP's own path, of which the key says whose they are",
    async (name, Exporter) => {
      const exporter = new Exporter({ url: `${base}/v1/traces`, headers });
      const provider = new NodeTracerProvider({
        spanProcessors: [new BatchSpanProcessor(exporter)],
      });
      const span = provider.getTracer("shop").startSpan(`order by ${name}`, { root: true });
      span.setStatus({ code: SpanStatusCode.ERROR, message: "sold out" });
      span.setAttribute("items", 2);
      const { traceId, spanId } = span.spanContext();
      span.end();
      await provider.shutdown();
      expect(await test.modules.logs.trace("acme", traceId)).toMatchObject({
        spans: [
          {
            ...{ spanId, name: `order by ${name}`, status: "error", statusMessage: "sold out" },
            attributes: { items: 2 },
          },
        ],
      });
      await expect(test.modules.logs.trace("globex", traceId)).rejects.toMatchObject({
        code: "not-found",
      });
    },
  );

  it.each([
    ["json", JsonMetrics],
    ["proto", ProtoMetrics],
  ])(
    "send metrics by %s, which become the telemetry of the device they name",
    async (way, Exporter) => {
      const device = `meter-${way}`;
      await register(device);
      const exporter = new Exporter({ url: `${base}/v1/metrics`, headers });
      const reader = new PeriodicExportingMetricReader({
        exporter,
        exportIntervalMillis: 3_600_000,
      });
      const provider = new MeterProvider({ readers: [reader] });
      const meter = provider.getMeter("pump");
      meter.createCounter("strokes").add(5, { "vautn.device": device, side: "left/2" });
      meter.createGauge("pressure").record(2.5, { "vautn.device": device });
      meter.createUpDownCounter("balance").add(-3, { "vautn.device": device });
      const durations = meter.createHistogram("stroke.ms");
      durations.record(40, { "vautn.device": device });
      durations.record(2, { "vautn.device": device });
      await provider.shutdown();
      const latest = await test.modules.telemetry.latest("acme", device);
      expect(Object.fromEntries(latest.map(({ metric, value }) => [metric, value]))).toEqual({
        "strokes.side_left/2": 5,
        pressure: 2.5,
        balance: -3,
        "stroke.ms.count": 2,
        "stroke.ms.sum": 42,
        "stroke.ms.min": 2,
        "stroke.ms.max": 40,
      });
      expect(await test.modules.telemetry.latest("globex", device)).toEqual([]);
    },
  );

  it("hear which data points were not taken, and the others are", async () => {
    await register("meter");
    const timeUnixNano = `${Date.now()}000000`;
    const of = (id: string) => [{ key: "device.id", value: { stringValue: id } }];
    const point = { timeUnixNano, asDouble: 1, attributes: of("meter") };
    const dataPoints = [
      { timeUnixNano, asInt: "7" },
      { ...point, attributes: of("stranger") },
      { ...point, asDouble: "NaN" },
      { ...point, timeUnixNano: "1" },
      point,
    ];
    const metrics = [
      { name: "level", gauge: { dataPoints } },
      { name: "", sum: { dataPoints: [point] } },
    ];
    const body = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] });
    for (let times = 0; times < 2; times += 1) {
      const answer = await post("/api/v1/tenants/acme/otlp/v1/metrics", body);
      expect([answer.status, await answer.json()]).toEqual([
        200,
        {
          partialSuccess: {
            rejectedDataPoints: "5",
            errorMessage: "a data point belongs to a device: the attribute vautn.device names it",
          },
        },
      ]);
    }
    expect(await test.modules.telemetry.latest("acme", "meter")).toMatchObject([
      { metric: "level", value: 1 },
    ]);
  });

  it("hear that a histogram of nobody's is one data point, and use up the tenant's points", async () => {
    await register("gauged");
    const usedPoints = async () =>
      (await test.modules.tenancy.usage.today("acme")).find(({ quota }) => quota === "points")
        ?.used;
    const before = (await usedPoints()) ?? 0;
    const of = (id: string) => [{ key: "device.id", value: { stringValue: id } }];
    const point = { timeUnixNano: `${Date.now()}000000`, count: "2", sum: 3, min: 1, max: 2 };
    const dataPoints = ["stranger", "gauged"].map((id) => ({ ...point, attributes: of(id) }));
    const metrics = [{ name: "took", histogram: { dataPoints } }];
    const body = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] });
    const answer = await post("/v1/metrics", body);
    expect(await answer.json()).toEqual({
      partialSuccess: { rejectedDataPoints: "1", errorMessage: "there is no device stranger" },
    });
    expect(await usedPoints()).toBe(before + 4);
  });

  it("use up the tenant's messages and bytes with lines and spans, and are refused beyond", async () => {
    const { tenants, usage } = test.modules.tenancy;
    const used = async (wanted: string) =>
      (await usage.today("acme")).find(({ quota }) => quota === wanted)?.used ?? 0;
    const body = JSON.stringify({ resourceLogs: [] });
    const before = [await used("messages"), await used("bytes")];
    expect((await post("/v1/logs", body)).status).toBe(200);
    const after = [await used("messages"), await used("bytes")];
    expect(after).toEqual([(before[0] ?? 0) + 1, (before[1] ?? 0) + body.length]);
    const limitTo = async (maxMessagesPerDay: number) => {
      await tenants.updateSettings("acme", { maxMessagesPerDay }, SYSTEM_ACTOR);
      await usage.measure("acme");
    };
    await limitTo(after[0] ?? 0);
    for (const signal of ["logs", "traces"]) {
      const refused = await post(`/v1/${signal}`, "{}");
      const { code } = (await refused.json()) as { code: string };
      expect([refused.status, code]).toEqual([429, "quota-exceeded"]);
    }
    await limitTo(0);
  });

  it("count what they send twice once, and hear what was not taken", async () => {
    const record = {
      timeUnixNano: `${Date.now()}000000`,
      severityText: "WARN",
      body: { stringValue: "only once please" },
    };
    const body = JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] });
    for (let times = 0; times < 2; times += 1) {
      const answer = await post("/v1/logs", body);
      expect([answer.status, await answer.json()]).toEqual([200, { partialSuccess: {} }]);
    }
    expect(await search("once please")).toMatchObject([{ level: "warn" }]);
    const spans = [{ name: "no ids" }];
    const bad = { resourceSpans: [{ scopeSpans: [{ spans }] }] };
    const answer = await post("/v1/traces", JSON.stringify(bad));
    expect([answer.status, await answer.json()]).toEqual([
      200,
      {
        partialSuccess: { rejectedSpans: "1", errorMessage: "a span needs a traceId and a spanId" },
      },
    ]);
  });

  it("are refused what is no OTLP, too large or not theirs to send", async () => {
    const proto = { "content-type": "application/x-protobuf" };
    expect((await post("/v1/logs", Buffer.from([0x0a, 0xff, 0xff]), proto)).status).toBe(400);
    const gzip = { "content-encoding": "gzip" };
    expect((await post("/v1/logs", "no gzip", gzip)).status).toBe(400);
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 32));
    expect((await post("/v1/logs", bomb, gzip)).status).toBe(413);
    expect((await post("/v1/logs", "{}", { "content-encoding": "br" })).status).toBe(415);
    const other = { "x-vautn-tenant": "globex" };
    expect((await post("/v1/logs", "{}", other)).status).toBe(403);
    const viewer = { authorization: `Bearer ${await test.keyOf("acme", "viewer")}` };
    expect((await post("/v1/logs", "{}", viewer)).status).toBe(403);
    const away = { authorization: "Bearer vk_no" };
    expect((await post("/v1/logs", "{}", away)).status).toBe(401);
  });

  it("are told to wait where a tenant sends more than its share, which is its own", async () => {
    const { timeseries, modules } = test;
    const logs = createLogs({ timeseries, clock: modules.clock, otlpRecordsPerSecond: 1 });
    const logRecords = Array.from({ length: 11 }, () => ({ body: { stringValue: "much" } }));
    const body = { resourceLogs: [{ scopeLogs: [{ logRecords }] }] };
    await expect(logs.ingestOtlp("acme", "logs", body)).rejects.toMatchObject({
      code: "rate-limited",
    });
    logRecords.length = 1;
    expect(await logs.ingestOtlp("globex", "logs", body)).toMatchObject({ accepted: 1 });
    await logs.close();
  });
});
