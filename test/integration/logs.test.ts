import type { ReadableSpan } from "@opentelemetry/sdk-trace-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/index.ts";
import { startTracing, withSpan } from "../../src/kernel/tracing.ts";
import { createLogs, type Logs } from "../../src/logs/index.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";

const NOW = Date.now();
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

let store: TestTimeseries;
let logs: Logs;

beforeAll(async () => {
  store = await createTestTimeseries();
  logs = createLogs({ timeseries: store.timeseries, clock: systemClock });
  const words = ["pump started", "Pump stalled: over-current", "valve open", "Überdruck Ventil"];
  const lines = Array.from({ length: 40 }, (_, index) => ({
    ts: NOW - 40_000 + index * 1000,
    seq: index,
    level: index % 10 === 0 ? "error" : "info",
    message: `${words[index % 4]} n${index}`,
    logger: "app",
    attributes: { index },
    ...(index === 7 ? { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` } : {}),
  }));
  await logs.ingestDeviceLogs({ tenantId: "acme", deviceId: "d1" }, lines, NOW);
  await logs.ingestDeviceLogs({ tenantId: "acme", deviceId: "d1" }, lines.slice(20), NOW);
  const other = [{ ts: NOW, seq: 1, level: "fatal", message: "pump burst" }];
  await logs.ingestDeviceLogs({ tenantId: "acme", deviceId: "d2" }, other, NOW);
  await logs.ingestDeviceLogs({ tenantId: "other", deviceId: "d1" }, other, NOW);
});
afterAll(async () => {
  await logs.close();
  await store.close();
});

describe("log lines", () => {
  it("of the greatest length are kept, however many come at once", async () => {
    const at = NOW - 3_600_000;
    const send = (device: number) => {
      const lines = Array.from({ length: 15 }, (_, seq) => ({
        ...{ ts: at + seq, seq, level: "info" as const },
        message: `${"長い".repeat(8_000)} ${device}`,
      }));
      return logs.ingestDeviceLogs({ tenantId: "long", deviceId: `d${device}` }, lines, NOW);
    };
    // 80 MB: more than one insert may hold, though no message is.
    const taken = await Promise.all(Array.from({ length: 120 }, (_, device) => send(device)));
    expect(taken.every(({ accepted }) => accepted === 15)).toBe(true);
    const counted = await logs.countByDevice("long", { from: at, to: at + 15 }, 1_000);
    expect([counted.size, counted.get("d0"), counted.get("d119")]).toEqual([120, 15, 15]);
  });
});

describe("log search", () => {
  const find = async (search: object) =>
    (await logs.search("acme", { limit: 100, ...search })).items;

  it("finds words in any order and case", async () => {
    expect((await find({ words: "CURRENT pump" })).length).toBe(10);
    expect((await find({ words: "pump" })).length).toBe(21);
    expect((await find({ words: "pum" })).length).toBe(0);
    expect((await find({ words: "überdruck" })).length).toBe(10);
    expect((await find({ words: "n7" })).map((line) => line.seq)).toEqual([7]);
    expect((await find({ words: "'; DROP TABLE logs -- \n\n" })).length).toBe(0);
    expect((await find({ words: " ;-' " })).length).toBe(41);
  });

  it("names the devices that wrote errors, and when each did last", async () => {
    const range = { from: NOW - 60_000, to: NOW + 1, limit: 10 };
    const named = (await logs.devicesWithErrors("acme", range)).map(({ deviceId, ts }) => [
      deviceId,
      ts,
    ]);
    expect(named.sort()).toEqual([
      ["d1", NOW - 10_000],
      ["d2", NOW],
    ]);
    const earlier = await logs.devicesWithErrors("acme", { ...range, to: NOW - 20_000 });
    expect(earlier).toEqual([{ deviceId: "d1", ts: NOW - 30_000 }]);
    expect(await logs.devicesWithErrors("other", range)).toEqual([{ deviceId: "d1", ts: NOW }]);
  });

  it("finds by level, device, time and trace", async () => {
    expect((await find({ levels: ["error", "fatal"] })).length).toBe(5);
    expect((await find({ deviceId: "d2" })).map((line) => line.message)).toEqual(["pump burst"]);
    expect((await find({ from: NOW - 5_000, to: NOW })).length).toBe(5);
    const [line] = await find({ traceId: TRACE });
    expect(line).toEqual({
      ts: NOW - 33_000,
      seq: 7,
      level: "info",
      deviceId: "d1",
      message: "Überdruck Ventil n7",
      logger: "app",
      traceId: TRACE,
      spanId: "00f067aa0ba902b7",
      attributes: { index: 7 },
    });
  });

  it("pages from the newest to the oldest, each line once", async () => {
    const seen: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await logs.search("acme", { deviceId: "d1", limit: 7, cursor });
      seen.push(...page.items.map((line) => line.seq));
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
    expect(seen).toEqual(Array.from({ length: 40 }, (_, index) => 39 - index));
  });

  it("shows a line once however often it was delivered, on every page", async () => {
    const peer = { tenantId: "copies", deviceId: "d1" };
    const lines = Array.from({ length: 5 }, (_, seq) => {
      return { ts: NOW + seq, seq, level: "info", message: `copied ${seq}` };
    });
    // Each delivery is a block of its own, and none of them is merged with another at once.
    for (let copy = 0; copy < 12; copy += 1) await logs.ingestDeviceLogs(peer, lines, NOW);
    const page = (limit: number, cursor?: string) =>
      logs.search("copies", { words: "copied", limit, cursor });
    const first = await page(2);
    expect(first.items.map(({ seq }) => seq)).toEqual([4, 3]);
    const rest = await page(10, first.nextCursor ?? "");
    expect(rest.items.map(({ seq }) => seq)).toEqual([2, 1, 0]);
    expect(rest.nextCursor).toBeNull();
    const around = await logs.around("copies", { deviceId: "d1", ts: NOW + 2, seq: 2 }, 1);
    expect(around.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  it("shows a tenant nothing of another's", async () => {
    const { items } = await logs.search("other", { limit: 100 });
    expect(items.map((line) => line.message)).toEqual(["pump burst"]);
    await expect(logs.trace("other", TRACE)).rejects.toMatchObject({ code: "not-found" });
    const query = { deviceIds: ["d1", "d2"], from: 0, to: NOW + 1 };
    expect((await logs.errorRate("other", query)).lines).toBe(1);
  });

  it("refuses cursors and traces that are none", async () => {
    await expect(find({ cursor: "eyJ9" })).rejects.toMatchObject({ code: "invalid-cursor" });
    await expect(find({ traceId: "x' or '1" })).rejects.toMatchObject({ code: "invalid-request" });
  });
});

describe("device logs", () => {
  it("keep the good lines of a message and name the bad ones", async () => {
    const lines = [
      { ts: NOW, seq: 1, level: "info", message: "good" },
      { ts: NOW, seq: 2, level: "loud", message: "bad level" },
      { ts: NOW, seq: 3, level: "info" },
    ];
    const device = { tenantId: "mixed", deviceId: "d1" };
    const answer = await logs.ingestDeviceLogs(device, lines, NOW);
    expect(answer.accepted).toBe(1);
    expect(answer.rejected.map(({ index }) => index)).toEqual([1, 2]);
    await expect(logs.ingestDeviceLogs(device, lines.slice(1), NOW)).rejects.toMatchObject({
      code: "message-invalid",
    });
  });

  it("of a device without a clock carry the time of their arrival", async () => {
    const line = { ts: 1_000, seq: 1, level: "info", message: "no clock" };
    await logs.ingestDeviceLogs({ tenantId: "clockless", deviceId: "d1" }, [line], NOW);
    const { items } = await logs.search("clockless", { limit: 1 });
    expect(items[0]?.ts).toBe(NOW);
  });

  it("count errors per device and hour, once each", async () => {
    const query = { deviceIds: ["d1", "d2", "d3"], from: NOW - 3_600_000, to: NOW + 1 };
    const figures = await logs.errorRate("acme", query);
    expect(figures).toMatchObject({ lines: 5, devices: 2 });
    expect(figures.linesPerDeviceHour).toBeCloseTo(5 / 3, 3);
    // Over many devices a single one that floods its log counts like the next noisiest.
    const crowd = Array.from({ length: 20 }, (_, index) => `quiet-${index}`);
    const among = await logs.errorRate("acme", { ...query, deviceIds: ["d1", "d2", ...crowd] });
    expect(among.lines).toBe(5);
    expect(among.steadyLinesPerDevice * 22).toBeLessThan(among.lines);
    // Of each device only what it wrote since a time of its own, by the hour as well.
    const late = { ...query, fromEach: [NOW + 1, query.from, query.from] };
    const own = await logs.errorRate("acme", { ...query, deviceIds: ["d2", "d3"] });
    expect(await logs.errorRate("acme", late)).toMatchObject({ lines: own.lines });
    const hours = await logs.errorsByHour("acme", { ...query, from: NOW - 7_200_000 });
    expect([...hours.values()].flat().reduce((sum, lines) => sum + lines, 0)).toBe(5);
    expect(hours.get("d1")).toHaveLength(3);
  });

  it("can be followed as they come in", async () => {
    const device = { tenantId: "tailed", deviceId: "d1" };
    const line = (seq: number) => ({ ts: NOW - seq, seq, level: "info", message: `l${seq}` });
    const started = Date.now() - 1000;
    await logs.ingestDeviceLogs(device, [line(1)], NOW);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const first = await logs.tail("tailed", started);
    expect(first.items.map(({ seq }) => seq)).toEqual([1]);
    await logs.ingestDeviceLogs(device, [line(2)], NOW);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const second = await logs.tail("tailed", first.position);
    expect(second.items.map(({ seq }) => seq)).toEqual([2]);
    expect((await logs.tail("tailed", second.position)).items).toEqual([]);
  });
});

describe("a trace", () => {
  it("shows the whole way to its tenant, and of the platform's part names and times alone", async () => {
    const recorded: ReadableSpan[] = [];
    const stop = startTracing(async (spans) => void recorded.push(...spans));
    let traceId = "";
    await withSpan("POST /rollouts", { "http.route": "/secret" }, async (root) => {
      traceId = root.spanContext().traceId;
      await withSpan("create rollout", { "vautn.tenant": "acme", rollout: "r1" }, async (span) => {
        const traceparent = `00-${traceId}-${span.spanContext().spanId}-01`;
        const line = {
          ts: Date.now(),
          seq: 900,
          level: "info",
          message: "installing",
          traceparent,
        };
        await logs.ingestDeviceLogs({ tenantId: "acme", deviceId: "d9" }, [line], Date.now());
      });
    });
    await stop();
    await logs.recordSpans(recorded);
    const trace = await logs.trace("acme", traceId);
    expect(trace.spans.map(({ name, attributes }) => [name, attributes])).toEqual([
      ["POST /rollouts", {}],
      ["create rollout", { rollout: "r1" }],
    ]);
    expect(trace.spans[1]?.parentSpanId).toBe(trace.spans[0]?.spanId);
    expect(trace.logs.map(({ message }) => message)).toEqual(["installing"]);
    await expect(logs.trace("other", traceId)).rejects.toMatchObject({ code: "not-found" });
  });

  it("has the spans that devices close by their lines, once however often those come", async () => {
    const traceId = "5".repeat(32);
    const closing = (seq: number, attributes: object) => ({
      ...{ ts: NOW + 10_000, seq, level: "info", message: `line ${seq}`, attributes },
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
    });
    const lines = [
      closing(1, { "span.name": "update installing", "span.duration_ms": 2_500 }),
      closing(2, { "span.name": "command ping", "span.duration_ms": 0, "span.error": "no\0" }),
      closing(3, { "span.name": { toString: false }, "span.duration_ms": 1 }),
      closing(4, { "span.name": "backwards", "span.duration_ms": -1 }),
      {
        ...closing(5, { "span.name": "of no trace", "span.duration_ms": 1 }),
        traceparent: undefined,
      },
    ];
    const device = { tenantId: "acme", deviceId: "d9" };
    for (let copy = 0; copy < 2; copy += 1) {
      await logs.ingestDeviceLogs(device, JSON.parse(JSON.stringify(lines)), NOW + 20_000);
    }
    const parent = { parentSpanId: "00f067aa0ba902b7", attributes: { "device.id": "d9" } };
    const { spans, logs: told } = await logs.trace("acme", traceId);
    expect(spans).toMatchObject([
      {
        ...parent,
        name: "update installing",
        startMs: NOW + 7_500,
        durationMs: 2_500,
        status: "ok",
      },
      { ...parent, name: "command ping", startMs: NOW + 10_000, status: "error" },
    ]);
    expect(spans.map(({ service }) => service)).toEqual(["device", "device"]);
    expect(told.map(({ message }) => message)).toHaveLength(4);
    await expect(logs.trace("other", traceId)).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("the platform's own lines", () => {
  it("belong to nobody unless they name a tenant", async () => {
    const line = (extra: object) => JSON.stringify({ level: 40, time: NOW, role: "api", ...extra });
    await logs.recordPlatformLogs([
      line({ msg: "internal", tenantId: "owned" }),
      line({ msg: "for you", "vautn.tenant": "owned", deviceId: "d1" }),
      "not json",
    ]);
    const { items } = await logs.search("owned", { limit: 10 });
    expect(items).toMatchObject([
      { message: "for you", level: "warn", logger: "api", attributes: { deviceId: "d1" } },
    ]);
    expect(items[0]?.deviceId).toBeNull();
  });
});
