import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { ago, table } from "../output.ts";
import { alertChannelCommands } from "./alert-channels.ts";
import { alertRuleCommands } from "./alert-rules.ts";
import { silenceCommands } from "./alert-silences.ts";

type State = "open" | "acknowledged" | "resolved" | "active";

interface ListOptions extends CommonOptions {
  state?: State;
  severity?: "info" | "warning" | "critical";
  kind?: string;
  subject?: string;
  rule?: string;
  limit: number;
}

export function alertCommands(program: Command, cli: Cli): void {
  const alerts = group(
    program,
    "alerts",
    "what is wrong in the fleet, and who is told of it",
    "vautn alerts list",
  ).alias("alert");
  readingCommands(alerts, cli);
  actingCommands(alerts, cli);
  alertRuleCommands(alerts, cli);
  silenceCommands(alerts, cli);
  alertChannelCommands(alerts, cli);
  webhookCommands(program, cli);
}

function readingCommands(alerts: Command, cli: Cli): void {
  leaf(alerts, {
    usage: "list",
    summary: "alerts, newest first",
    example: "vautn alerts list --state active --severity critical",
    data: true,
    tenant: true,
  })
    .option("--state <state>", "open, acknowledged, resolved, or active: what is not resolved")
    .option("--severity <severity>", "info, warning or critical")
    .option("--kind <kind>", "such as device-offline, anomaly or rule")
    .option("--subject <id>", "about this device, rollout, ...")
    .option("--rule <id>", "raised by this rule")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (options: ListOptions) => {
      const { state, severity, kind, subject, rule } = options;
      const query = { state, severity, kind, subject, rule };
      const page = await cli.session(options).collect("listAlerts", { query }, options.limit);
      const render = (items: typeof page.items) =>
        table(
          ["ALERT", "SEVERITY", "STATE", "TITLE", "TIMES", "OPENED"],
          items.map((item) => [
            item.id,
            item.severity,
            item.mutedBy ? `${item.state} (${item.mutedBy.by})` : item.state,
            item.title,
            item.occurrences,
            ago(item.openedAt),
          ]),
        );
      cli.printList(options, page, render, "No alerts.");
    });

  leaf(alerts, {
    usage: "show <alert>",
    summary: "an alert with what happened to it",
    example: "vautn alerts show 0199…",
    data: true,
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const session = cli.session(options);
    const params = { alert: id };
    const [alert, history] = await Promise.all([
      session.call("getAlert", { params }),
      session.call("getAlertHistory", { params }),
    ]);
    const labels = Object.entries(alert.labels).map(([key, value]) => `${key}=${value}`);
    const muted = alert.mutedBy ? `\nnobody is told: ${alert.mutedBy.by} ${alert.mutedBy.of}` : "";
    cli.print(options, { ...alert, history: history.items }, () =>
      [
        `${alert.title}\n${alert.severity}, ${alert.state}${muted}\n${labels.join(" ")}\n`,
        table(
          ["AT", "WHAT", "WHO", ""],
          history.items.map(({ at, what, who, details }) => [
            at,
            what,
            who ?? "-",
            Object.keys(details).length > 0 ? JSON.stringify(details) : "",
          ]),
        ),
      ].join("\n"),
    );
  });
}

function actingCommands(alerts: Command, cli: Cli): void {
  leaf(alerts, {
    usage: "acknowledge <alert...>",
    summary: "say that you have seen it: it is told to nobody again, and goes up no further",
    example: "vautn alerts ack 0199…",
    tenant: true,
  })
    .alias("ack")
    .action(async (ids: string[], options: CommonOptions) => {
      let over = 0;
      for (const alert of ids) {
        const { state } = await cli
          .session(options)
          .call("acknowledgeAlert", { params: { alert } });
        if (state === "resolved") over += 1;
      }
      const count = ids.length - over;
      if (count > 0) cli.note(ids.length === 1 ? "acknowledged" : `${count} acknowledged`);
      if (over > 0) cli.note(ids.length === 1 ? "it had ended before" : `${over} had ended before`);
    });

  leaf(alerts, {
    usage: "resolve <alert...>",
    summary: "end it by hand; its rule stays silent until the condition has ended once",
    example: "vautn alerts resolve 0199…",
    tenant: true,
  }).action(async (ids: string[], options: CommonOptions) => {
    for (const alert of ids) {
      await cli.session(options).call("resolveAlert", { params: { alert } });
    }
    cli.note(ids.length === 1 ? "resolved" : `${ids.length} resolved`);
  });
}

function webhookCommands(program: Command, cli: Cli): void {
  const webhook = group(program, "webhook", "where alerts are sent", "vautn webhook list");

  leaf(webhook, {
    usage: "list",
    summary: "webhooks of the tenant",
    example: "vautn webhook list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listWebhooks");
    const render = (items: typeof page.items) =>
      table(
        ["WEBHOOK", "URL", "EVENTS", "CREATED"],
        items.map(({ id, url, eventTypes, createdAt }) => [
          id,
          url,
          eventTypes.join(" "),
          ago(createdAt),
        ]),
      );
    cli.printList(options, page, render, "No webhooks yet. Next: vautn webhook create URL");
  });

  leaf(webhook, {
    usage: "create <url>",
    summary: "send events there; the secret that signs them is shown this once",
    example: "vautn webhook create https://example.com/hook",
    data: true,
    tenant: true,
  })
    .option("--event <type>", "only this type of event (several times)", several)
    .action(async (url: string, options: CommonOptions & { event?: string[] }) => {
      const body = { url, ...(options.event ? { eventTypes: options.event } : {}) };
      const created = await cli.session(options).call("createWebhook", { body });
      cli.print(options, created, () => `${created.secret}\n`);
      cli.note("keep it: it is not shown again (Standard Webhooks)");
    });

  leaf(webhook, {
    usage: "delete <webhook>",
    summary: "send nothing there any more",
    example: "vautn webhook delete 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("deleteWebhook", { params: { webhook: id } });
    cli.note("the webhook was deleted");
  });
}
