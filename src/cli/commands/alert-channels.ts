import type { Command } from "commander";
import type { CallInput, Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { ago, table, until } from "../output.ts";
import { ask } from "../prompt.ts";
import type { Session } from "../session.ts";
import { readYaml } from "../yaml-file.ts";

type Channel = Operations["listAlertChannels"]["answer"]["items"][number];
type NewChannel = CallInput<"createAlertChannel">["body"];

export function alertChannelCommands(alerts: Command, cli: Cli): void {
  const channels = group(
    alerts,
    "channels",
    "where people are told: webhook, email, slack, pagerduty",
    "vautn alerts channels list",
  );
  readingCommands(channels, cli);
  writingCommands(channels, cli);
  policyCommands(alerts, cli);
}

function readingCommands(channels: Command, cli: Cli): void {
  leaf(channels, {
    usage: "list",
    summary: "channels of the tenant",
    example: "vautn alerts channels list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listAlertChannels");
    const render = (items: Channel[]) =>
      table(
        ["CHANNEL", "NAME", "KIND", "TO", "ENABLED"],
        items.map(({ id, name, kind, settings, enabled }) => [
          id,
          name,
          kind,
          settings.url ?? settings.to?.join(" ") ?? "",
          enabled ? "yes" : "no",
        ]),
      );
    cli.printList(
      options,
      page,
      render,
      "No channels yet. Next: vautn alerts channels apply -f FILE",
    );
  });

  leaf(channels, {
    usage: "deliveries <channel>",
    summary: "what was said there, newest first",
    example: "vautn alerts channels deliveries ops",
    data: true,
    tenant: true,
  }).action(async (which: string, options: CommonOptions) => {
    const session = cli.session(options);
    const { id } = await findChannel(session, which);
    const page = await session.call("listAlertDeliveries", { params: { channel: id } });
    const render = (items: typeof page.items) =>
      table(
        ["WHEN", "STATUS", "TRIES", "NEXT TRY", "ANSWER", "WHAT"],
        items.map(
          ({ createdAt, status, attempts, nextAttemptAt, lastStatus, lastError, summary }) => [
            ago(createdAt),
            status,
            attempts,
            status === "pending" && nextAttemptAt ? until(nextAttemptAt) : "-",
            lastError ?? lastStatus ?? "-",
            summary,
          ],
        ),
      );
    cli.printList(options, page, render, "Nothing was said there yet.");
  });
}

function writingCommands(channels: Command, cli: Cli): void {
  leaf(channels, {
    usage: "apply",
    summary: "make the channel that a YAML file describes, or change the one of that name",
    example: "vautn alerts channels apply -f ops.yaml --secret",
    data: true,
    tenant: true,
  })
    .requiredOption("-f, --file <file>", "YAML or JSON: name, kind, settings")
    .option("--secret", "ask for the secret (or read VAUTN_CHANNEL_SECRET): it stands in no file")
    .action(async (options: CommonOptions & { file: string; secret?: boolean }) => {
      const session = cli.session(options);
      const { kind, ...channel } = (await readYaml(options.file)) as unknown as NewChannel;
      const given = cli.io.environment.VAUTN_CHANNEL_SECRET;
      if (options.secret && !given && !cli.io.isInteractive) {
        throw misuse("there is no terminal to ask for the secret", "set VAUTN_CHANNEL_SECRET");
      }
      const secret =
        given ?? (options.secret ? await ask(cli.io, "Secret: ", { hidden: true }) : undefined);
      const body = { ...channel, ...(secret ? { secret } : {}) };
      const known = (await session.call("listAlertChannels")).items;
      const found = known.find(({ name }) => name === channel.name);
      if (found) {
        const params = { channel: found.id };
        const changed = await session.call("replaceAlertChannel", { params, body });
        cli.print(options, changed, () => `${changed.id}\n`);
        cli.note("the channel was changed");
        return;
      }
      if (!secret && (kind === "slack" || kind === "pagerduty")) {
        throw misuse(
          `a channel of kind ${kind} needs its ${kind === "slack" ? "URL" : "integration key"}`,
          "add --secret, or set VAUTN_CHANNEL_SECRET",
        );
      }
      const made = await session.call("createAlertChannel", { body: { ...body, kind } });
      cli.print(options, made, () => `${made.id}${made.secret ? ` ${made.secret}` : ""}\n`);
      if (made.secret) cli.note("keep the secret: it is not shown again (Standard Webhooks)");
    });

  leaf(channels, {
    usage: "test <channel>",
    summary: "send a test at once, by the channel's id or name; status 1 where it fails",
    example: "vautn alerts channels test ops",
    data: true,
    tenant: true,
  }).action(async (which: string, options: CommonOptions) => {
    const session = cli.session(options);
    const { id } = await findChannel(session, which);
    const result = await session.call("testAlertChannel", { params: { channel: id } });
    cli.print(options, result, () =>
      `${result.status} ${result.lastError ?? ""}`.trim().concat("\n"),
    );
    if (result.status !== "delivered") throw new CliError("the test was not delivered");
  });

  leaf(channels, {
    usage: "delete <channel>",
    summary: "by its id or name",
    example: "vautn alerts channels delete ops",
    tenant: true,
  }).action(async (which: string, options: CommonOptions) => {
    const session = cli.session(options);
    const { id } = await findChannel(session, which);
    await session.call("deleteAlertChannel", { params: { channel: id } });
    cli.note("the channel was deleted");
  });
}

function policyCommands(alerts: Command, cli: Cli): void {
  const policy = group(
    alerts,
    "policy",
    "who is told of what: routes, grouping, inhibition, maintenance, escalation",
    "vautn alerts policy show > policy.yaml",
  );
  leaf(policy, {
    usage: "show",
    summary: "the policy as the YAML file that would set it",
    example: "vautn alerts policy show > policy.yaml",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const { stringify } = await import("yaml");
    const { document } = await cli.session(options).call("getAlertPolicy");
    cli.print(options, document, () => stringify(document));
  });
  leaf(policy, {
    usage: "apply",
    summary: "replace the policy with what a YAML file says",
    example: "vautn alerts policy apply -f policy.yaml",
    tenant: true,
  })
    .requiredOption("-f, --file <file>", "YAML or JSON")
    .action(async (options: CommonOptions & { file: string }) => {
      const body = (await readYaml(options.file)) as CallInput<"replaceAlertPolicy">["body"];
      await cli.session(options).call("replaceAlertPolicy", { body });
      cli.note("the policy was replaced");
    });
}

async function findChannel(session: Session, which: string): Promise<Channel> {
  const { items } = await session.call("listAlertChannels");
  const found = items.find(({ id, name }) => id === which || name === which);
  if (found) return found;
  throw new CliError(`there is no channel "${which}"`, { next: "vautn alerts channels list" });
}
