/**
 * How fast log lines become durable, and how soon they are found again: our store through its local
 * endpoint, against a scan of the same rows by the same engine in the same interleaved run. The ratios
 * are of CPU time, of this process and the engine's together, which a busy machine does not blur much;
 * the times are those of the clock. The engine remembers which rows a condition has found: no question
 * is asked twice in the same words.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { pino } from "pino";
import { seededRandom, systemClock } from "../src/kernel/index.ts";
import { createLogs } from "../src/logs/index.ts";
import { createTimeseries, type LogRow, startEmbeddedClickHouse } from "../src/timeseries/index.ts";
import { otlpRequest } from "./otlp-requests.ts";
import { cpuMsOf } from "./process-figures.ts";
import { report } from "./report.ts";

const { values: flags } = parseArgs({
  options: {
    lines: { type: "string", default: "10000000" },
    /** As many as the platform itself gathers. */
    batch: { type: "string", default: "100000" },
  },
});
const LINES = Number(flags.lines);
const BATCH = Number(flags.batch);
const TENANT = "bench";
const DEVICES = 1_000;
const START = Date.UTC(2026, 5, 1);
const RARE_EVERY = 1_000_003;
const SERVICES = ["agent", "update", "modem", "sensor", "kernel"];
const VERBS = ["connected", "retried", "measured", "stored", "sent", "skipped", "checked"];
const THINGS = ["session", "packet", "image", "slot", "sample", "lease", "route", "buffer"];

/** Each condition once: the engine would answer the second from memory. */
const SCANNED = ["capacitor drained", "flux capac", "lux capacitor"];
const RARE = [
  "capacitor",
  "flux",
  "drained",
  "flux capacitor",
  "capacitor drained",
  "drained flux",
];
/** The same words in orders of their own: one more that every line holds would be what is measured. */
const COUNTED = [
  "capacitor flux",
  "drained capacitor",
  "flux drained",
  "flux capacitor drained",
  "capacitor drained flux",
  "drained flux capacitor",
];
const HUNDREDTH = ["timeout", "after", "after timeout", "timeout ms", "ms after", "in timeout"];
const TRACES = Array.from({ length: 6 }, (_, index) => (index * 50).toString(16).padStart(32, "a"));
const LINE = "ts, seq, severity, device_id, message, logger, trace_id, span_id, attributes";
const MAX_CALM_SECONDS = 60;
/** Requests as collectors send them, several at once. */
const OTLP = { records: 5_000, requests: 200, atOnce: 20, tenantId: "collected" };

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
    yield asParsed(rows);
    rows = [];
  }
  if (rows.length > 0) yield asParsed(rows);
}

/** Texts in one piece, as every parser gives them: those put together here are put off by the engine. */
function asParsed(rows: LogRow[]): LogRow[] {
  return JSON.parse(JSON.stringify(rows)) as LogRow[];
}

interface Cost {
  medianMs: number;
  /** Of one question, on average. */
  cpuMs: number;
}

async function costOf<Question>(
  questions: readonly Question[],
  ask: (question: Question) => Promise<unknown>,
): Promise<Cost> {
  const times: number[] = [];
  const cpuBefore = cpuMsOf(process.pid);
  for (const question of questions) {
    const started = performance.now();
    await ask(question);
    times.push(performance.now() - started);
  }
  const cpuMs = (cpuMsOf(process.pid) - cpuBefore) / questions.length;
  times.sort((left, right) => left - right);
  return { medianMs: times[times.length >>> 1] as number, cpuMs };
}

/** Merges go on after an insert, and are nobody's question. */
async function calm(): Promise<void> {
  for (let second = 0; second < MAX_CALM_SECONDS; second += 1) {
    const before = cpuMsOf(process.pid);
    await sleep(1_000);
    if (cpuMsOf(process.pid) - before < 50) return;
  }
}

/** The same question without an index to answer it. */
function scanned(text: string, select: string): Promise<unknown[]> {
  return timeseries.tenantQuery(TENANT, {
    table: "logs",
    select,
    where: ["positionCaseInsensitiveUTF8(message, {text:String}) > 0"],
    ...(select === LINE ? { orderBy: "ts desc, device_id desc, seq desc" } : {}),
    limit: 101,
    params: { text },
  });
}

/** From the bytes of a request in protobuf to rows that are durable. */
async function collected(): Promise<void> {
  const { records, requests, atOnce, tenantId } = OTLP;
  const bodies = Array.from({ length: requests }, (_, index) =>
    otlpRequest(index * records, records, START),
  );
  const cpuBefore = cpuMsOf(process.pid);
  const ownBefore = process.cpuUsage();
  const started = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let body = bodies.pop(); body; body = bodies.pop()) {
        const { accepted } = await logs.ingestOtlp(tenantId, "logs", body);
        if (accepted !== records) throw new Error(`only ${accepted} records were taken`);
      }
    }),
  );
  const rate = (records * requests) / ((performance.now() - started) / 1_000);
  const own = process.cpuUsage(ownBefore);
  const each = 1 / (records * requests);
  report("OTLP records in protobuf made durable", rate, "records/s", "goal of 400,000", rate / 4e5);
  report("CPU of a record, of this process", (own.user + own.system) * each, "us");
  report(
    "CPU of a record, with the engine",
    (cpuMsOf(process.pid) - cpuBefore) * 1_000 * each,
    "us",
  );
}

const engine = await startEmbeddedClickHouse({ directory, logger });
const timeseries = createTimeseries({ url: engine.url, logger });
const logs = createLogs({ timeseries, clock: systemClock, otlpRecordsPerSecond: 1e9 });
try {
  await timeseries.migrate();
  await collected();
  await calm();
  let seconds = 0;
  const cpuBefore = cpuMsOf(process.pid);
  for (const rows of batches()) {
    const started = performance.now();
    await timeseries.insert("logs", rows);
    seconds += (performance.now() - started) / 1_000;
  }
  const rate = LINES / seconds;
  report("log lines ingested", rate, "lines/s", "goal of 400,000", rate / 4e5);
  await calm();
  const usPerLine = ((cpuMsOf(process.pid) - cpuBefore) * 1_000) / LINES;
  report("CPU of a line, with its merges", usPerLine, "us");

  const found = (words: string) => logs.search(TENANT, { words, limit: 100 });
  const rare = (await found("flux drained capacitor")).items.length;
  const common = (await found("timeout after")).items.length;
  const wanted = Math.min(100, Math.floor(LINES / RARE_EVERY));
  if (rare !== wanted || common !== 100) throw new Error(`found ${rare} rare, ${common} common`);

  const scan = await costOf(SCANNED, (text) => scanned(text, LINE));
  const counted = await costOf(SCANNED, (text) => scanned(text, "count() as lines"));
  const against = (cost: Cost) =>
    `a scan of ${LINES} lines: ${cost.medianMs.toFixed(0)} ms, ${cost.cpuMs.toFixed(0)} ms of CPU`;
  const word = await costOf(RARE, found);
  report("word search", word.medianMs, "ms", against(scan), scan.medianMs / word.medianMs);
  report("word search by CPU", word.cpuMs, "ms", against(scan), scan.cpuMs / word.cpuMs);
  const count = await costOf(COUNTED, (words) => logs.countByDevice(TENANT, { words }, 1_000));
  report(
    "lines with a word counted, by CPU",
    count.cpuMs,
    "ms",
    against(counted),
    counted.cpuMs / count.cpuMs,
  );
  for (const [name, questions] of [
    ["every hundredth line", HUNDREDTH],
    ["every eighth line", THINGS],
  ] as const) {
    const newest = await costOf(questions, found);
    const label = `newest 100 with a word of ${name}`;
    report(label, newest.medianMs, "ms", "goal of 100 ms", newest.medianMs / 100);
    report(`${label}, by CPU`, newest.cpuMs, "ms");
  }
  const trace = await costOf(TRACES, (traceId) => logs.search(TENANT, { traceId, limit: 100 }));
  report("lines of a trace by CPU", trace.cpuMs, "ms", against(scan), scan.cpuMs / trace.cpuMs);
} finally {
  await logs.close();
  await timeseries.close();
  await engine.stop();
  fs.rmSync(directory, { recursive: true, force: true });
}
