import type { Command } from "commander";
import { ApiRefusal } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { table } from "../output.ts";
import { bytesText } from "./telemetry-usage.ts";

interface KeptOptions extends CommonOptions {
  points?: number;
  minutes?: number;
  hours?: number;
  days?: number;
}

interface Kept {
  points: number;
  minutes: number;
  hours: number;
  days: number;
}

/** How long points and rollups are kept, by metric. */
export function retentionCommands(telemetry: Command, cli: Cli): void {
  const retention = group(
    telemetry,
    "retention",
    "how long points and their rollups are kept, by metric",
    "vautn telemetry retention list",
  );

  leaf(retention, {
    usage: "list",
    summary: "what is kept for how many days; the first pattern that fits a metric counts",
    example: "vautn telemetry retention list --tenant acme",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const kept = await cli.session(options).call("getTelemetryRetention");
    cli.print(options, kept, () => rulesTable(kept));
  });

  keptOptions(
    leaf(retention, {
      usage: "set <pattern>",
      summary: "keep metrics for so many days; `*` alone is for all that no other pattern fits",
      example: "vautn telemetry retention set 'debug.*' --points 7 --days 365 --tenant acme",
      data: true,
      tenant: true,
    }),
  )
    .option("--first", "try this pattern before the others (a new one comes last)")
    .action(async (pattern: string, options: KeptOptions & { first?: boolean }) => {
      const session = cli.session(options);
      const kept = keptOf(options);
      if (pattern === "*") {
        await session.call("updateTenant", {
          body: {
            settings: {
              telemetryRetentionDays: kept.points,
              minuteRollupRetentionDays: kept.minutes,
              hourRollupRetentionDays: kept.hours,
              dayRollupRetentionDays: kept.days,
            },
          },
        });
        const known = await session.call("getTelemetryRetention");
        cli.print(options, known, () => rulesTable(known));
        return;
      }
      const rule = { pattern, ...kept };
      await change(cli, options, (rules) => {
        const place = rules.findIndex((one) => one.pattern === pattern);
        const others = rules.filter((one) => one.pattern !== pattern);
        if (options.first) return [rule, ...others];
        if (place < 0) return [...rules, rule];
        return rules.map((one) => (one.pattern === pattern ? rule : one));
      });
    });

  leaf(retention, {
    usage: "remove <patterns...>",
    summary: "take rules away: those metrics are kept as long as all others",
    example: "vautn telemetry retention remove 'debug.*' --tenant acme",
    data: true,
    tenant: true,
  }).action(async (patterns: string[], options: CommonOptions) => {
    await change(cli, options, (rules) => {
      const unknown = patterns.filter((one) => !rules.some(({ pattern }) => pattern === one));
      if (unknown.length > 0) {
        throw misuse(`no rule for ${unknown.join(", ")}`, "vautn telemetry retention list");
      }
      return rules.filter(({ pattern }) => !patterns.includes(pattern));
    });
  });

  keptOptions(
    leaf(retention, {
      usage: "estimate <pattern>",
      summary: "what `set` would remove, and the bytes that it would save",
      example: "vautn telemetry retention estimate 'debug.*' --points 7 --tenant acme",
      data: true,
      tenant: true,
    }),
  ).action(async (pattern: string, options: KeptOptions) => {
    const session = cli.session(options);
    const kept = keptOf(options);
    const { rules } = await session.call("getTelemetryRetention");
    const others = rules.filter((one) => one.pattern !== pattern);
    const body = pattern === "*" ? { all: kept } : { rules: [{ pattern, ...kept }, ...others] };
    const saving = await session.call("estimateTelemetryRetention", { body });
    cli.print(options, saving, () =>
      table(
        ["WHAT", "ROWS", "BYTES"],
        [
          ["points", saving.points.rows.toLocaleString("en"), bytesText(saving.points.sizeBytes)],
          [
            "rollups",
            saving.rollups.rows.toLocaleString("en"),
            bytesText(saving.rollups.sizeBytes),
          ],
        ],
      ),
    );
    if (options.json) return;
    const percent = (100 * saving.share).toFixed(1);
    cli.note(`It would save about ${bytesText(saving.sizeBytes)}, ${percent} % of the telemetry.`);
  });
}

function keptOptions(command: Command): Command {
  const days = (name: string) => wholeNumber(name, 1, 3_650);
  return command
    .option("--points <days>", "points as they came", days("--points"))
    .option("--minutes <days>", "rollups by the minute (default: as the points)", days("--minutes"))
    .option("--hours <days>", "by the hour (default: as those by the minute)", days("--hours"))
    .option("--days <days>", "by the day (default: as those by the hour)", days("--days"));
}

function keptOf({ points, minutes, hours, days }: KeptOptions): Kept {
  if (points === undefined) throw misuse("say for how many days the points are kept: --points");
  const kept = { points, minutes: minutes ?? points, hours: 0, days: 0 };
  kept.hours = hours ?? kept.minutes;
  kept.days = days ?? kept.hours;
  return kept;
}

const MAX_ATTEMPTS = 5;

type Rule = { pattern: string } & Kept;

async function change(
  cli: Cli,
  options: CommonOptions,
  edit: (rules: Rule[]) => Rule[],
): Promise<void> {
  const session = cli.session(options);
  for (let attempt = 1; ; attempt += 1) {
    const { rules } = await session.call("getTelemetryRetention");
    const ifMatch = session.client.lastEtag;
    try {
      const body = { rules: edit(rules) };
      const kept = await session.call("setTelemetryRetention", { body, ifMatch });
      cli.print(options, kept, () => rulesTable(kept));
      return;
    } catch (error) {
      // Somebody else has changed the rules meanwhile: the same is done to what they are now.
      const isStale = error instanceof ApiRefusal && error.code === "precondition-failed";
      if (!isStale || attempt >= MAX_ATTEMPTS) throw error;
    }
  }
}

function rulesTable({ all, rules }: { all: Kept; rules: Rule[] }): string {
  return table(
    ["METRICS", "POINTS", "BY MINUTE", "BY HOUR", "BY DAY"],
    [...rules, { pattern: "all others", ...all }].map(({ pattern, ...kept }) => [
      pattern,
      ...[kept.points, kept.minutes, kept.hours, kept.days].map((days) => `${days} d`),
    ]),
  );
}
