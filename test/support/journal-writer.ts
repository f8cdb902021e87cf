// A gateway's ingest in a process of its own, to be killed: it prints the number of each message that
// is durable. Usage: node journal-writer.ts <folder of journals> <address of the store> <first number>
import fs from "node:fs";
import { pino } from "pino";
import { systemClock } from "../../src/kernel/index.ts";
import { createTelemetry } from "../../src/telemetry/index.ts";
import { createTimeseries, withJournal } from "../../src/timeseries/index.ts";

const [directory, url, first] = process.argv.slice(2) as [string, string, string];
const logger = pino({ level: "silent" });
const timeseries = withJournal(createTimeseries({ url, logger }), {
  ...{ directory, name: "gateway-1", logger },
});
const telemetry = createTelemetry({
  ...{ timeseries, clock: systemClock },
  ...{ batchDelayMs: 1, maxWrites: 2 },
});
const peer = { tenantId: "acme", deviceId: "d-1" };
const start = Date.now() - 86_400_000;
let next = Number(first);

async function publish(): Promise<void> {
  for (;;) {
    const seq = next++;
    const sample = { ts: start + seq, seq, values: { number: seq } };
    await telemetry.ingestTelemetry(peer, sample, Date.now());
    fs.writeSync(1, `${seq}\n`);
  }
}
for (let index = 0; index < 20; index += 1) void publish();
