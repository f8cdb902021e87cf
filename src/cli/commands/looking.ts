import readline from "node:readline";
import type { Command } from "commander";
import { scoreStream } from "../../health/index.ts";
import type { Answer } from "../api-client.ts";
import { type CommandEnvironment, callFor, tenantOptions } from "../command-context.ts";
import { tableOf } from "../output.ts";

const FOLLOW_EVERY_MS = 1_000;

/** `logs`, `trace`, `telemetry query`, `detect`. */
export function lookingCommands(program: Command, env: CommandEnvironment): void {
  tenantOptions(program.command("logs").description("search the logs of devices"))
    .option("-w, --words <words>", "words that the message holds")
    .option("-l, --level <levels>", "levels, comma-separated")
    .option("-d, --device <id>", "device")
    .option("--trace <id>", "trace id")
    .option("-n, --limit <count>", "lines", Number, 100)
    .option("-f, --follow", "go on as lines arrive")
    .action(async (options) => {
      const call = callFor(env, options);
      const search = new URLSearchParams();
      for (const name of ["words", "level", "device", "trace"]) {
        if (options[name]) search.set(name, options[name]);
      }
      let lines = await call.api.list(call.at(`/logs?${search}`), options.limit);
      const show = (line: Answer) =>
        env.output.print(
          call.json
            ? JSON.stringify(line)
            : `${new Date(line.ts).toISOString()} ${line.level.padEnd(5)} ${line.deviceId} ${line.message}`,
        );
      for (const line of lines.toReversed()) show(line);
      if (lines.length === 0 && !call.json) env.output.note("No lines match.");
      while (options.follow) {
        await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY_MS));
        const newest = lines[0]?.ts ?? 0;
        search.set("from", new Date(newest + 1).toISOString());
        const more = await call.api.list(call.at(`/logs?${search}`), 1_000);
        for (const line of more.toReversed()) show(line);
        if (more.length > 0) lines = more;
      }
    });

  tenantOptions(
    program.command("trace <id>").description("a request's whole way, down to the device's log"),
  ).action(async (id: string, options) => {
    const call = callFor(env, options);
    const trace = await call.api.get(call.at(`/traces/${id}`));
    if (call.json) env.output.json(trace);
    else if (trace.spans.length + trace.logs.length === 0)
      env.output.print("Nothing is known of it.");
    else env.output.print(waterfall(trace));
  });

  const telemetry = program.command("telemetry").description("what devices measure");
  tenantOptions(telemetry.command("query").description("one metric of one device"))
    .requiredOption("-d, --device <id>", "device")
    .requiredOption("-m, --metric <name>", "metric")
    .option("--from <time>", "ISO 8601 (default: an hour ago)")
    .option("--to <time>", "ISO 8601 (default: now)")
    .option("--points <count>", "at most so many", Number, 60)
    .action(async (options) => {
      const call = callFor(env, options);
      const search = new URLSearchParams({
        metric: options.metric,
        from: options.from ?? new Date(Date.now() - 3_600_000).toISOString(),
        to: options.to ?? new Date().toISOString(),
        points: String(options.points),
      });
      const device = encodeURIComponent(options.device);
      const answer = await call.api.get(call.at(`/devices/${device}/telemetry?${search}`));
      if (call.json) env.output.json(answer);
      else if (answer.points.length === 0) env.output.print("No points in this time.");
      else {
        const rows = answer.points.map((p: Answer) => [
          new Date(p.ts).toISOString(),
          p.min,
          p.mean,
          p.max,
          p.count,
        ]);
        env.output.print(tableOf(["TIME", "MIN", "MEAN", "MAX", "COUNT"], rows));
      }
    });

  program
    .command("detect")
    .description(
      "read `timestamp,value` rows on standard input, write an anomaly score in 0..1 a row",
    )
    .option("--period <seconds>", "seconds between points, where the rows do not tell", Number)
    .action(async (options: { period?: number }) => {
      const rows = readline.createInterface({ input: process.stdin });
      const scores = scoreStream(rows, {
        ...(options.period ? { periodSeconds: options.period } : {}),
      });
      for await (const score of scores) env.output.print(score.toFixed(6));
    });
}

function waterfall(trace: Answer): string {
  const rows: { at: number; text: string }[] = trace.spans.map((span: Answer) => ({
    at: span.startMs,
    text: `${span.name} [${span.service}] ${span.durationMs.toFixed(1)} ms ${span.status === "error" ? "ERROR" : ""}`,
  }));
  for (const line of trace.logs) {
    rows.push({
      at: line.ts,
      text: `  log ${line.level} ${line.deviceId ?? "platform"}: ${line.message}`,
    });
  }
  rows.sort((left, right) => left.at - right.at);
  const start = rows[0]?.at ?? 0;
  const body = rows.map(
    (row) => `${`+${(row.at - start).toFixed(0)} ms`.padStart(10)}  ${row.text}`,
  );
  return [`trace ${trace.traceId}`, ...body].join("\n");
}
