import type { Command } from "commander";
import type { FleetMoment, MatrixCell, Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { momentOf } from "../moments.ts";
import { ago, table } from "../output.ts";
import type { Session } from "../session.ts";

type Comparison = Operations["compareFirmware"]["answer"];
type Since = CommonOptions & { since?: string };

/** What `vautn fleet` can say beyond one dimension at one moment. */
export function fleetHealthCommands(fleet: Command, cli: Cli): void {
  crossed(fleet, cli);
  history(fleet, cli);
  crashes(fleet, cli);
  restarts(fleet, cli);
  compare(fleet, cli);
}

function crossed(fleet: Command, cli: Cli): void {
  leaf(fleet, {
    usage: "health",
    summary: "devices by health, crossed by two dimensions",
    example: "vautn fleet health --by firmware,region",
    data: true,
    tenant: true,
  })
    .option(
      "--by <rows,columns>",
      "of firmware, hardware, product, region, presence, health, group, tags.NAME",
      "firmware,region",
    )
    .option("-q, --query <query>", "fleet query")
    .action(async (options: CommonOptions & { by: string; query?: string }) => {
      const [by = "", across, ...more] = options.by.split(",");
      if (more.length > 0) throw misuse("--by takes two dimensions", "vautn fleet health --help");
      const query = { by, across: across || "health", q: options.query };
      const matrix = await cli.session(options).call("getFleetMatrix", { query });
      cli.printList(options, matrix, (items) => matrixTable(items, by), "No devices.");
    });
}

/** Well of all in each cell; what is not well by its first letters. */
function matrixTable(cells: readonly MatrixCell[], by: string): string {
  const columns = [...new Set(cells.map((cell) => cell.column))].slice(0, 12);
  const rows = [...Map.groupBy(cells, (cell) => cell.row)];
  const text = (cell: MatrixCell | undefined) => {
    if (!cell) return "";
    const bad = [
      cell.degraded && `${cell.degraded} degraded`,
      cell.failing && `${cell.failing} failing`,
      cell.offline && `${cell.offline} offline`,
    ].filter(Boolean);
    return bad.length > 0 ? `${cell.total} (${bad.join(", ")})` : String(cell.total);
  };
  return table(
    [by.toUpperCase(), ...columns.map((name) => name || "(none)")],
    rows.map(([row, own]) => [
      row || "(unknown)",
      ...columns.map((column) => text(own.find((cell) => cell.column === column))),
    ]),
  );
}

function history(fleet: Command, cli: Cli): void {
  leaf(fleet, {
    usage: "history",
    summary: "how the fleet fared over time",
    example: "vautn fleet history --by firmware --since 12h",
    data: true,
    tenant: true,
  })
    .option("--by <dimension>", "firmware, hardware, product, region, group or tags.NAME")
    .option("--since <time>", "ISO 8601, or such as 90m, 12h, 7d", "24h")
    .action(async (options: Since & { by?: string }) => {
      const query = { by: options.by, from: sinceOf(options) };
      const found = await cli.session(options).call("getFleetHistory", { query });
      cli.printList(
        options,
        found,
        (items) => historyTable(items, options.by),
        "Nothing was written down in that time: a look is taken every ten minutes.",
      );
    });
}

function historyTable(items: readonly FleetMoment[], by: string | undefined): string {
  return table(
    ["AT", ...(by ? [by.toUpperCase()] : []), "TOTAL", "HEALTHY", "DEGRADED", "FAILING", "OFFLINE"],
    items.map((item) => [
      item.at.replace("T", " ").slice(0, 16),
      ...(by ? [item.key || "(unknown)"] : []),
      ...[item.total, item.healthy, item.degraded, item.failing, item.offline],
    ]),
  );
}

function crashes(fleet: Command, cli: Cli): void {
  incidents(fleet, cli, {
    usage: "crashes",
    summary: "crashes, fallbacks and failed self-tests by what they have in common",
    example: `vautn fleet crashes --since 7d -q 'region = "eu"'`,
    find: (session, query) => session.call("listCrashGroups", { query }),
    columns: ["SIGNATURE", "COUNT", "DEVICES", "FIRMWARE", "FIRST", "LAST", "EXAMPLE"],
    row: (item) => [
      ...[item.signature, item.count, item.devices, versionsOf(item)],
      ...[ago(item.firstSeenAt), ago(item.lastSeenAt), item.example.deviceId],
    ],
    none: "No crash in that time.",
  });
}

function restarts(fleet: Command, cli: Cli): void {
  incidents(fleet, cli, {
    usage: "restarts",
    summary: "restarts by their reason: watchdog, power, brown-out, update, command",
    example: "vautn fleet restarts --since 7d",
    find: (session, query) => session.call("listRestartGroups", { query }),
    columns: ["SIGNATURE", "ASKED FOR", "COUNT", "DEVICES", "FIRMWARE", "LAST", "EXAMPLE"],
    row: (item) => [
      ...[item.signature, item.isAsked ? "yes" : "no"],
      ...[item.count, item.devices, versionsOf(item)],
      ...[ago(item.lastSeenAt), item.exampleDeviceId],
    ],
    none: "No restart in that time.",
  });
}

interface IncidentForm<Item> {
  usage: string;
  summary: string;
  example: string;
  find(
    session: Session,
    query: { q: string | undefined; from: string | undefined },
  ): Promise<{ items: Item[] }>;
  columns: string[];
  row(item: Item): (string | number)[];
  /** What is said where there are none. */
  none: string;
}

/** What happened to devices, by what it has in common. */
function incidents<Item>(fleet: Command, cli: Cli, form: IncidentForm<Item>): void {
  const { usage, summary, example, find, columns, row, none } = form;
  leaf(fleet, { usage, summary, example, data: true, tenant: true })
    .option("--since <time>", "ISO 8601, or such as 90m, 12h, 7d", "7d")
    .option("-q, --query <query>", "fleet query")
    .action(async (options: Since & { query?: string }) => {
      const query = { q: options.query, from: sinceOf(options) };
      const found = await find(cli.session(options), query);
      cli.printList(options, found, (items) => table(columns, items.map(row)), none);
    });
}

function versionsOf({ firmware }: { firmware: readonly { version: string; count: number }[] }) {
  const named = firmware.slice(0, 3).map(({ version, count }) => `${version || "?"}: ${count}`);
  return named.join(", ");
}

function compare(fleet: Command, cli: Cli): void {
  leaf(fleet, {
    usage: "compare [target] [source]",
    summary: "one firmware version against another, with confidence",
    example: "vautn fleet compare 1.1.0 1.0.0 --since 7d",
    data: true,
    tenant: true,
  })
    .option("--since <time>", "ISO 8601, or such as 90m, 12h, 7d", "7d")
    .action(async (target: string | undefined, source: string | undefined, options: Since) => {
      const query = { target, source, from: sinceOf(options) };
      const found = await cli.session(options).call("compareFirmware", { query });
      cli.print(options, found, () => comparisonText(found));
    });
}

function comparisonText({ target, source, kinds }: Comparison): string {
  if (!target || !source) {
    return `The fleet has run ${target ? `nothing but ${target.version}` : "no firmware"} in that time: nothing to compare.\n`;
  }
  const rate = (side: Comparison["kinds"][number]["target"]) =>
    side.rate === null
      ? "-"
      : `${figure(side.rate)} [${figure(side.low ?? 0)}, ${figure(side.high ?? 0)}]`;
  const rows = kinds.map((item) => [
    item.kind,
    `${item.target.events}: ${rate(item.target)}`,
    `${item.source.events}: ${rate(item.source)}`,
    item.ratio === null ? "-" : `${figure(item.ratio)}x`,
    `[${figure(item.low)}, ${item.high === null ? "∞" : figure(item.high)}]`,
    item.verdict.replaceAll("-", " "),
  ]);
  const life = (side: NonNullable<Comparison["target"]>) =>
    `${side.version}: ${side.devices} devices, ${figure(side.deviceHours)} device-hours`;
  return [
    `${life(target)}\n${life(source)}\n`,
    table(["EVENTS, PER 1000 H", target.version, source.version, "RATIO", "95 %", "VERDICT"], rows),
    "Events count once a device and day. Intervals: Byar (rates), Wilson on the share (ratio).\n",
  ].join("\n");
}

function figure(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function sinceOf({ since }: Since): string | undefined {
  return since === undefined ? undefined : momentOf(since);
}
