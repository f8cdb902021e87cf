import type { Command } from "commander";
import type { TimelineEntry } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, wholeNumber } from "../cli.ts";
import { table } from "../output.ts";

export function timelineCommand(device: Command, cli: Cli): void {
  leaf(device, {
    usage: "timeline <device>",
    summary: "what happened to a device: health and why, incidents, alerts, firmware",
    example: "vautn device timeline hub-001 --limit 20",
    data: true,
    tenant: true,
  })
    .option("--limit <count>", "at most so many", wholeNumber("--limit", 1, 10_000), 50)
    .action(async (id: string, options: CommonOptions & { limit: number }) => {
      const input = { params: { device: id } };
      const page = await cli.session(options).collect("getDeviceTimeline", input, options.limit);
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["AT", "WHAT", ""],
            items.map((entry) => [entry.at.replace("T", " ").slice(0, 19), ...describe(entry)]),
          ),
        "Nothing has happened to it yet.",
      );
    });
}

/** What happened, and the sentence about it. */
function describe({ kind, details }: TimelineEntry): [string, string] {
  const text = (name: string) => (typeof details[name] === "string" ? String(details[name]) : "");
  switch (kind) {
    case "health": {
      const reasons = (details.reasons ?? []) as { message: string }[];
      return [
        `${text("from")} -> ${text("to")}`,
        reasons.map(({ message }) => message).join("; ") || "nothing speaks against it any more",
      ];
    }
    case "firmware":
      return ["firmware", `${text("from") || "none"} -> ${text("to")} in slot ${text("slot")}`];
    case "incident":
      return [text("incident"), text("reason") || text("message")];
    default:
      return [kind.replace("-", " "), text("title")];
  }
}
