import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { ago, table } from "../output.ts";
import { confirm } from "../prompt.ts";
import type { UpdateStop } from "../rollout-view.ts";

type ReasonOptions = CommonOptions & { reason?: string; yes?: boolean };

/** The tenant's kill switch and the penalty box. */
export function brakeCommands(rollout: Command, cli: Cli): void {
  leaf(rollout, {
    usage: "stop-all",
    summary: "the kill switch: nobody begins an update; those on their way finish",
    example: 'vautn rollout stop-all --reason "the CDN serves rubbish"',
    data: true,
    tenant: true,
  })
    .option("--reason <text>", "why, for the record")
    .option("--yes", "do not ask")
    .action(async (options: ReasonOptions) => {
      await confirm(cli.io, options.yes, "stopping every update of the tenant");
      const body = options.reason ? { reason: options.reason } : {};
      const { stop } = await cli.session(options).call("stopUpdates", { body });
      cli.print(options, { stop }, () => describeStop(stop));
      cli.note("Next: vautn rollout allow-all");
    });

  leaf(rollout, {
    usage: "allow-all",
    summary: "take the kill switch off",
    example: 'vautn rollout allow-all --reason "repaired"',
    data: true,
    tenant: true,
  })
    .option("--reason <text>", "why, for the record")
    .action(async (options: ReasonOptions) => {
      const body = options.reason ? { reason: options.reason } : {};
      const { stop } = await cli.session(options).call("allowUpdates", { body });
      cli.print(options, { stop }, () => describeStop(stop));
    });

  leaf(rollout, {
    usage: "penalty-box",
    summary: "devices that rollouts leave out since their updates kept failing",
    example: "vautn rollout penalty-box",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listPenaltyBox", {});
    const render = (items: typeof page.items) =>
      table(
        ["DEVICE", "FAILED", "LAST"],
        items.map((item) => [item.deviceId, item.failures, ago(item.lastFailedAt)]),
      );
    cli.printList(options, page, render, "The penalty box is empty.");
  });

  leaf(rollout, {
    usage: "pardon <device>",
    summary: "let a device out of the penalty box",
    example: "vautn rollout pardon hub-0042",
    tenant: true,
  }).action(async (device: string, options: { tenant?: string }) => {
    await cli.session(options).call("pardonDevice", { params: { device }, body: {} });
    cli.io.out(`${device} takes part in rollouts again.\n`);
  });
}

function describeStop(stop: UpdateStop) {
  if (!stop) return "Updates may begin.\n";
  const why = stop.reason ? `: ${stop.reason}` : "";
  return `Updates are stopped by ${stop.stoppedBy}, ${ago(stop.stoppedAt)}${why}\n`;
}
