import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/kernel/index.ts";
import { createLogs } from "../../src/logs/index.ts";
import { createTelemetry } from "../../src/telemetry/index.ts";
import { createTimeseries, withJournal } from "../../src/timeseries/index.ts";
import { createTestTimeseries, silentLogger, type TestTimeseries } from "../support/timeseries.ts";

const WRITER = path.resolve(import.meta.dirname, "../support/journal-writer.ts");
const KILLS = 3;

let store: TestTimeseries;
let directory: string;
beforeAll(async () => {
  store = await createTestTimeseries();
  directory = path.join(store.directory, "journal");
});
afterAll(() => store.close());

/** What a process on the same journals has once it has fed the store with what was left. */
function openJournal(name = "gateway-1") {
  const { url } = store.engine;
  return withJournal(createTimeseries({ url, logger: silentLogger }), {
    ...{ directory, name, logger: silentLogger },
  });
}

/** The messages that a writer acknowledged before it was killed, after at least `count` of them. */
async function killedAfter(count: number, first: number): Promise<number[]> {
  const file = path.join(store.directory, `acknowledged-${first}`);
  const output = fs.openSync(file, "w+");
  const args = [WRITER, directory, store.engine.url, String(first)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", output, "inherit"] });
  const ended = once(child, "close");
  const numbers = () => fs.readFileSync(file, "utf8").split("\n").slice(0, -1).map(Number);
  while (child.exitCode === null && numbers().length < count) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill("SIGKILL");
  await ended;
  fs.closeSync(output);
  return numbers();
}

async function storedNumbers(): Promise<number[]> {
  const rows = await store.timeseries.tenantQuery<{ value: number }>("acme", {
    ...{ table: "telemetry", select: "value", orderBy: "value", limit: 1_000_000, final: true },
  });
  return rows.map(({ value }) => value);
}

describe("what is acknowledged by the ingest journal", () => {
  it("is in the store once, however often its process is killed", async () => {
    const acknowledged: number[] = [];
    for (let kill = 0; kill < KILLS; kill += 1) {
      acknowledged.push(...(await killedAfter(1 + kill * 300, kill * 1_000_000)));
    }
    const journal = openJournal();
    await journal.fed();
    const stored = await storedNumbers();
    expect(new Set(stored).size).toBe(stored.length);
    const has = new Set(stored);
    expect(acknowledged.filter((number) => !has.has(number))).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(KILLS);
    expect(fs.readdirSync(path.join(directory, "gateway-1"))).toEqual([]);
    await journal.close();
  });

  it("of every kind is acknowledged while the engine stands still, and read when it goes on", async () => {
    const timeseries = openJournal("gateway-2");
    const deps = { timeseries, clock: systemClock };
    const telemetry = createTelemetry({ ...deps, batchDelayMs: 1, maxWrites: 2 });
    const logs = createLogs(deps);
    const peer = { tenantId: "globex", deviceId: "d-1" };
    const ts = Date.now();
    process.kill(store.engine.pid, "SIGSTOP");
    try {
      await telemetry.ingestTelemetry(peer, { ts, seq: 1, values: { a: 1, b: 2 } }, ts);
      await telemetry.ingestEvents(peer, { ts, seq: 2, type: "boot", bootId: "b-1" }, ts);
      await logs.ingestDeviceLogs(peer, [{ ts, seq: 3, level: "info", message: "hello" }], ts);
    } finally {
      process.kill(store.engine.pid, "SIGCONT");
    }
    await timeseries.fed();
    const latest = await telemetry.latest("globex", "d-1");
    expect(latest.map(({ metric, value }) => [metric, value])).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
    const events = await telemetry.events("globex", { deviceId: "d-1", limit: 10 });
    expect(events.map(({ type }) => type)).toEqual(["boot"]);
    const found = await logs.search("globex", { limit: 10 });
    expect(found.items.map(({ message }) => message)).toEqual(["hello"]);
    await timeseries.close();
  });

  it("may be more than one record holds: no row takes those beside it along", async () => {
    const timeseries = openJournal("gateway-3");
    const row = { tenantId: "initech", ts: Date.now(), deviceId: "d-1", severity: 9, logger: "" };
    const attributes = JSON.stringify("x".repeat(14 * 1024 ** 2));
    const rows = Array.from({ length: 5 }, (_, seq) => {
      return { ...row, seq, message: `line ${seq}`, traceId: "", spanId: "", attributes };
    });
    await timeseries.insert("logs", rows);
    await timeseries.fed();
    const found = await timeseries.tenantQuery("initech", {
      ...{ table: "logs", select: "count() as n, sum(length(attributes)) as bytes", limit: 1 },
    });
    expect(found).toEqual([{ n: 5, bytes: 5 * attributes.length }]);
    await timeseries.close();
  });
});
