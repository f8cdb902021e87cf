import type { Command } from "commander";
import type { MetricRule } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { table } from "../output.ts";

type Feedback = CommonOptions & { useful?: boolean; useless?: boolean };

/** What people say about the detectors: which metrics matter, and which alerts did. */
export function anomalyCommands(program: Command, cli: Cli): void {
  const anomaly = group(
    program,
    "anomaly",
    "which metrics the detectors follow",
    "vautn anomaly disable agent.backlog",
  );

  leaf(anomaly, {
    usage: "list",
    summary: "metrics with a rule or feedback; all others are followed unless * is disabled",
    example: "vautn anomaly list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    print(cli, options, await cli.session(options).call("listAnomalyMetrics"));
  });

  for (const [name, enabled] of [
    ["enable", true],
    ["disable", false],
  ] as const) {
    leaf(anomaly, {
      usage: `${name} <metric>`,
      summary: `${enabled ? "follow" : "do not follow"} a metric; * is all without a rule`,
      example: `vautn anomaly ${name} temperature`,
      data: true,
      tenant: true,
    }).action(async (metric: string, options: CommonOptions) => {
      const body = { metric, enabled };
      print(cli, options, await cli.session(options).call("setAnomalyMetric", { body }));
    });
  }

  leaf(anomaly, {
    usage: "feedback <alert>",
    summary: "say whether an alert of the detectors was of use: it tunes the metric's threshold",
    example: "vautn anomaly feedback 01890a5d-ac96-774b-bcce-b302099a8057 --useless",
    data: true,
    tenant: true,
  })
    .option("--useful", "it was worth knowing")
    .option("--useless", "it was not")
    .action(async (alert: string, options: Feedback) => {
      if (Boolean(options.useful) === Boolean(options.useless)) {
        throw misuse("say one of the two", "give --useful or --useless");
      }
      const input = { params: { alert }, body: { useful: Boolean(options.useful) } };
      const rule = await cli.session(options).call("giveAlertFeedback", input);
      cli.print(options, rule, () => rows([rule]));
    });
}

function print(cli: Cli, options: CommonOptions, found: { items: MetricRule[] }): void {
  const hint = "Every metric is followed. Next: vautn anomaly disable METRIC";
  cli.printList(options, found, rows, hint);
}

function rows(items: readonly MetricRule[]): string {
  return table(
    ["METRIC", "FOLLOWED", "ALERT FROM", "USEFUL", "NOT USEFUL"],
    items.map(({ metric, enabled, threshold, useful, notUseful }) => {
      return [metric, enabled ? "yes" : "no", threshold, useful, notUseful];
    }),
  );
}
