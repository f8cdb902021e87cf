import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { facts, table } from "../output.ts";
import { fleetHealthCommands } from "./fleet-health.ts";

export function fleetCommands(program: Command, cli: Cli): void {
  const groups = group(program, "group", "named fleet queries", "vautn group list");

  leaf(groups, {
    usage: "list",
    summary: "groups of the tenant",
    example: "vautn group list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listGroups");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["GROUP", "QUERY"],
          items.map(({ name, query }) => [name, query]),
        ),
      "No groups yet. Next: vautn group create NAME --query QUERY",
    );
  });

  leaf(groups, {
    usage: "create <name>",
    summary: "name a fleet query",
    example: `vautn group create berlin --query 'tags.site = "berlin"'`,
    data: true,
    tenant: true,
  })
    .requiredOption("-q, --query <query>", "fleet query")
    .action(async (name: string, options: CommonOptions & { query: string }) => {
      const body = { name, query: options.query };
      const created = await cli.session(options).call("createGroup", { body });
      cli.print(options, created, () => `group ${name} was created\n`);
    });

  leaf(groups, {
    usage: "delete <name>",
    summary: "forget a group; its devices stay",
    example: "vautn group delete berlin",
    tenant: true,
  }).action(async (name: string, options: CommonOptions) => {
    await cli.session(options).call("deleteGroup", { params: { group: name } });
    cli.note(`group ${name} was deleted`);
  });

  const fleet = leaf(program, {
    usage: "fleet",
    summary: "the fleet's health, by firmware or anything else",
    example: "vautn fleet --by tags.site",
    data: true,
    tenant: true,
  })
    .option(
      "--by <dimension>",
      "firmware, hardware, product, region, presence, health, group, tags.NAME",
      "firmware",
    )
    .option("-q, --query <query>", "fleet query")
    .action(async (options: CommonOptions & { by: string; query?: string }) => {
      const session = cli.session(options);
      const query = { by: options.by, q: options.query };
      const [summary, health] = await Promise.all([
        session.call("getFleetSummary"),
        session.call("getFleetHealth", { query }),
      ]);
      cli.print(options, { summary, ...health }, () => {
        const { total, online, late, offline, never, openAlerts, runningRollouts } = summary;
        const { healthy, degraded, failing } = summary;
        const figures = facts([
          [
            "devices",
            `${total}: ${online} online, ${late} late, ${offline} offline, ${never} never seen`,
          ],
          ["health", `${healthy} healthy, ${degraded} degraded, ${failing} failing`],
          ["open alerts", openAlerts],
          ["running rollouts", runningRollouts],
        ]);
        if (health.items.length === 0) {
          return `${figures}\nNo devices. Next: vautn device enroll ID --product NAME --hardware REVISION\n`;
        }
        const head = [
          options.by.toUpperCase(),
          "TOTAL",
          "ONLINE",
          "LATE",
          "OFFLINE",
          "CRASHES 24 H",
        ];
        const rows = health.items.map((row) => [
          row.key || "(unknown)",
          row.total,
          row.online,
          row.late,
          row.offline + row.never,
          row.crashes24h,
        ]);
        return `${figures}\n${table(head, rows)}`;
      });
    });
  fleetHealthCommands(fleet, cli);
}
