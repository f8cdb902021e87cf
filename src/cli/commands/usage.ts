import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { table } from "../output.ts";

const BAR = 20;

interface UsageOptions extends CommonOptions {
  platform?: boolean;
}

/** What a tenant has used of its quotas. */
export function usageCommand(tenant: Command, cli: Cli): void {
  leaf(tenant, {
    usage: "usage",
    summary: "what is used of each quota today (UTC), and what happens at its limit",
    example: "vautn tenant usage --tenant acme",
    data: true,
    tenant: true,
  })
    .option("--platform", "as an operator of the platform, who sees these figures and no data")
    .action((options: UsageOptions) => showUsage(cli, options));
}

async function showUsage(cli: Cli, options: UsageOptions): Promise<void> {
  const session = cli.session(options);
  const usage = await session.call(options.platform ? "getTenantFigures" : "getUsage");
  cli.print(options, usage, () =>
    table(
      ["QUOTA", "USED", "LIMIT", "", "AT THE LIMIT"],
      usage.items.map(({ title, used, limit, state, refusal }) => [
        title,
        used.toLocaleString("en"),
        limit === 0 ? "none" : limit.toLocaleString("en"),
        limit === 0 ? "" : `${bar(used / limit)}${state === "ok" ? "" : ` ${state}`}`,
        limit === 0 ? "" : refusal,
      ]),
    ),
  );
  const near = usage.items.find(({ state }) => state !== "ok");
  if (near) cli.note(`Next: ask the platform for more: vautn tenant set ${near.setting}=…`);
}

function bar(part: number): string {
  const full = Math.min(BAR, Math.round(part * BAR));
  return `[${"#".repeat(full)}${".".repeat(BAR - full)}]`;
}
