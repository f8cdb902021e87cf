/**
 * How fast log lines become durable, and how soon they are found again: our store through its local
 * endpoint, against a scan of the same rows by the same engine in the same interleaved run.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { seededRandom, systemClock } from "../src/kernel/index.ts";
import { createLogs } from "../src/logs/index.ts";
import { createTimeseries, type LogRow, startEmbeddedClickHouse } from "../src/timeseries/index.ts";
import { report } from "./report.ts";

const { values: flags } = parseArgs({
  options: {
    lines: { type: "string", default: "2000000" },
    batch: { type: "string", default: "50000" },
    repeats: { type: "string", default: "11" },
    /** A scan takes seconds: fewer of them do. */
    scans: { type: "string", default: "3" },
  },
});
const LINES = Number(flags.lines);
const BATCH = Number(flags.batch);
const REPEATS = Number(flags.repeats);
const SCANS = Number(flags.scans);
const TENANT = "bench";
const DEVICES = 1_000;
const START = Date.UTC(2026, 5, 1);
const RARE_EVERY = 1_000_003;
const SERVICES = ["agent", "update", "modem", "sensor", "kernel"];
const VERBS = ["connected", "retried", "measured", "stored", "sent", "skipped", "checked"];
const THINGS = ["session", "packet", "image", "slot", "sample", "lease", "route", "buffer"];

const logger = pino({ level: "silent" });
const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-bench-"));

/** Lines as devices write them: few shapes, many figures; "timeout" in every hundredth. */
function* batches(): Generator<LogRow[]> {
  const random = seededRandom(1);
  const pick = (words: readonly string[]) =>
    words[Math.floor(random.next() * words.length)] as string;
  let rows: LogRow[] = [];
  for (let seq = 0; seq < LINES; seq += 1) {
    const service = pick(SERVICES);
    const odd = seq % 100 === 0 ? " after timeout" : "";
    const rare = seq % RARE_EVERY === RARE_EVERY - 1 ? " flux capacitor drained" : "";
    const figures = `${Math.floor(random.next() * 1e6)} ms ${Math.floor(random.next() * 1e4)}`;
    rows.push({
      tenantId: TENANT,
      ts: START + seq,
      deviceId: `device-${Math.floor(random.next() * DEVICES)}`,
      seq,
      severity: seq % 100 === 0 ? 17 : 9,
      logger: service,
      message: `${service} ${pick(VERBS)} ${pick(THINGS)} in ${figures}${odd}${rare}`,
      traceId: seq % 50 === 0 ? seq.toString(16).padStart(32, "a") : "",
      spanId: "",
      attributes: "{}",
    });
    if (rows.length < BATCH) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

async function medianMs(repeats: number, work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let index = 0; index < repeats; index += 1) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times.sort((left, right) => left - right)[repeats >>> 1] as number;
}

const engine = await startEmbeddedClickHouse({ directory, logger });
const timeseries = createTimeseries({ url: engine.url, logger });
const logs = createLogs({ timeseries, clock: systemClock });
try {
  await timeseries.migrate();
  let seconds = 0;
  for (const rows of batches()) {
    const started = performance.now();
    await timeseries.insert("logs", rows);
    seconds += (performance.now() - started) / 1_000;
  }
  report(
    "log lines ingested",
    LINES / seconds,
    "lines/s",
    "goal of 400,000",
    LINES / seconds / 4e5,
  );

  const found = (words: string) => logs.search(TENANT, { words, limit: 100 });
  /** The same question without an index to answer it. */
  const scanned = (word: string) =>
    timeseries.tenantQuery(TENANT, {
      table: "logs",
      select: "count() as lines",
      where: ["position(lowerUTF8(message), {word:String}) > 0"],
      limit: 1,
      params: { word },
    });
  const rare = (await found("capacitor")).items.length;
  const common = (await found("timeout")).items.length;
  const wanted = Math.min(100, Math.floor(LINES / RARE_EVERY));
  if (rare !== wanted || common !== 100) throw new Error(`found ${rare} rare, ${common} common`);

  const scanMs = await medianMs(SCANS, () => scanned("capacitor"));
  const rareMs = await medianMs(REPEATS, () => found("capacitor"));
  const commonMs = await medianMs(REPEATS, () => found("timeout"));
  const everyMs = await medianMs(REPEATS, () => found("session"));
  const trace = (RARE_EVERY - (RARE_EVERY % 50)).toString(16).padStart(32, "a");
  const traceId = LINES > RARE_EVERY ? trace : (0).toString(16).padStart(32, "a");
  const traceMs = await medianMs(REPEATS, () => logs.search(TENANT, { traceId, limit: 100 }));
  const scan = `a scan of ${LINES} lines (${scanMs.toFixed(0)} ms)`;
  report("word search", rareMs, "ms", scan, scanMs / rareMs);
  report(
    "newest 100 with a word of every hundredth line",
    commonMs,
    "ms",
    "goal of 100 ms",
    100 / commonMs,
  );
  report(
    "newest 100 with a word of every eighth line",
    everyMs,
    "ms",
    "goal of 100 ms",
    100 / everyMs,
  );
  report("lines of a trace", traceMs, "ms", scan, scanMs / traceMs);
} finally {
  await logs.close();
  await timeseries.close();
  await engine.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
