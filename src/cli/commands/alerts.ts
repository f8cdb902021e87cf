import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, several, wholeNumber } from "../cli.ts";
import { ago, table } from "../output.ts";

type State = "open" | "acknowledged" | "resolved";

export function alertCommands(program: Command, cli: Cli): void {
  const alert = group(program, "alert", "what is wrong in the fleet", "vautn alert list");

  leaf(alert, {
    usage: "list",
    summary: "alerts, newest first",
    example: "vautn alert list --state open",
    data: true,
    tenant: true,
  })
    .option("--state <state>", "open, acknowledged or resolved")
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (options: CommonOptions & { state?: State; limit: number }) => {
      const query = { state: options.state };
      const page = await cli.session(options).collect("listAlerts", { query }, options.limit);
      const render = (items: typeof page.items) =>
        table(
          ["ALERT", "SEVERITY", "STATE", "TITLE", "TIMES", "OPENED"],
          items.map((item) => [
            item.id,
            item.severity,
            item.state,
            item.title,
            item.occurrences,
            ago(item.openedAt),
          ]),
        );
      cli.printList(options, page, render, "No alerts.");
    });

  leaf(alert, {
    usage: "acknowledge <alert>",
    summary: "say that you have seen it",
    example: "vautn alert acknowledge 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("acknowledgeAlert", { params: { alert: id } });
    cli.note("acknowledged");
  });

  webhookCommands(program, cli);
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
