import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { ago, table } from "../output.ts";

interface CreateOptions extends CommonOptions {
  for: string;
  start?: string;
  comment: string;
}

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

export function silenceCommands(alerts: Command, cli: Cli): void {
  const silences = group(
    alerts,
    "silences",
    "alerts that nobody is told of for a while",
    'vautn alerts silences create --for 2h --comment "works on the mast" site=berlin',
  );

  leaf(silences, {
    usage: "list",
    summary: "silences that have not ended",
    example: "vautn alerts silences list",
    data: true,
    tenant: true,
  })
    .option("--expired", "also those that ended within the last month")
    .action(async (options: CommonOptions & { expired?: boolean }) => {
      const query = { expired: options.expired };
      const page = await cli.session(options).call("listAlertSilences", { query });
      const render = (items: typeof page.items) =>
        table(
          ["SILENCE", "STATE", "MATCHERS", "ENDS", "BY", "COMMENT"],
          items.map(({ id, state, matchers, endsAt, createdBy, comment }) => [
            id,
            state,
            matchers.join(" "),
            state === "expired" ? ago(endsAt) : endsAt,
            createdBy,
            comment,
          ]),
        );
      cli.printList(options, page, render, "No silences.");
    });

  leaf(silences, {
    usage: "create <matcher...>",
    summary: "tell nobody of alerts that fit all matchers (label=value, !=, =~, !~)",
    example: 'vautn alerts silences create --for 2h --comment "works" device=~"hub-.*"',
    data: true,
    tenant: true,
  })
    .requiredOption("--for <time>", "how long: 30m, 2h, 7d")
    .requiredOption("--comment <text>", "why")
    .option("--start <time>", "ISO 8601; now where absent")
    .action(async (matchers: string[], options: CreateOptions) => {
      const startsMs = options.start === undefined ? Date.now() : Date.parse(options.start);
      if (Number.isNaN(startsMs)) throw misuse(`--start is no time: "${options.start}"`);
      const endsAt = new Date(startsMs + lengthMs(options.for)).toISOString();
      const start =
        options.start === undefined ? {} : { startsAt: new Date(startsMs).toISOString() };
      const body = { matchers, comment: options.comment, endsAt, ...start };
      const made = await cli.session(options).call("createAlertSilence", { body });
      cli.print(options, made, () => `${made.id}\n`);
      cli.note(`silent until ${made.endsAt}`);
    });

  leaf(silences, {
    usage: "expire <silence...>",
    summary: "end it now: what it hid is told at once",
    example: "vautn alerts silences expire 0199…",
    tenant: true,
  }).action(async (ids: string[], options: CommonOptions) => {
    for (const silence of ids) {
      await cli.session(options).call("expireAlertSilence", { params: { silence } });
    }
    cli.note(ids.length === 1 ? "the silence was ended" : `${ids.length} silences were ended`);
  });
}

function lengthMs(text: string): number {
  const found = /^(\d{1,5})([mhd])$/.exec(text);
  if (!found) throw misuse(`--for takes such as 30m, 2h or 7d, not "${text}"`);
  return Number(found[1]) * (UNITS[found[2] ?? ""] ?? 0);
}
