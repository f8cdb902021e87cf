import { setTimeout as delay } from "node:timers/promises";
import type { RotationCampaign } from "../client/index.ts";
import type { Cli, CommonOptions } from "./cli.ts";
import { CliError } from "./cli-error.ts";

const POLL_MS = 1_000;

/**
 * Follows a wave of rotations to its end: a bar on a terminal, a line for each change in a pipe, a
 * JSON object a line with --json. Fails where devices have failed. One that rests is not over.
 */
export async function watchCampaign(
  cli: Cli,
  id: string,
  options: CommonOptions,
  describe: (campaign: RotationCampaign) => string,
): Promise<void> {
  const session = cli.session(options);
  const show = options.json ? jsonLines(cli) : cli.io.isInteractive ? await bar() : lines(cli);
  let campaign: RotationCampaign;
  try {
    for (;;) {
      campaign = await session.call("getRotationCampaign", { params: { campaign: id } });
      show.update(campaign);
      if (campaign.finishedAt !== null) break;
      await delay(POLL_MS, undefined, { signal: cli.io.interrupted });
    }
  } finally {
    show.end();
  }
  if (!options.json) cli.io.out(`${describe(campaign)}\n`);
  if (campaign.status === "finished" && campaign.failed === 0) return;
  const what = campaign.status === "cancelled" ? "was cancelled" : `${campaign.failed} failed`;
  throw new CliError(`the rotation is over: ${what}`, {
    next: `vautn certificate rotation ${id}`,
  });
}

interface View {
  update(campaign: RotationCampaign): void;
  end(): void;
}

function jsonLines(cli: Cli): View {
  let last = "";
  return {
    update(campaign) {
      const line = JSON.stringify(campaign);
      if (line !== last) cli.io.out(`${line}\n`);
      last = line;
    },
    end() {},
  };
}

function lines(cli: Cli): View {
  let last = "";
  return {
    update(campaign) {
      const line = lineOf(campaign);
      if (line !== last) cli.io.out(`${line}\n`);
      last = line;
    },
    end() {},
  };
}

function lineOf({ status, total, ...counts }: RotationCampaign): string {
  const { succeeded, rotating, waiting, failed, skipped } = counts;
  const left = `${rotating} rotating, ${waiting} waiting, ${failed} failed, ${skipped} skipped`;
  return `${status}  ${succeeded}/${total} done, ${left}`;
}

async function bar(): Promise<View> {
  const { SingleBar } = await import("cli-progress");
  const format = "{bar} {value}/{total}  {status}  {rotating} rotating, {failed} failed";
  const drawn = new SingleBar({ format, clearOnComplete: false, hideCursor: true });
  let isStarted = false;
  return {
    update(campaign) {
      const { total, succeeded, failed, skipped, cancelled } = campaign;
      const done = succeeded + failed + skipped + cancelled;
      if (!isStarted) drawn.start(total, done, campaign);
      else drawn.update(done, campaign);
      isStarted = true;
    },
    end: () => drawn.stop(),
  };
}
